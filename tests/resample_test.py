"""`protocol.resample`: each seed has splits and teachers of its own."""

import json

import numpy as np
import pytest
import runs
import tiny

from ddjax import pipeline, plan, settings
from ddjax.errors import InputError
from ddjax.problem import open_problem

_CHANGES = {"regimes": ("hard", "soft"), "protocol__seeds": (3, 0)}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return tiny.write(tmp_path_factory.mktemp("source") / "blobs.npz")


def of(source, **changes):
    return settings.from_config(tiny.config(source, **_CHANGES | changes))


@pytest.fixture(scope="module")
def resampled(source, tmp_path_factory):
    """The folder of a run with two draws."""
    folder = tmp_path_factory.mktemp("run") / "w"
    with runs.sharing():
        pipeline.run(of(source, protocol__resample=True), folder)
    return folder


def test_draws_have_splits_and_teachers_of_their_own(source):
    problem = open_problem(of(source, protocol__resample=True))
    draws = problem.draws
    assert [draw.seeds for draw in draws] == [(3,), (0,)]
    assert [draw.settings.teacher.seed for draw in draws] == [3, 0]
    three, zero = (set(draw.validation.ids) for draw in draws)
    assert three != zero and len(three) == len(zero)
    for draw in draws:
        assert not set(draw.validation.ids) & set(draw.pool.ids)
        assert draw.test is problem.test
        np.testing.assert_array_equal(
            draw.pool.images, problem.source.train.images[draw.pool.ids]
        )


def test_draws_thin_the_training_set_anew(source):
    draws = open_problem(of(source, protocol__resample=True, data__pool=60)).draws
    three, zero = ({*draw.pool.ids, *draw.validation.ids} for draw in draws)
    assert three != zero and len(three) == len(zero) == 60


def test_without_it_there_is_one_draw(source):
    problem = open_problem(of(source))
    assert problem.draws == (problem,)


def test_seed_0_is_as_in_a_run_without(source, resampled, tmp_path):
    with runs.sharing():
        pipeline.run(of(source, protocol__seeds=(0,)), tmp_path / "w")
    alone = runs.numbers_of(tmp_path / "w")
    together = [row for row in runs.numbers_of(resampled) if row["seed"] == 0]
    assert alone == together and len(alone) == 6


def test_run_has_all_seeds_and_says_what_intervals_include(resampled):
    rows = runs.rows_of(resampled)
    assert {row["seed"] for row in rows} == {0, 3}
    assert all(row["status"] == "ok" for row in rows) and len(rows) == 12
    stages = (resampled / "stages.csv").read_text()
    assert '"seed 3: students, hard, IPC 2"' in stages
    assert stages.count(": teacher,") == 2
    files = {path.name for path in (resampled / "subsets").iterdir()}
    names = {f"{m}_ipc2_seed{s}.csv" for m in ("random", "cad_prune") for s in (0, 3)}
    assert files == names
    verdicts = json.loads((resampled / "verdicts.json").read_text())
    assert verdicts["intervals"]["exclude"] == []
    assert "teacher" in verdicts["intervals"]["include"]


def test_plan_counts_every_draw(source):
    def total(**changes):
        problem = plan.open_plan(of(source, **changes))
        return sum(each.train_passes for each in plan.total(problem).work)

    one = total(protocol__seeds=(0,))
    assert total(protocol__resample=True) == 2 * one


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        (
            {"protocol__search_seeds": 2},
            "search_seeds: found 2, allowed is 1",
        ),
        (
            {"teacher__path": "bundle"},
            "resample: found True, allowed is False",
        ),
    ],
)
def test_it_refuses_what_it_cannot_vary(source, changes, found):
    with pytest.raises(InputError, match=found):
        of(source, protocol__resample=True, **changes)
