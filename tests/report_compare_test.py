"""Comparing runs: what is paired, what is shown, and what is refused."""

import csv
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from words import private

from ddjax import main
from ddjax.cli.command import parse
from ddjax.errors import InputError
from ddjax.report import comparability, compare, comparison_page, results
from ddjax.report.contrasts import holm, unpaired

SOURCE = {"name": "digits", "digest": "d0", "shape": [8, 8, 1]}
SOURCE |= {"pool": 1000, "validation": 100, "test": 1000}
CELLS = [(m, i, "hard") for m in ("random", "cad_prune", "full") for i in (2, 10)]


def student(method, ipc, regime, seed, accuracy, **changes):
    row = {"network": "mlp", "method": method, "ipc": ipc, "regime": regime}
    row |= {"seed": seed, "status": "ok", "accuracy": accuracy}
    row |= {"val_accuracy": accuracy, "learning_rate": 0.01, "image_passes": 100}
    row |= {"find_passes": 0, "find_seconds": 0.0, "train_seconds": 1.0}
    row |= {"select_on": "validation", "subset": f"{method}{ipc}s{seed}"}
    return row | changes


def students(shift=0.0, noise=0, seeds=range(5), cells=CELLS, **changes):
    """Students whose accuracies share a part a seed, and are higher by a shift."""
    found = []
    for place, cell in enumerate(cells):
        shared = np.random.default_rng(place).normal(70, 5, 100)
        own = np.random.default_rng([noise, place]).normal(shift, 0.5, 100)
        found += [
            student(*cell, seed, float(shared[seed] + own[seed]), **changes)
            for seed in seeds
        ]
    return found


def write(folder, rows, source=SOURCE, settings=None, **manifest):
    folder.mkdir(parents=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "members.jsonl").write_text(text)
    versions = {"versions": {"ddjax": "1.0"}, "backend": "cpu", "devices": ["cpu"]}
    made = {"settings": settings or {}, "source": source, "environment": versions}
    (folder / "manifest.json").write_text(json.dumps(made | manifest))
    return folder


@pytest.fixture
def two(tmp_path):
    """Writes two runs and returns them with their table."""

    def make(one, other, **of_other):
        paths = [write(tmp_path / "a", one), write(tmp_path / "b", other, **of_other)]
        runs = compare.read(paths)
        return runs, compare.table(runs)

    return make


def cell(table, run, method="random", ipc=2, regime="hard"):
    keys = {"run": run, "method": method, "ipc": ipc, "regime": regime}
    rows = table[(table[list(keys)] == pd.Series(keys)).all(axis=1)]
    assert len(rows) == 1
    return rows.iloc[0]


def accuracies(rows, method="random", ipc=2):
    own = [r for r in rows if (r["method"], r["ipc"]) == (method, ipc)]
    return np.array([r["accuracy"] for r in sorted(own, key=lambda r: r["seed"])])


def test_students_of_the_same_subset_are_paired(two):
    one, other = students(noise=1), students(2.0, noise=2)
    _, table = two(one, other)
    row = cell(table, "b", "cad_prune", 10)
    values = accuracies(other, "cad_prune", 10) - accuracies(one, "cad_prune", 10)
    low, high = scipy.stats.ttest_1samp(values, 0).confidence_interval()
    assert row["difference"] == pytest.approx(values.mean())
    assert row["difference_ci95"] == pytest.approx((high - low) / 2)
    assert (row["difference_pairing"], row["difference_n"]) == ("paired", 5)
    first = table[table["run"] == "a"]
    assert first["difference"].isna().all() and (first["difference_state"] == "").all()
    assert (first["reference_network"] == "").all()


def test_students_of_other_subsets_are_not(two):
    one = students(noise=1)
    other = students(2.0, noise=2, subset="another", seeds=range(7))
    _, table = two(one, other)
    row = cell(table, "b")
    found = scipy.stats.ttest_ind(accuracies(other), accuracies(one), equal_var=False)
    low, high = found.confidence_interval()
    assert row["difference"] == pytest.approx((low + high) / 2)
    assert row["difference_ci95"] == pytest.approx((high - low) / 2)
    assert (row["difference_pairing"], row["difference_n"]) == ("unpaired", 12)


