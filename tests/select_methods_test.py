"""The named scores and selections: what they need, and that each is what it names."""

import dataclasses

import jax
import numpy as np
import pytest

from ddjax import scores, select
from ddjax.errors import InputError
from ddjax.scores import REQUIREMENTS, SCORES
from ddjax.scores.features import unit_rows
from ddjax.scores.fluctuation import CadOptions
from ddjax.scores.learning import AumOptions, ForgettingOptions
from ddjax.select import METHODS, Inputs
from ddjax.select.beta import BetaOptions
from ddjax.select.d2 import D2Options
from ddjax.select.ranking import CadPruneOptions, WindowOptions
from ddjax.select.strata import CcsOptions

LABELS = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [20, 12, 16]))
FEATURES = np.random.default_rng(1).normal(size=(48, 5)).astype(np.float32)
HELD_OUT_LABELS = np.tile([0, 1, 2], 5)


def make_trace(num_snapshots=10, seed=2):
    rng = np.random.default_rng(seed)
    shape = (num_snapshots, 48)
    fields = {field.name: rng.uniform(size=shape) for field in TRACE_FIELDS}
    return scores.Trace(**fields | {"correct": rng.integers(0, 2, shape)})


TRACE_FIELDS = dataclasses.fields(scores.Trace)


def make_gradients(labels, seed):
    rng = np.random.default_rng(seed)
    count = len(labels)
    logits, features = rng.normal(size=(count, 3)), rng.normal(size=(count, 5))
    return scores.LastLayer.from_logits(logits, labels, features)


def make_inputs(*options):
    return Inputs(
        key=jax.random.key(0),
        labels=LABELS,
        traces=(make_trace(),),
        soft_traces=(make_trace(seed=3),),
        features=FEATURES,
        gradients=make_gradients(LABELS, 4),
        held_out=make_gradients(HELD_OUT_LABELS, 5),
        held_out_labels=HELD_OUT_LABELS,
        grand=np.random.default_rng(6).uniform(size=48).astype(np.float32),
        options=options,
    )


def run(name, inputs, per_class=4):
    """The subsets of a method; one for each start of a search."""
    method = METHODS[name]
    if method.searches:
        return list(method.candidates(inputs, per_class).values())
    return [method.select(inputs, per_class)]


def chosen(name, *options, per_class=4):
    return METHODS[name].select(make_inputs(*options), per_class)


def test_only_the_best_window_searches():
    assert [name for name in METHODS if METHODS[name].searches] == ["el2n_best_window"]
    assert METHODS["el2n_best_window"].tried() == WindowOptions().starts
    assert METHODS["random"].tried() == ()


def test_options_have_the_section_of_the_first_that_declares_them():
    names = {name: kind for name, kind in select.options().items()}
    assert names == {
        "forgetting": ForgettingOptions,
        "aum": AumOptions,
        "cad": CadOptions,
        "el2n_best_window": WindowOptions,
        "dual_beta": BetaOptions,
        "cad_prune": CadPruneOptions,
        "ccs": CcsOptions,
        "d2": D2Options,
    }
    declared = [each.options for each in (*SCORES.values(), *METHODS.values())]
    assert set(names.values()) == set(declared) - {None}


def test_methods_choose_sorted_balanced_ids_and_leave_the_inputs_usable():
    inputs = make_inputs()
    for name in METHODS:
        for ids, again in zip(run(name, inputs), run(name, inputs), strict=True):
            np.testing.assert_array_equal(ids, again, name)
            assert ids.dtype == np.int32 and (np.diff(ids) > 0).all(), name
            np.testing.assert_array_equal(np.bincount(LABELS[ids]), [4, 4, 4], name)


@pytest.mark.parametrize("requirement", REQUIREMENTS)
def test_methods_read_exactly_what_they_require(requirement):
    nothing = () if requirement.endswith("traces") else None
    inputs = dataclasses.replace(make_inputs(), **{requirement: nothing})
    for name, method in METHODS.items():
        if requirement in method.requirements:
            with pytest.raises(InputError, match=rf"inputs\.{requirement}: missing"):
                run(name, inputs, 2)
        else:
            run(name, inputs, 2)


