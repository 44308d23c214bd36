"""What holds for every score, means over runs, and what scores declare."""

import dataclasses
import functools

import numpy as np
import pytest

from ddjax import scores as package
from ddjax.errors import InputError
from ddjax.scores import (
    SCORES,
    LastLayer,
    Trace,
    cad,
    el2n,
    forgetting,
    mean_over_runs,
    snapshots_needed,
    tdds,
)
from ddjax.scores.fluctuation import CadOptions


def test_every_public_score_is_declared():
    others = {"REQUIREMENTS", "SCORES", "Inputs", "LastLayer", "Score", "Trace"}
    others |= {"mean_over_runs", "options_of", "snapshot", "snapshots_needed"}
    declared = {score.function for score in SCORES.values()}
    names = set(package.__all__) - others - {"step_kl"}
    assert {getattr(package, name) for name in names} == declared - {LastLayer.norms}
    for name in names:
        assert SCORES[name].function is getattr(package, name)
        assert "Source: " in getattr(package, name).__doc__


def uniform(snapshots, seed=0, examples=7):
    values = np.random.default_rng(seed).uniform(size=(snapshots, examples))
    return values.astype(np.float32)


def test_scores_of_traces_permute_with_the_examples():
    values, order = uniform(31, examples=20), np.random.default_rng(0).permutation(20)
    for name, score in SCORES.items():
        if score.of_inputs:
            continue
        found = []
        for values_SN in (values, values[:, order]):
            names = (field.name for field in dataclasses.fields(Trace))
            fields = dict.fromkeys(names, values_SN) | {"correct": values_SN < 0.5}
            found.append(score.function(Trace(**fields)))
        assert found[0].shape == (20,) and found[0].dtype == np.float32
        np.testing.assert_array_equal(found[1], found[0][order], err_msg=name)


@pytest.mark.parametrize("name", ["el2n", "forgetting", "aum"])
def test_scores_rank_a_never_learned_example_above_a_learned_one(name):
    trace = Trace(
        el2n=[[0.1, 1.2]] * 4, margin=[[5.0, -5.0]] * 4, correct=[[True, False]] * 4
    )
    easy, hard = SCORES[name].function(trace)
    assert hard > easy


def test_mean_over_runs_is_the_mean_of_the_scores():
    runs = [Trace(el2n=uniform(4, seed)) for seed in range(3)]
    expected = np.mean([el2n(run, 1, 2).astype(np.float64) for run in runs], axis=0)
    found = mean_over_runs(functools.partial(el2n, start=1, stop=2), runs)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_array_equal(mean_over_runs(el2n, runs[:1]), el2n(runs[0]))


def test_mean_over_runs_keeps_infinity():
    never, once = Trace(correct=[[0], [0]]), Trace(correct=[[1], [0]])
    score = functools.partial(forgetting, never_learned="infinity")
    assert mean_over_runs(score, [once, never]) == np.inf
    assert mean_over_runs(score, [once, once]) == 1


@pytest.mark.parametrize(
    "score, message",
    [
        (lambda t: t.mean("step_kl", 4, 4), r"trace.step_kl: snapshots 4..3 were"),
        (lambda t: t.at("step_kl", 9), "snapshot 9 was requested.* 0..8"),
        (lambda t: mean_over_runs(tdds, []), "traces: none"),
        (
            lambda t: mean_over_runs(tdds, [t, Trace(step_kl=uniform(9, 0, 3))]),
            r"traces: of \[7, 3\] examples",
        ),
    ],
)
def test_bad_input_is_refused(score, message):
    with pytest.raises(InputError, match=message):
        score(Trace(step_kl=uniform(9)))


def test_snapshots_needed_are_those_of_the_score_that_asks_for_most():
    short, long = CadOptions(span=4, windows=3), CadOptions(span=6, windows=9)
    assert snapshots_needed(["cad"]) == snapshots_needed([]) == 9
    assert snapshots_needed(["cad_el2n"], [short]) == 8
    assert snapshots_needed(["el2n", "cad"], [short]) == 9
    assert snapshots_needed(["el2n", "cad"], [long]) == 16
    assert snapshots_needed(["el2n"], [long]) == 9


def test_cad_asks_for_one_snapshot_more_than_it_reads():
    values = uniform(8)
    changed = values.copy()
    changed[0] = 0.0
    np.testing.assert_array_equal(
        cad(Trace(true_prob=values), 4, 3), cad(Trace(true_prob=changed), 4, 3)
    )