@pytest.mark.parametrize(
    "change",
    [
        {"source": SOURCE | {"pool": 999}},
        {"source": SOURCE | {"validation": 99}},
        {"settings": {"protocol": {"resample": True}}},
    ],
)
def test_another_split_pairs_nothing(two, change):
    runs, table = two(students(noise=1), students(noise=2), **change)
    others = table[table["run"] == "b"]
    assert (others["difference_pairing"] == "unpaired").all()
    (remark,) = comparability.remarks(runs)
    assert remark.startswith("b: split into training and validation otherwise than a")


def test_few_pairs_are_worth_less_than_all_students(two):
    one, other = students(seeds=range(10)), students(noise=2, seeds=range(6, 16))
    _, table = two(one, other)
    assert cell(table, "b")["difference_pairing"] == "unpaired"  # 4 pairs of 10
    assert cell(table, "b")["difference_n"] == 20


def test_gaps_are_paired_by_the_subsets_of_random(two):
    one, other = students(noise=1), students(noise=2)
    for row in other:
        if row["method"] == "cad_prune":
            row["subset"] = "another"
    _, table = two(one, other)
    row = cell(table, "b", "cad_prune")
    assert row["difference_pairing"] == "unpaired"
    gaps = [accuracies(r, "cad_prune") - accuracies(r) for r in (one, other)]
    assert row["gap_difference"] == pytest.approx((gaps[1] - gaps[0]).mean())
    low, high = scipy.stats.ttest_1samp(gaps[1] - gaps[0], 0).confidence_interval()
    assert row["gap_difference_ci95"] == pytest.approx((high - low) / 2)
    assert (row["gap_difference_pairing"], row["gap_difference_n"]) == ("paired", 5)
    assert cell(table, "b")["gap_difference_state"] == ""  # of random itself


@pytest.mark.parametrize("change", [{"digest": "d1"}, {"test": 500}])
def test_of_other_test_images_only_gaps_are_compared(two, change):
    runs, table = two(students(noise=1), students(noise=2), source=SOURCE | change)
    assert table["difference"].isna().all() and (table["difference_state"] == "").all()
    row = cell(table, "b", "cad_prune")
    assert np.isfinite(row["gap_difference"])
    pairing = "unpaired" if "digest" in change else "paired"
    assert row["gap_difference_pairing"] == pairing
    assert (
        "not the source or not the test images of a" in comparability.remarks(runs)[0]
    )
    text = comparison_page.console_text(runs, table)
    assert "Gap to random in 4 cells" in text and "Accuracy in" not in text


def test_all_that_is_compared_is_one_family(two):
    one, other = students(noise=1), students(1.5, noise=2)
    _, table = two(one, other)
    rows = table[table["run"] == "b"]
    raw = [
        scipy.stats.ttest_1samp(accuracies(other, m, i) - accuracies(one, m, i), 0)
        for m, i in zip(rows["method"], rows["ipc"], strict=True)
    ]
    expected = holm([each.pvalue for each in raw])
    np.testing.assert_allclose(rows["difference_p_holm"], expected, rtol=1e-6)


def test_means_have_few_tests(two):
    runs, table = two(students(noise=1), students(2.0, noise=2))
    means = compare.averaged(runs)
    (row,) = means.to_dict("records")
    assert row["difference"] == pytest.approx(
        np.mean([cell(table, "b", ipc=ipc)["difference"] for ipc in (2, 10)])
    )
    gaps = [cell(table, "b", "cad_prune", ipc)["gap_difference"] for ipc in (2, 10)]
    assert row["gap_difference"] == pytest.approx(np.mean(gaps))
    assert (row["difference_state"], row["methods"]) == ("shown", 1)
    assert row["gap_difference_state"] == "undecided"
    assert row["gap_difference_seeds_needed"] > 5
    text = comparison_page.console_text(runs, table)
    assert "What differs" not in text
    assert "shown, paired" in text and "seeds would), paired" in text


def test_a_copy_is_alike(two):
    rows = students()
    runs, table = two(rows, rows)
    others = table[table["run"] == "b"]
    assert (others["difference"] == 0).all()
    assert (others["difference_state"] == "small").all()
    assert "one run is a copy of the other" in comparability.remarks(runs)[0]


def test_settings_that_reach_no_student_are_told(two):
    more = students(cells=[("herding", 2, "hard")])
    runs, _ = two(students(), students() + more)
    (remark,) = comparability.remarks(runs)
    assert remark.startswith("b: the very accuracies of a for all students of the same")