def test_methods_equal_the_functions_they_name():
    trace, inputs = make_trace(), make_inputs()
    key, gradients = inputs.key_of, inputs.gradients
    cad = scores.cad(trace, None, 2)
    dual = scores.dual(trace, 10, 10)
    aum = scores.aum(trace)
    prototypes = scores.prototypes(key("prototypes"), FEATURES, 3)
    soft = scores.el2n_sl(make_trace(seed=3))
    expected = {
        "random": select.random(jax.random.key(0), LABELS, 4),
        "el2n_easy": select.top(scores.el2n(trace), LABELS, 4, largest=False),
        "el2n_hard": select.top(scores.el2n(trace), LABELS, 4),
        "el2n_stratified": select.stratified(
            key("stratified"), scores.el2n(trace), LABELS, 4
        ),
        "el2n_sl_easy": select.top(soft, LABELS, 4, largest=False),
        "el2n_sl_hard": select.top(soft, LABELS, 4),
        "forgetting_easy": select.top(
            scores.forgetting(trace), LABELS, 4, largest=False
        ),
        "forgetting_hard": select.top(scores.forgetting(trace), LABELS, 4),
        "aum_easy": select.top(aum, LABELS, 4, largest=False),
        "aum_hard": select.top(aum, LABELS, 4),
        "entropy": select.top(scores.entropy(trace), LABELS, 4),
        "least_confidence": select.top(scores.least_confidence(trace), LABELS, 4),
        "margin": select.top(scores.margin(trace), LABELS, 4),
        "dyn_unc": select.top(scores.dyn_unc(trace, 9), LABELS, 4),
        "tdds": select.top(scores.tdds(trace, 10), LABELS, 4),
        "dual": select.top(dual, LABELS, 4),
        "dual_beta": select.beta(
            key("beta"), dual, trace.mean("true_prob"), LABELS, 4, c=4.0
        ),
        "cad_prune": select.top(cad, LABELS, 4),
        "cad_prune_true_prob": select.top(cad, LABELS, 4),
        "cad_prune_el2n": select.top(scores.cad(trace, None, 2, "el2n"), LABELS, 4),
        "ccs": select.ccs(key("ccs"), aum, LABELS, 4, 0.3),
        "bws": select.bws(scores.el2n(trace), FEATURES, LABELS, 4),
        "grand_easy": select.top(inputs.grand, LABELS, 4, largest=False),
        "grand_hard": select.top(inputs.grand, LABELS, 4),
        "grand_last_layer_easy": select.top(
            gradients.norms(), LABELS, 4, largest=False
        ),
        "grand_last_layer_hard": select.top(gradients.norms(), LABELS, 4),
        "k_center": select.k_center(key("k_center"), FEATURES, LABELS, 4),
        "k_means": select.k_means(key("k_means"), FEATURES, LABELS, 4),
        "herding": select.herding(FEATURES, LABELS, 4),
        "cad_herding": select.herding(FEATURES, LABELS, 4, cad),
        "graph_cut": select.graph_cut(FEATURES, LABELS, 4),
        "facility_location": select.facility_location(FEATURES, LABELS, 4),
        "cad_facility_location": select.facility_location(FEATURES, LABELS, 4, cad),
        "prototypes_easy": select.top(prototypes, LABELS, 4, largest=False),
        "prototypes_hard": select.top(prototypes, LABELS, 4),
        "d2": select.d2(aum, unit_rows(FEATURES), LABELS, 4, 5, 0.1, 0.3),
        "craig": select.craig(gradients, LABELS, 4),
        "gradmatch": select.gradmatch(gradients, LABELS, 4),
        "glister": select.glister(
            gradients, LABELS, 4, inputs.held_out, HELD_OUT_LABELS
        ),
    }
    assert {*expected, "el2n_best_window"} == set(METHODS)
    for name, ids in expected.items():
        np.testing.assert_array_equal(chosen(name), ids, err_msg=name)


def test_scores_have_one_number_an_example_and_every_one_is_used():
    inputs = make_inputs()
    for name, score in SCORES.items():
        values = score.of(inputs)
        assert values.shape == (48,) and values.dtype == np.float32, name
    assert {method.score for method in METHODS.values()} - {""} == set(SCORES)


@pytest.mark.parametrize("name", sorted(set(SCORES) - {"grand", "grand_last_layer"}))
def test_scores_of_several_runs_are_averaged(name):
    one, other = make_inputs(), make_inputs()
    replaced = {"traces": (make_trace(seed=7),), "soft_traces": (make_trace(seed=8),)}
    other = dataclasses.replace(other, **replaced)
    both = dataclasses.replace(
        one,
        **{field: (*getattr(one, field), *replaced[field]) for field in replaced},
    )
    mean = (SCORES[name].of(one) + SCORES[name].of(other)) / 2
    np.testing.assert_allclose(SCORES[name].of(both), mean, rtol=1e-5, atol=1e-7)


