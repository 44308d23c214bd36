"""The named selections: what they need, and that each is the function it names."""

import dataclasses

import jax
import numpy as np
import pytest

from ddjax import scores, select
from ddjax.errors import InputError
from ddjax.select import METHODS, Inputs, Settings

NAMES = [
    "random",
    "el2n_easy",
    "el2n_hard",
    "el2n_best_window",
    "forgetting_easy",
    "forgetting_hard",
    "aum_easy",
    "aum_hard",
    "entropy",
    "dyn_unc",
    "cad_prune",
    "cad_prune_true_prob",
    "cad_prune_el2n",
    "k_center",
    "facility_location",
    "cad_facility_location",
]
LABELS = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [20, 12, 16]))
FEATURES = np.random.default_rng(1).normal(size=(48, 5)).astype(np.float32)


def make_trace(num_snapshots=10):
    rng = np.random.default_rng(2)
    shape = (num_snapshots, 48)
    return scores.Trace(
        true_prob=rng.uniform(size=shape),
        el2n=rng.uniform(size=shape),
        margin=rng.normal(size=shape),
        correct=rng.integers(0, 2, shape),
        entropy=rng.uniform(size=shape),
    )


def make_inputs(**settings):
    return Inputs(
        key=jax.random.key(0),
        labels=LABELS,
        trace=make_trace(),
        features=FEATURES,
        settings=Settings(**settings),
    )


def chosen(name, per_class=4, **settings):
    return METHODS[name].select(make_inputs(**settings), per_class)


def test_methods_are_the_named_ones():
    assert list(METHODS) == NAMES
    assert [name for name in NAMES if METHODS[name].searches] == ["el2n_best_window"]
    for name, method in METHODS.items():
        assert (method.select is None) == method.searches, name


@pytest.mark.parametrize("name", NAMES)
def test_methods_choose_sorted_balanced_ids_and_leave_the_inputs_usable(name):
    inputs = make_inputs()
    method = METHODS[name]
    for _ in range(2):
        if method.searches:
            subsets = list(method.candidates(inputs, 4, [0.0, 0.5]).values())
        else:
            subsets = [method.select(inputs, 4)]
        for ids in subsets:
            assert ids.dtype == np.int32 and (np.diff(ids) > 0).all()
            np.testing.assert_array_equal(np.bincount(LABELS[ids]), [4, 4, 4])


@pytest.mark.parametrize("name", NAMES)
def test_methods_need_exactly_what_they_say(name):
    method = METHODS[name]

    def run(**removed):
        inputs = dataclasses.replace(make_inputs(), **removed)
        if method.searches:
            return method.candidates(inputs, 2, [0.0])
        return method.select(inputs, 2)

    for field, needed in (
        ("trace", method.needs_trace),
        ("features", method.needs_features),
    ):
        if needed:
            with pytest.raises(InputError, match=rf"inputs\.{field}: None"):
                run(**{field: None})
        else:
            run(**{field: None})


def test_methods_equal_the_functions_they_name():
    trace = make_trace()
    key = jax.random.key
    cad = scores.cad(trace, None, 2)
    for name, expected in {
        "random": select.random(key(0), LABELS, 4),
        "el2n_easy": select.top(scores.el2n(trace), LABELS, 4, largest=False),
        "el2n_hard": select.top(scores.el2n(trace), LABELS, 4),
        "forgetting_easy": select.top(
            scores.forgetting(trace), LABELS, 4, largest=False
        ),
        "forgetting_hard": select.top(scores.forgetting(trace), LABELS, 4),
        "aum_easy": select.top(scores.aum(trace), LABELS, 4, largest=False),
        "aum_hard": select.top(scores.aum(trace), LABELS, 4),
        "entropy": select.top(scores.entropy(trace), LABELS, 4),
        "dyn_unc": select.top(scores.dyn_unc(trace, 9), LABELS, 4),
        "cad_prune": select.top(cad, LABELS, 4),
        "k_center": select.k_center(key(0), FEATURES, LABELS, 4),
        "facility_location": select.facility_location(FEATURES, LABELS, 4),
        "cad_facility_location": select.facility_location(FEATURES, LABELS, 4, cad),
    }.items():
        np.testing.assert_array_equal(chosen(name), expected, err_msg=name)


def test_dyn_unc_takes_ten_snapshots_where_there_are_as_many():
    trace = make_trace(14)
    inputs = dataclasses.replace(make_inputs(), trace=trace)
    found = METHODS["dyn_unc"].select(inputs, 4)
    expected = select.top(scores.dyn_unc(trace, 10), LABELS, 4)
    np.testing.assert_array_equal(found, expected)


