"""A whole run on tiny data: what it leaves, what it reuses, how it resumes."""

import contextlib
import csv
import itertools
import json
import pathlib
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import tiny
from runs import created, drawing, numbers_of, rows_of
from tables import misfits, wrong
from words import private

from ddjax import pipeline, plan
from ddjax.errors import InputError
from ddjax.report.names import title
from ddjax.report.statistics import FULL, RANDOM
from ddjax.settings import from_config
from ddjax.stages import tuning
from ddjax.stages.rates import Rates

ROOT = pathlib.Path(__file__).parents[1]
METHODS = ("random", "el2n_best_window", "cad_prune", "facility_location")
REGIMES = ("hard", "soft", "soft_kd")
IPCS = (2, 4)
SMALL = {"regimes": ("hard",), "select__methods": ("random",)}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return tiny.write(tmp_path_factory.mktemp("source") / "tiny.npz")


def all_of_it(source, **changes):
    defaults = {
        "select__methods": METHODS,
        "select__ipcs": IPCS,
        "student__learning_rates": (0.01, 0.03),
    }
    return from_config(tiny.config(source, **defaults | changes))


@pytest.fixture(scope="module")
def done(source, tmp_path_factory):
    """The folder of a whole run, and what `run` returned."""
    folder = tmp_path_factory.mktemp("done") / "run"
    with (
        drawing(),
        open(folder.with_name("printed.txt"), "w") as file,
        contextlib.redirect_stdout(file),
    ):
        return folder, pipeline.run(all_of_it(source), folder)


def costs_of(folder):
    return json.loads((folder / "manifest.json").read_text())["costs"]


def test_no_private_word_is_printed_or_reported(done, source, capsys):
    folder, _ = done
    plan.show(all_of_it(source))
    texts = {"plan": capsys.readouterr().out}
    for name in ("../printed.txt", "report.html", "stages.csv", "summary.csv"):
        texts[name] = re.sub(r"base64,[^\"]*", "", (folder / name).read_text())
    assert "stage 1 of" in texts["../printed.txt"] and "stages" in texts["plan"]
    assert not {name: found for name, text in texts.items() if (found := private(text))}


def test_run_leaves_its_files_and_nothing_else(done):
    folder, _ = done
    assert {path.name for path in folder.iterdir()} == {
        ".lock",
        "README.md",
        "artifacts",
        "figures",
        "manifest.json",
        "members.jsonl",
        "metrics.jsonl",
        "partial",
        "report.html",
        "run.json",
        "scores",
        "stages.csv",
        "subset.csv",
        "subsets",
        "summary.csv",
        "verdicts.json",
    }
    assert list((folder / "partial").iterdir()) == []
    kinds = [path.name.split("-")[0] for path in (folder / "artifacts").iterdir()]
    assert set(kinds) == {
        "teacher",
        "labels",
        "trace",
        "last_layer",
        "subsets",
        "students",
    }
    assert kinds.count("trace") == kinds.count("subsets") == len(IPCS)
    figures = {path.name: path.read_bytes() for path in (folder / "figures").iterdir()}
    each = itertools.product(("images", "difficulty", "correlation"), IPCS)
    assert set(figures) == {"classes.png", "teachers.png"} | {
        f"{name}_ipc{ipc}.png" for name, ipc in each
    }
    for name, png in figures.items():
        assert png.startswith(b"\x89PNG"), name


def test_its_tables_are_as_they_are_declared(done):
    folder, _ = done
    assert not list(wrong(folder)) and not list(misfits(folder))


def test_summary_has_a_row_for_everything_compared(done):
    folder, summary = done
    rows = list(csv.DictReader((folder / "summary.csv").read_text().splitlines()))
    columns = "method ipc regime accuracy ci95 n failed gap gap_ci95 gap_n".split()
    assert set(columns) < set(rows[0])
    assert len(rows) == len(summary)
    found = [(row["regime"], int(row["ipc"]), row["method"]) for row in rows]
    expected = [
        (regime, ipc, method)
        for regime in REGIMES
        for ipc in IPCS
        for method in (*METHODS, FULL)
    ]
    effects = [("hard - soft_kd", ipc, "selection_gain") for ipc in IPCS]
    assert found == expected + effects
    for row in rows[: len(expected)]:
        assert row["n"] == "2" and row["failed"] == "0"
        assert 0 <= float(row["accuracy"]) <= 100
        assert (row["gap"] == "") == (row["method"] == RANDOM)