def test_windows_are_those_of_the_sources_where_the_trace_is_long_enough():
    trace = make_trace(34)
    inputs = dataclasses.replace(make_inputs(), traces=(trace,))
    for name, expected in {
        "dyn_unc": scores.dyn_unc(trace, 10),
        "tdds": scores.tdds(trace, 10),
        "dual": scores.dual(trace, 10, 30),
    }.items():
        np.testing.assert_array_equal(SCORES[name].of(inputs), expected, err_msg=name)


def test_cad_methods_follow_their_options():
    options = CadOptions(span=3, windows=4, quantity="el2n")
    cad = scores.cad(make_trace(), 3, 4, "el2n")
    np.testing.assert_array_equal(
        chosen("cad_prune", options), select.top(cad, LABELS, 4)
    )
    np.testing.assert_array_equal(
        chosen("cad_prune", options, CadPruneOptions(keep="lowest")),
        select.top(cad, LABELS, 4, largest=False),
    )
    np.testing.assert_array_equal(
        chosen("cad_facility_location", options),
        select.facility_location(FEATURES, LABELS, 4, cad),
    )


def test_cad_prune_readings_are_cad_prune_with_that_quantity():
    readings = [CadOptions(quantity=quantity) for quantity in ("true_prob", "el2n")]
    by_option = [chosen("cad_prune", reading) for reading in readings]
    assert (by_option[0] != by_option[1]).any()
    for reading, expected in zip(readings, by_option, strict=True):
        for other in readings:
            ids = chosen(f"cad_prune_{reading.quantity}", other)
            np.testing.assert_array_equal(ids, expected)


def test_options_reach_the_functions():
    inputs = make_inputs()
    key, aum = inputs.key_of, scores.aum(make_trace())
    softmax = scores.aum(make_trace(), "probability")
    dual = scores.dual(make_trace(), 10, 10)
    easiness = make_trace().mean("true_prob")
    for name, options, expected in (
        ("ccs", CcsOptions(0.6), select.ccs(key("ccs"), aum, LABELS, 4, 0.6)),
        ("aum_hard", AumOptions("probability"), select.top(softmax, LABELS, 4)),
        (
            "d2",
            D2Options(neighbors=3, gamma=2.0, drop_hardest=0.0),
            select.d2(aum, unit_rows(FEATURES), LABELS, 4, 3, 2.0, 0.0),
        ),
        (
            "dual_beta",
            BetaOptions(c=0.1),
            select.beta(key("beta"), dual, easiness, LABELS, 4, 0.1),
        ),
    ):
        np.testing.assert_array_equal(chosen(name, options), expected, name)
        assert (chosen(name, options) != run(name, inputs)[0]).any(), name


def test_forgetting_methods_follow_never_learned():
    # Example 0 is never correct, 1 always, 2 is forgotten once.
    trace = scores.Trace(correct=[[0, 1, 1], [0, 1, 0]])
    for reading, hardest in (("max", 0), ("infinity", 0), ("zero", 2)):
        inputs = Inputs(
            key=jax.random.key(0),
            labels=np.zeros(3, int),
            traces=(trace,),
            options=(ForgettingOptions(reading),),
        )
        assert METHODS["forgetting_hard"].select(inputs, 1) == [hardest]
        assert METHODS["forgetting_easy"].select(inputs, 1) == [
            0 if reading == "zero" else 1
        ]


def test_el2n_best_window_offers_a_window_per_start():
    inputs = make_inputs(WindowOptions((0.0, 0.4, 1.0)))
    candidates = METHODS["el2n_best_window"].candidates(inputs, 4)
    assert list(candidates) == [0.0, 0.4, 1.0]
    for start, ids in candidates.items():
        expected = select.window(SCORES["el2n"].of(inputs), LABELS, 4, start)
        np.testing.assert_array_equal(ids, expected)
    np.testing.assert_array_equal(candidates[0.0], chosen("el2n_easy"))
    np.testing.assert_array_equal(candidates[1.0], chosen("el2n_hard"))


def test_imported_scores_are_ranked_and_an_imported_subset_is_itself():
    values = np.arange(48.0)
    ids = np.arange(12, dtype=np.int32)
    inputs = dataclasses.replace(
        make_inputs(), imported={"high": values, "low": values, "theirs": ids}
    )
    for name, arguments, expected in (
        ("high", {"subset": False}, select.top(values, LABELS, 4)),
        (
            "low",
            {"subset": False, "largest": False},
            select.top(values, LABELS, 4, largest=False),
        ),
        ("theirs", {"subset": True}, ids),
    ):
        method = select.imported(name, **arguments)
        assert not method.requirements and not method.searches
        np.testing.assert_array_equal(method.select(inputs, 4), expected, name)