def test_students_of_other_seeds_are_not_the_same(two):
    changed = [row | {"seed": row["seed"] + 5} for row in students()]
    runs, _ = two(students(), changed)
    assert comparability.remarks(runs) == []


def test_tables_leave_out_what_one_run_alone_has(two):
    more = [("herding", 2, "hard"), ("random", 2, "soft"), ("full", 2, "soft")]
    runs, table = two(students(noise=1), students(noise=2, cells=[*CELLS, *more]))
    assert "herding" in {*table["method"]}
    ((_, lines),) = comparison_page.grids(table).values()
    assert [line[0] for line in lines[::2]] == ["Random", "CAD-Prune", "Full data"]
    (left,) = comparison_page.alone(table)
    assert left.endswith("methods that b alone has, by labels: hard: 1, soft: 2.")
    assert left in comparison_page.console_text(runs, table)
    of_one = table[(table["run"] == "a") | (table["method"] == "herding")]
    lines = comparison_page.grids(of_one[of_one["method"] != "random"])["hard"][1]
    assert len(lines) == 3 and comparison_page.alone(of_one) == []


def test_a_network_is_compared_with_itself(two):
    one = students(network="mlp") + students(5.0, network="linear")
    other = students(5.0, network="linear") + students(1.0, network="resnet")
    runs, table = two(one, other)
    row = table.set_index(["run", "network", "method", "ipc"]).sort_index()
    assert row.loc["b", "linear", "random", 2]["difference"] == 0
    assert row.loc["b", "resnet", "random", 2]["reference_network"] == "mlp"
    assert row.loc["b", "resnet", "random", 2]["difference"] == pytest.approx(1.0)
    answers = compare.answers(runs, table)
    assert list(answers) == ["b (linear)", "b (resnet)"]
    assert answers["b (linear)"].startswith("Accuracy in 6 cells (paired): 6 smaller")


@pytest.mark.parametrize(
    ("changes", "remark"),
    [
        ({"cells": [("random", 5, "hard")]}, "b: no budget in common with a, IPC 2, 1"),
        ({"cells": [("random", 2, "soft")]}, "b: no kind of labels in common with a"),
        ({"cells": [("images", 2, "hard")]}, "b: no method in common with a"),
        ({"cells": [("images", 2, "hard")]}, "b: no students of random"),
        ({"image_passes": 7}, "b: other image passes of students than a"),
        ({"select_on": "test"}, "b: settings were chosen on test"),
        ({"status": "failed"}, "b: students failed and are left out"),
    ],
)
def test_what_keeps_runs_apart_is_named(two, changes, remark):
    runs, table = two(students(noise=1), students(noise=2, **changes))
    assert any(text.startswith(remark) for text in comparability.remarks(runs))
    text = comparison_page.console_text(runs, table)
    assert remark in text and not private(text)
    if "cells" in changes or "status" in changes:
        assert compare.answers(runs, table) == {"b": "Nothing can be compared."}


def test_without_a_manifest_gaps_are_compared(two, tmp_path):
    runs, _ = two(students(noise=1), students(noise=2))
    (tmp_path / "b" / "manifest.json").unlink()
    runs = compare.read([run.folder for run in runs.all])
    table = compare.table(runs)
    assert table["difference"].isna().all()
    assert cell(table, "b", "cad_prune")["gap_difference_pairing"] == "unpaired"
    assert comparability.remarks(runs)[0].startswith("b: no manifest.json")


def test_sets_of_the_same_name_are_compared(two):
    cells = [(m, 2, "hard") for m in ("random", "images")]
    one, other = students(noise=1, cells=cells), students(noise=2, cells=cells)
    for name, rows in (("x", one), ("y", other)):
        for row in rows:
            row["subset"] = name if row["method"] == "images" else row["subset"]
    _, table = two(one, other)
    row = cell(table, "b", "images")
    assert row["difference_pairing"] == "unpaired"
    assert row["gap_difference_pairing"] == "paired"


def test_one_seed_shows_nothing(two):
    runs, table = two(students(seeds=[0]), students(9.0, seeds=[0]))
    row = cell(table, "b")
    assert row["difference"] == pytest.approx(9.0)
    assert np.isnan(row["difference_ci95"]) and row["difference_state"] == "undecided"
    assert "+9.0 ±?" in comparison_page.console_text(runs, table)