def test_summary_is_the_mean_of_its_members(done):
    folder, summary = done
    members = pd.DataFrame(rows_of(folder))
    for (method, ipc, regime), group in members.groupby(["method", "ipc", "regime"]):
        same = (summary.method == method) & (summary.ipc == ipc)
        (row,) = summary[same & (summary.regime == regime)].to_dict("records")
        assert row["accuracy"] == pytest.approx(group["accuracy"].mean())
    for row in summary[summary.method == "selection_gain"].to_dict("records"):
        assert np.isfinite(row["gap"]) and row["gap_n"] == 2


def test_members_have_a_line_each_that_json_can_hold(done):
    folder, _ = done
    rows = rows_of(folder)
    keys = {(row["method"], row["ipc"], row["regime"], row["seed"]) for row in rows}
    assert len(keys) == len(rows) == 5 * len(IPCS) * len(REGIMES) * 2
    for row in rows:
        assert row["status"] == "ok" and row["select_on"] == "validation"
        steps = -(-20 * row["ipc"] * 3 // 6)
        assert row["steps"] == steps and row["image_passes"] == 6 * steps
        assert row["images"] == (96 if row["method"] == FULL else 3 * row["ipc"])
        assert 36 * row["accuracy"] / 100 == pytest.approx(
            round(36 * row["accuracy"] / 100)
        )
        assert row["learning_rate"] in (0.01, 0.03)
        searched = row["method"] == "el2n_best_window"
        assert (row["window_start"] in (0.0, 0.5)) == searched
    text = (folder / "members.jsonl").read_text()
    assert "NaN" not in text and "Infinity" not in text


def test_costs_count_what_finding_a_subset_took(done):
    folder, _ = done
    validation = 24
    for row in rows_of(folder):
        passes = row["image_passes"]
        # A scoring run spends the student's passes and looks 9 times at 96 images.
        trace = passes + 9 * 96
        expected = {
            RANDOM: 0,
            FULL: 0,
            "cad_prune": trace,
            # Its features are asked of the network at the end of that run.
            "facility_location": trace + 96 + validation,
            "el2n_best_window": trace + 2 * (passes + validation),
        }
        assert row["find_passes"] == expected[row["method"]], row["method"]


def test_soft_kd_without_augmentation_is_soft(done):
    # Every view is the image itself, so that its stored label is the teacher's answer.
    folder, _ = done
    by_regime = {
        regime: [row["accuracy"] for row in rows_of(folder) if row["regime"] == regime]
        for regime in REGIMES
    }
    # One of 36 test images may lie between two classes up to float noise.
    np.testing.assert_allclose(by_regime["soft"], by_regime["soft_kd"], atol=100 / 36)
    assert by_regime["soft"] != by_regime["hard"]


def test_the_recommended_subset_is_that_of_the_best_selection_on_validation(done):
    folder, summary = done
    rows = summary[(summary["regime"] == "hard") & (summary["ipc"] == max(IPCS))]
    rows = rows[rows["method"].isin(METHODS)]
    method = rows.loc[rows["val_accuracy"].idxmax(), "method"]
    stem = f"{method}_hard" if method == "el2n_best_window" else method
    chosen = folder / "subsets" / f"{stem}_ipc{max(IPCS)}_seed0.csv"
    assert (folder / "subset.csv").read_text() == chosen.read_text()
    report = (folder / "report.html").read_text()
    assert f"Recommended subset: {title(method)} at IPC {max(IPCS)}" in report


def test_report_and_manifest_tell_the_settings(done):
    folder, _ = done
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["settings"]["student"]["learning_rates"] == [0.01, 0.03]
    assert manifest["source"]["classes"] == list(tiny.CLASSES)
    assert [manifest["source"][name] for name in ("pool", "validation", "test")] == [
        96,
        24,
        36,
    ]
    names = {path.name for path in (folder / "artifacts").iterdir()}
    assert {row["artifact"] for row in manifest["costs"]} == names
    report = (folder / "report.html").read_text()
    for name in (*METHODS, "tiny"):
        assert name in report


def test_nothing_but_the_compared_students_read_the_test_split(done):
    folder, _ = done
    for path in folder.glob("artifacts/students-*"):
        manifest = json.loads((path / "manifest.json").read_text())
        compared = manifest["info"]["label"].startswith("students,")
        assert ("test_accuracy" in manifest["arrays"]) == compared


def test_rerun_reuses_everything(source, done):
    folder, _ = done
    summary, before = (folder / "summary.csv").read_bytes(), created(folder)
    members = (folder / "members.jsonl").read_bytes()
    pipeline.run(all_of_it(source), folder)
    assert created(folder) == before
    assert all(row["reused"] for row in costs_of(folder))
    assert (folder / "summary.csv").read_bytes() == summary
    assert (folder / "members.jsonl").read_bytes() == members
    assert not [path for path in folder.rglob("*") if "tmp" in path.name]


def copied(folder, tmp_path):
    return pathlib.Path(shutil.copytree(folder, tmp_path / "copy"))


def test_changed_temperature_recomputes_soft_students_only(source, done, tmp_path):
    folder, changes = done[0], {"student__temperature": 4.0, "select__ipcs": (2,)}
    copy = copied(folder, tmp_path)
    pipeline.run(all_of_it(source, **changes), copy)
    costs = costs_of(copy)
    for row in costs:
        soft = ", soft" in row["stage"]
        assert row["reused"] != soft, row["stage"]
    assert sum(", soft" in row["stage"] for row in costs) == 2 * (1 + 1 + 2)


def test_changed_teacher_recomputes_what_hangs_on_it(source, done, tmp_path):
    folder, changes = done[0], {"teacher__epochs": 4, "select__ipcs": (2,)}
    copy = copied(folder, tmp_path)
    pipeline.run(all_of_it(source, **changes), copy)
    for row in costs_of(copy):
        hangs = row["stage"] in ("teacher", "fixed labels")
        hangs = hangs or ", soft" in row["stage"]
        assert row["reused"] != hangs, row["stage"]


@pytest.mark.parametrize("kind", ["teacher", "labels", "trace", "subsets", "students"])
def test_damaged_artifact_is_refused_by_name(source, done, tmp_path, kind):
    copy = copied(done[0], tmp_path)
    path = sorted(copy.glob(f"artifacts/{kind}-*"))[0] / "arrays.npz"
    path.write_bytes(path.read_bytes()[:-1])
    before = created(copy)
    with pytest.raises(
        InputError, match=f"{path.parent.name}/arrays.npz: sha256 .*del"
    ):
        pipeline.run(all_of_it(source), copy)
    assert created(copy) == before


def test_deleted_artifact_is_made_again(source, done, tmp_path):
    copy = copied(done[0], tmp_path)
    victim = next(
        path
        for path in copy.glob("artifacts/students-*")
        if "students, soft," in (path / "manifest.json").read_text()
    )
    shutil.rmtree(victim)
    pipeline.run(all_of_it(source), copy)
    made = [row["artifact"] for row in costs_of(copy) if not row["reused"]]
    assert made == [victim.name]
    assert numbers_of(copy) == numbers_of(done[0])


def test_workdir_of_another_source_is_refused(done, tmp_path):
    other = tiny.write(tmp_path / "other.npz", **tiny.arrays(seed=1))
    before = created(done[0])
    with pytest.raises(InputError, match="holds a run with source"):
        pipeline.run(all_of_it(other), done[0])
    assert created(done[0]) == before


@pytest.fixture(scope="module")
def small(source, tmp_path_factory):
    """Runs random subsets under hard labels in a new folder; returns its folder."""

    def run(**changes):
        folder = tmp_path_factory.mktemp("small")
        settings = from_config(tiny.config(source, **SMALL | changes))
        pipeline.run(settings, folder)
        return folder

    return run


@pytest.fixture(scope="module")
def reference(small):
    """The folder of such a run with one student at a time."""
    return small()


@pytest.mark.parametrize("driver", ["vmap", "mesh", "auto"])
def test_drivers_give_the_same_students(small, reference, driver):
    expected = rows_of(reference)
    # Two members a group: the vmap program of `auto` serves `vmap` as well.
    found = rows_of(small(sweep__driver=driver, sweep__members=2))
    for row, other in zip(found, expected, strict=True):
        for name in ("method", "seed", "subset", "steps", "learning_rate"):
            assert row[name] == other[name]
        # Batched matrix products round in another order, and the noise grows over
        # twenty steps; one of the 36 (24) images may then fall to another class.
        assert row["accuracy"] == pytest.approx(other["accuracy"], abs=100 / 36 + 1e-9)
        assert row["val_accuracy"] == pytest.approx(
            other["val_accuracy"], abs=100 / 24 + 1e-9
        )
        pairs = zip(row["curve"], other["curve"], strict=True)
        for a, b in (pair for pair in pairs if pair != (None, None)):
            assert a == pytest.approx(b, rel=1e-2, abs=1e-3)


def test_groups_change_nothing(small, reference):
    assert numbers_of(small(sweep__members=1)) == numbers_of(reference)


def test_added_budget_reuses_the_others(source, reference, tmp_path):
    copy = copied(reference, tmp_path)
    more = tiny.config(source, **SMALL | {"select__ipcs": (2, 4)})
    pipeline.run(from_config(more), copy)
    for row in costs_of(copy):
        assert row["reused"] == ("IPC 4" not in row["stage"]), row["stage"]


def test_another_learning_rate_trains_other_students(source, reference, tmp_path):
    copy = copied(reference, tmp_path)
    other = tiny.config(source, **SMALL | {"student__learning_rates": (0.02,)})
    pipeline.run(from_config(other), copy)
    for row in costs_of(copy):
        assert row["reused"] != row["stage"].startswith("students"), row["stage"]


def test_failed_students_are_told_apart(small, reference, monkeypatch):
    # Rates are tuned so that this happens by bad luck only; here it is arranged.
    rates = Rates({RANDOM: 0.01, FULL: 1e30})  # beyond what settings allow
    healthy = rows_of(reference)
    monkeypatch.setattr(tuning, "_tune", lambda *arguments: rates)
    folder = small()
    for row, expected in zip(rows_of(folder), healthy, strict=True):
        if row["method"] == FULL:
            assert row["status"] == "failed"
            assert row["accuracy"] is None and row["val_accuracy"] is None
        else:
            assert row["status"] == "ok"
            assert row["accuracy"] == expected["accuracy"]
    summary = pd.read_csv(folder / "summary.csv").set_index("method")
    assert summary.loc[FULL, ["n", "failed"]].tolist() == [0, 2]
    assert summary.loc[RANDOM, ["n", "failed"]].tolist() == [2, 0]
    assert np.isnan(summary.loc[FULL, "accuracy"])
    assert "1e+30" in (folder / "report.html").read_text()


DECAY = {"student__optimizer__weight_decay": tiny.DECAY}


def test_run_ends_well_when_every_student_fails(small, capsys):
    folder = small(student__learning_rates=(tiny.DIVERGES,), **DECAY)
    assert not (folder / "subset.csv").exists()
    assert "no subset is recommended" in capsys.readouterr().out
    assert {row["status"] for row in rows_of(folder)} == {"failed"}
    summary = pd.read_csv(folder / "summary.csv")
    assert summary["accuracy"].isna().all() and (summary["failed"] == 2).all()


def test_run_refuses_a_grid_that_diverges_everywhere(small):
    with pytest.raises(InputError, match="with all of which training diverged"):
        small(student__learning_rates=(tiny.DIVERGES / 2, tiny.DIVERGES), **DECAY)


def test_select_on_test_is_marked(small):
    changes = {"student__learning_rates": (0.01, 0.03), "protocol__select_on": "test"}
    folder = small(**changes)
    assert {row["select_on"] for row in rows_of(folder)} == {"test"}
    notes = pd.read_csv(folder / "summary.csv")["note"]
    assert (notes == "chosen on test").all()
    notes = json.loads((folder / "manifest.json").read_text())["notes"]
    assert "Learning rates and windows were chosen on the test split." in notes