def test_cad_methods_follow_the_settings():
    trace = make_trace()
    settings = {"cad_span": 3, "cad_windows": 4, "cad_quantity": "el2n"}
    cad = scores.cad(trace, 3, 4, "el2n")
    np.testing.assert_array_equal(
        chosen("cad_prune", **settings), select.top(cad, LABELS, 4)
    )
    np.testing.assert_array_equal(
        chosen("cad_prune", **settings, cad_keep="lowest"),
        select.top(cad, LABELS, 4, largest=False),
    )
    np.testing.assert_array_equal(
        chosen("cad_facility_location", **settings),
        select.facility_location(FEATURES, LABELS, 4, cad),
    )


def test_cad_prune_readings_are_cad_prune_with_that_quantity():
    by_setting = {q: chosen("cad_prune", cad_quantity=q) for q in ("true_prob", "el2n")}
    assert (by_setting["true_prob"] != by_setting["el2n"]).any()
    for quantity, expected in by_setting.items():
        for setting in by_setting:
            ids = chosen(f"cad_prune_{quantity}", cad_quantity=setting)
            np.testing.assert_array_equal(ids, expected)


def test_forgetting_methods_follow_never_learned():
    # Example 0 is never correct, 1 always, 2 is forgotten once.
    trace = scores.Trace(correct=[[0, 1, 1], [0, 1, 0]])
    for reading, hardest in (("max", 0), ("infinity", 0), ("zero", 2)):
        inputs = Inputs(
            key=jax.random.key(0),
            labels=np.zeros(3, int),
            trace=trace,
            settings=Settings(never_learned=reading),
        )
        assert METHODS["forgetting_hard"].select(inputs, 1) == [hardest]
        assert METHODS["forgetting_easy"].select(inputs, 1) == [
            0 if reading == "zero" else 1
        ]


def test_el2n_best_window_offers_a_window_per_start():
    inputs = make_inputs()
    method = METHODS["el2n_best_window"]
    candidates = method.candidates(inputs, 4, (0.0, 0.4, 1.0))
    assert list(candidates) == [0.0, 0.4, 1.0]
    for start, ids in candidates.items():
        expected = select.window(method.score(inputs), LABELS, 4, start)
        np.testing.assert_array_equal(ids, expected)
    np.testing.assert_array_equal(candidates[0.0], chosen("el2n_easy"))
    np.testing.assert_array_equal(candidates[1.0], chosen("el2n_hard"))


def test_score_is_the_difficulty_or_none():
    inputs = make_inputs()
    unscored = {"random", "k_center", "facility_location"}
    assert {name for name in NAMES if METHODS[name].score is None} == unscored
    for name in set(NAMES) - unscored:
        values = METHODS[name].score(inputs)
        assert values.shape == (48,) and values.dtype == np.float32, name
    np.testing.assert_array_equal(
        METHODS["cad_prune_el2n"].score(inputs),
        scores.cad(make_trace(), None, 2, "el2n"),
    )


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"cad_span": 1}, "select.cad_span: 1, expected an integer of at least 2 or N"),
        ({"cad_span": "6"}, "select.cad_span: '6', expected an integer"),
        (
            {"cad_windows": 0},
            "select.cad_windows: 0, expected an integer of at least 1",
        ),
        ({"cad_windows": None}, "select.cad_windows: None, expected an integer"),
        (
            {"cad_quantity": "margin"},
            "select.cad_quantity: 'margin', .* true_prob, el2n",
        ),
        ({"cad_keep": "top"}, "select.cad_keep: 'top', expected .* highest, lowest"),
        ({"never_learned": 0}, "select.never_learned: 0, .* max, infinity, zero"),
    ],
)
def test_settings_refuse_values_by_name(settings, message):
    with pytest.raises(InputError, match=message):
        Settings(**settings)


def test_snapshots_needed_is_one_more_than_cad_insists_on():
    assert select.snapshots_needed(Settings()) == 9
    assert select.snapshots_needed(Settings(cad_span=4, cad_windows=3)) == 8
    trace = scores.Trace(true_prob=np.random.default_rng(0).uniform(size=(8, 5)))
    changed = trace.true_prob.copy()
    changed[0] = 0.0
    np.testing.assert_array_equal(
        scores.cad(trace, 4, 3), scores.cad(scores.Trace(true_prob=changed), 4, 3)
    )
