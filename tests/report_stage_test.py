"""The report: what a student's line holds, and remarks on learning rates."""

import dataclasses
import json

import numpy as np
import pytest
import runs
import tiny

from ddjax import artifacts
from ddjax.artifacts import Cost
from ddjax.problem import open_problem
from ddjax.report.statistics import FULL, RANDOM
from ddjax.settings import from_config
from ddjax.stages import report
from ddjax.stages.comparison import member_row
from ddjax.stages.inputs import SelectionInputs
from ddjax.stages.students import Member, Outcome

FOUND = Cost(seconds=2.0, compile_seconds=9.0, forward_passes=30, train_passes=12)


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    source = tiny.write(tmp_path_factory.mktemp("source") / "tiny.npz")
    changes = {"regimes": ("hard",), "select__methods": ("random",)}
    return open_problem(from_config(tiny.config(source, **changes)))


def outcome(method=RANDOM, seed=0, accuracy=50.0, curve=(1.0, 0.5), **changes):
    positions = np.array([3, 1, 8], np.int32)
    return Outcome(
        member=Member(method, 2, seed, 0.01, positions, **changes),
        val_accuracy=accuracy - 10,
        accuracy=accuracy,
        test_loss=1.25,
        curve=np.array(curve),
        train_seconds=1.5,
        steps=20,
        image_passes=120,
        label_bytes=48.0,
        label_disk_bytes=60.0,
    )


def test_member_row_holds_the_students_record(problem):
    row = member_row(problem, "hard", outcome(label=0.5), FOUND)
    assert row == {
        "network": "mlp",
        "method": "random",
        "ipc": 2,
        "regime": "hard",
        "seed": 0,
        "status": "ok",
        "accuracy": 50.0,
        "val_accuracy": 40.0,
        "test_loss": 1.25,
        "loss": 0.5,
        "learning_rate": 0.01,
        "window_start": 0.5,
        "steps": 20,
        "image_passes": 120,
        "find_passes": 42,
        "find_seconds": 2.0,
        "find_flops": 0.0,
        "train_seconds": 1.5,
        "select_on": "validation",
        "label_bytes": 48.0,
        "label_disk_bytes": 60.0,
        "images": 3,
        "subset": artifacts.digest(problem.pool.ids[[3, 1, 8]]),
        "curve": [1.0, 0.5],
        "train_curve": [],
        "test_curve": [],
        "curve_steps": [],
    }
    json.dumps(row)


def test_member_row_names_the_subset_by_stable_ids(problem):
    # The same images at other positions of another pool are the same subset.
    row = member_row(problem, "hard", outcome(), FOUND)
    ids = problem.pool.ids[np.array([3, 1, 8])]
    assert row["subset"] == artifacts.digest(ids)
    assert row["subset"] != artifacts.digest(np.array([3, 1, 8], np.int32))


def test_member_row_rounds_the_curve(problem):
    row = member_row(problem, "hard", outcome(curve=(1 / 3, 2 / 3)), FOUND)
    assert row["curve"] == [0.33333, 0.66667]


def test_member_row_tells_a_failure(problem):
    nothing = float("nan")
    failed = outcome(accuracy=nothing, curve=(1.0, nothing))
    row = member_row(problem, "hard", failed, FOUND)
    assert row["status"] == "failed"
    assert np.isnan(row["accuracy"]) and np.isnan(row["val_accuracy"])


@pytest.fixture(scope="module")
def written(problem, tmp_path_factory):
    """The folder and summary of one failed and three finished students."""
    outcomes = [
        outcome(accuracy=60.0),
        outcome(seed=1, accuracy=float("nan"), curve=(float("inf"), float("nan"))),
        outcome(FULL, accuracy=70.0),
        outcome(FULL, seed=1, accuracy=80.0),
    ]
    rows = [member_row(problem, "hard", o, Cost()) for o in outcomes]
    folder = tmp_path_factory.mktemp("run")
    source = dataclasses.replace(problem.source, remarks=("A remark.",))
    problem = dataclasses.replace(problem, source=source)
    with runs.running(folder) as run:
        stage = report.report_stage(
            problem,
            [
                (
                    problem,
                    {
                        "teachers": {},
                        "tunings": {},
                        "comparisons": [runs.known(rows)],
                        "subsets": {2: runs.known(runs.subsets_of(run, problem, 2))},
                        "sets": {2: {}},
                        "inputs": {2: runs.known(SelectionInputs(problem, 2, {}, {}))},
                        "losses": {2: {}},
                    },
                )
            ],
        )
        return folder, runs.result(run, stage)


def test_write_turns_what_json_lacks_into_null(written):
    folder, _ = written
    lines = (folder / "members.jsonl").read_text().splitlines()

    def refuse(constant):
        raise AssertionError(constant)

    rows = [json.loads(line, parse_constant=refuse) for line in lines]
    assert [row["status"] for row in rows] == ["ok", "failed", "ok", "ok"]
    assert rows[1]["accuracy"] is None and rows[1]["val_accuracy"] is None
    assert rows[1]["loss"] is None and rows[1]["curve"] == [None, None]
    assert rows[0]["accuracy"] == 60.0
    manifest = (folder / "manifest.json").read_text()
    json.loads(manifest, parse_constant=refuse)


def test_write_leaves_failures_out_of_the_means(written):
    _, summary = written
    by_method = summary.set_index("method")
    assert by_method.loc[RANDOM, "accuracy"] == 60.0
    assert by_method.loc[RANDOM, ["n", "failed"]].tolist() == [1, 1]
    assert by_method.loc[FULL, "accuracy"] == 75.0
    # Only seed 0 has both.
    assert by_method.loc[FULL, ["gap", "gap_n"]].tolist() == [10.0, 1]


def test_write_keeps_notes_costs_and_environment(problem, written):
    folder, _ = written
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["notes"] == ["A remark."]
    assert [row["stage"] for row in manifest["costs"]] == ["subsets, IPC 2"]
    assert manifest["environment"]["backend"] == "cpu"
    assert manifest["environment"]["versions"]["jax"]
    assert manifest["settings"]["name"] == "tiny"
    assert manifest["source"]["digest"] == problem.source.digest
    assert "A remark." in (folder / "report.html").read_text()