def test_settings_that_differ_are_listed(tmp_path):
    settings = {"student": {"epochs": 5, "widths": [1, 2]}, "name": "x"}
    other = {"student": {"epochs": 6, "widths": [1, 2]}, "name": "x", "new": True}
    one = write(tmp_path / "a", students(), settings=settings)
    two = write(tmp_path / "b", students(), SOURCE | {"pool": 9}, other)
    runs = compare.read([one, two])
    found = comparability.differing(runs)
    assert found.to_dict("index") == {
        "student.epochs": {"a": "5", "b": "6"},
        "source.pool": {"a": "1000", "b": "9"},
        "new": {"a": "–", "b": "True"},
    }
    text = comparison_page.console_text(runs, compare.table(runs))
    assert "\nstudent.epochs  5     6\n" in text
    assert "\nnot shown: 1, such as what a run lacks; --out has all\n" in text


@pytest.mark.parametrize(
    ("paths", "labels"),
    [
        (["/r/a", "/r/b"], ["a", "b"]),
        (["/r/a/out", "/r/b/out"], ["a", "b"]),
        (["/x/1/run", "/y/1/run", "/y/2/run"], ["x/1", "y/1", "y/2"]),
        (["/run", "/run/run"], ["/", "run"]),
        (["/r/a\nb", "/r/\u202eab"], [r"a\nb", r"\u202eab"]),
    ],
)
def test_labels_are_the_shortest_that_differ(paths, labels):
    assert results.labels([results.Path(path) for path in paths]) == labels


def test_welchs_interval_covers_what_it_claims():
    rng, repeats = np.random.default_rng(0), 1000
    found = [
        unpaired("", "", rng.normal(3, 1, 5), rng.normal(1, 3, 8))
        for _ in range(repeats)
    ]
    covered = np.mean([abs(each.mean - 2) < each.half_width for each in found])
    assert 0.93 < covered < 0.97
    same = [unpaired("", "", rng.normal(1, 1, 5), rng.normal(0, 3, 8)) for _ in found]
    assert np.mean([each.p_small < 0.05 for each in same]) < 0.065
    assert unpaired("", "", [1.0, np.nan], [2.0, 3.0]).mean == -1.5
    assert np.isnan(unpaired("", "", [], [2.0, 3.0]).mean)
    # Seeds that agree by chance prove nothing: the deviation is that of rounding.
    alike = unpaired("", "", [50.0, 50.0], [50.0, 50.0], (10.0, 10.0))
    assert alike.half_width == pytest.approx(4.303 * 10 / 12**0.5, rel=1e-3)


def refuse(message, *folders):
    with pytest.raises(InputError, match=message):
        compare.table(compare.read(folders))


def test_what_is_no_run_is_refused(tmp_path):
    run, other = write(tmp_path / "a", students()), tmp_path / "b"
    refuse("compare: found 1 run, allowed are two or more", run)
    refuse("b: found nothing, allowed is the folder of a run", run, other)
    other.mkdir()
    refuse("b: has no members.jsonl, so it is no folder of a run", run, other)
    (other / "run.json").write_text("{}")
    refuse("b: has no members.jsonl yet; the run's command finishes it", run, other)
    (other / "summary.csv").write_text("teacher,network\n")
    refuse("b: is a run of teachers only, which has no students", run, other)
    (tmp_path / "link").symlink_to(run)
    refuse("is given twice", run, tmp_path / "link")
    refuse("a/members.jsonl: found a file, allowed", run, run / "members.jsonl")


GOOD = json.dumps(student("random", 2, "hard", 0, 50.0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no students"),
        (f"{GOOD}\n{GOOD[:40]}", "line 2 is damaged"),
        ("[" * 100000, "line 1 is damaged"),
        ("7", "line 1 is damaged .no JSON object"),
        (GOOD.replace('"ipc"', '"cpi"'), "line 1 has nothing for ipc, expected a who"),
        (
            GOOD.replace("50.0", '"much"', 1),
            "line 1 has 'much' for accuracy, expected a finite",
        ),
        (GOOD.replace("50.0", "NaN", 1), "line 1 has nan for accuracy, expected a fin"),
        (GOOD.replace('"mlp"', "5"), "line 1 has 5 for network, expected a text"),
        (
            GOOD.replace('"seed": 0', '"seed": true'),
            "line 1 has True for seed, expected a whole",
        ),
        (f"{GOOD}\n{GOOD}", "members: method 'random', ipc 2, .* once"),
        (GOOD.replace('"ok"', '"fine"'), ".*status 'fine' is unknown"),
    ],
)
def test_damaged_students_are_refused(tmp_path, text, message):
    run, other = write(tmp_path / "a", students()), write(tmp_path / "b", [])
    (other / "members.jsonl").write_text(text)
    refuse(f"b/members.jsonl: {message}", run, other)


