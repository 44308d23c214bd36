"""Variants: selections of one run that differ in their options."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import runs
import tiny

from ddjax import pipeline, scores, select, settings
from ddjax.errors import InputError
from ddjax.problem import open_problem
from ddjax.scores.fluctuation import CadOptions
from ddjax.select.ranking import CadPruneOptions, WindowOptions
from ddjax.stages.checks import check, check_names
from ddjax.stages.requirements import selection_of, snapshots_required


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return tiny.write(tmp_path_factory.mktemp("source") / "blobs.npz")


@pytest.fixture(scope="module")
def inputs():
    rng = np.random.default_rng(0)
    trace = scores.Trace(
        true_prob=rng.random((12, 40), np.float32), el2n=rng.random((12, 40))
    )
    labels = np.arange(40) % 2
    return select.Inputs(key=None, labels=labels, traces=(trace,))


def test_own_options_come_before_those_of_the_inputs(inputs):
    (trace,) = inputs.traces
    own = CadOptions(span=3, windows=1, quantity="el2n"), CadPruneOptions("lowest")
    variant = dataclasses.replace(select.METHODS["cad_prune"], own=own)
    theirs = dataclasses.replace(inputs, options=(CadOptions(span=5),))
    expected = select.top(
        scores.cad(trace, 3, 1, "el2n"), inputs.labels, 5, largest=False
    )
    np.testing.assert_array_equal(variant.select(theirs, 5), expected)
    usual = select.METHODS["cad_prune"].select(theirs, 5)
    expected = select.top(scores.cad(trace, 5, 2), inputs.labels, 5)
    np.testing.assert_array_equal(usual, expected)


def test_a_search_tries_its_own_starts(inputs):
    own = (WindowOptions(starts=(0.1, 0.9)),)
    variant = dataclasses.replace(select.METHODS["el2n_best_window"], own=own)
    usual = (WindowOptions(starts=(0.5,)),)
    assert variant.tried(usual) == (0.1, 0.9)
    given = dataclasses.replace(inputs, options=usual)
    assert list(variant.candidates(given, 5)) == [0.1, 0.9]


def with_variants(source):
    made = tiny.config(source, regimes=("hard",), select__methods=("random",))
    settings.add_variant(
        made, "cad_low", "cad_prune", cad__windows=1, cad_prune__keep="lowest"
    )
    settings.add_variant(made, "cad_long", "cad_prune", cad__span=9)
    settings.add_variant(
        made, "late", "el2n_best_window", el2n_best_window__starts=(0.9, 1.0)
    )
    return made


def test_a_run_compares_them(source, tmp_path):
    made = settings.from_config(with_variants(source))
    with runs.sharing():
        pipeline.run(made, tmp_path / "w")
    rows = runs.rows_of(tmp_path / "w")
    assert {row["method"] for row in rows} == {
        *("random", "cad_low", "cad_long", "late", "full")
    }
    starts = {row["window_start"] for row in rows if row["method"] == "late"}
    assert len(starts) == 1 and starts <= {0.9, 1.0}
    found = pd.read_csv(tmp_path / "w" / "scores" / "ipc2_seed0.csv").set_index("id")
    assert {"cad_low", "cad_long", "late"} <= set(found)
    kept = pd.read_csv(tmp_path / "w" / "subsets" / "cad_low_ipc2_seed0.csv")["id"]
    for _, own in found.groupby("class"):
        lowest = set(own["cad_low"].nsmallest(2).index)
        assert lowest == set(kept) & set(own.index)
    assert not np.allclose(found["cad_low"], found["cad_long"])


def test_traces_have_the_snapshots_that_a_variant_requires(source):
    problem = open_problem(settings.from_config(with_variants(source)))
    assert snapshots_required(problem) == 12
    own = scores.options_of(selection_of(problem, "cad_long").own, CadOptions)
    assert own == CadOptions(span=9)
    check(problem)


def test_options_are_set_on_the_command_line(source):
    made = with_variants(source)
    settings.override(made, "select.variants.cad_low.cad.span", "4")
    found = settings.from_config(made).select.variants
    assert (found["cad_low"].cad.span, found["cad_long"].cad.span) == (4, 9)


@pytest.mark.parametrize(
    ("name", "method", "found"),
    [
        ("cad", "cad_prune", "select.variants.cad: found a name that is taken"),
        ("full", "cad_prune", "select.variants.full: found a name that is taken"),
        ("mine", "cad_prone", "select.variants.mine.method: found 'cad_prone'"),
    ],
)
def test_names_are_checked(source, name, method, found):
    made = tiny.config(source)
    settings.add_variant(made, name, method)
    with pytest.raises(InputError, match=found):
        check_names(settings.from_config(made))