def test_settings_of_another_form_are_compared(two):
    settings = {"protocol": [], "student": {"network": None}}
    runs, table = two(students(noise=1), students(noise=2), settings=settings)
    assert (table[table["run"] == "b"]["difference_pairing"] == "paired").all()
    assert "protocol" in comparability.differing(runs).index


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"settings": {}, "source": {"test": "many"}}',
        json.dumps({"settings": {}, "source": SOURCE, "environment": []}),
    ],
)
def test_a_damaged_manifest_is_refused(tmp_path, text):
    run, other = write(tmp_path / "a", students()), write(tmp_path / "b", students())
    (other / "manifest.json").write_text(text)
    refuse("b/manifest.json: is damaged", run, other)


NAMES = ("a", '<b>"q"', "=1+1", "{{ 7 * 7 }}", "$x$", "ل" * 40, "\u202eab", "n\nl", ",")


def test_twelve_runs_of_any_name_become_a_table_and_a_page(tmp_path):
    cells = CELLS[::2][:2]
    folders = [
        write(tmp_path / name, students(noise=place, cells=cells, seeds=range(2)))
        for place, name in enumerate((*NAMES, "x1", "x2", "x3"))
    ]
    runs = compare.read(folders)
    table = compare.table(runs)
    assert len(table) == 12 * len(cells)
    out = tmp_path / "deep" / "out"
    page, sheet = reversed(comparison_page.write(out, runs, table))
    text = page.read_text()
    assert "<b>" not in text.partition("<body>")[2] and "&lt;b&gt;" in text
    assert not private(comparison_page.console_text(runs, table))
    with open(sheet, newline="") as file:
        rows = list(csv.DictReader(file))
    labels = list(dict.fromkeys(row["run"] for row in rows))
    assert labels == [run.label for run in runs.all]
    assert labels[:6] == list(NAMES[:6])
    again = pd.read_csv(sheet, dtype=str, keep_default_na=False)
    assert again.to_dict("records") == rows


def test_names_in_files_do_not_reach_the_terminal(tmp_path):
    cells = [("random", 2, "hard"), ("m\x1b[31m\nx", 2, "r\x1b[2J")]
    rows, folders = students(cells=cells), []
    for name, place in (("a", "\x1b]0;x"), ("b", "y")):
        settings = {"data": {"data_dir": place}}
        folders.append(write(tmp_path / name, rows, settings=settings))
    runs = compare.read(folders)
    text = comparison_page.console_text(runs, compare.table(runs))
    assert "\x1b" not in text and r"\x1b[31m\nx" in text and r"\x1b]0;x" in text


def test_the_command_writes_only_where_it_is_told_to(tmp_path, monkeypatch, capsys):
    folders = [str(write(tmp_path / n, students(), name=n)) for n in ("a", "b")]
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    before = sorted(tmp_path.rglob("*"))
    main._compare(parse(["compare", *folders]))
    assert sorted(tmp_path.rglob("*")) == before
    assert "b: Accuracy in 6 cells (paired)" in capsys.readouterr().out
    main._compare(parse(["compare", *folders, "--out=out"]))
    assert {path.name for path in (here / "out").iterdir()} == {
        "compare.csv",
        "compare.html",
    }
    assert "written: out/compare.html" in capsys.readouterr().out
    (here / "file").write_text("")
    with pytest.raises(InputError, match="--out file: cannot be made a folder"):
        main._compare(parse(["compare", *folders, "--out", "file"]))


@pytest.mark.slow
def test_the_program_compares(tmp_path):
    folders = [str(write(tmp_path / n, students())) for n in ("a", "b")]
    command = [sys.executable, "-m", "ddjax", "compare"]
    done = subprocess.run([*command, *folders], capture_output=True, text=True)
    assert done.returncode == 0 and "one run is a copy" in done.stdout
    done = subprocess.run([*command, folders[0]], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith(
        "error: compare: found 1 run"
    )
