"""Text forms of a summary: CSV, tables of a terminal and plain words."""

import re

import numpy as np
import pandas as pd
import pytest

from ddjax.report import statistics, table

NAN = float("nan")
METHODS = ("random", "herding", "cad_prune")


def row(method, accuracy, ci95, gap=NAN, gap_ci95=NAN, **changes):
    return {
        "method": method,
        "ipc": 10,
        "regime": "hard",
        "accuracy": accuracy,
        "ci95": ci95,
        "n": 3,
        "failed": 0,
        "gap": gap,
        "gap_ci95": gap_ci95,
        "gap_n": 0 if np.isnan(gap) else 3,
        "label_gap": NAN,
        "label_gap_ci95": NAN,
        "val_accuracy": accuracy,
        "learning_rate": "0.001",
        "find_passes": 60000.0,
        "find_seconds": 1.23456,
        "train_passes": 999.6,
        "train_seconds": 2.0,
        "label_bytes": NAN,
        "note": "",
        **changes,
    }


def effect(gap, gap_ci95, ipc=10):
    return row(
        statistics.SELECTION_GAIN,
        NAN,
        NAN,
        gap,
        gap_ci95,
        ipc=ipc,
        regime=statistics.LABEL_EFFECT,
        n=pd.NA,
        failed=pd.NA,
        note="hard: cad; soft_kd: aum",
    )


@pytest.fixture
def summary():
    rows = [
        row("random", 69.5, 0.4),
        row("cad", 71.6, 0.8, 2.1, 0.9),
        row("aum", 69.46, 1.0, -0.04, 0.5, failed=1, n=2),
        row("full", 80.0, 0.5, 10.5, 0.6),
        row("random", 75.0, 0.4, ipc=50),
        row("cad", 74.0, NAN, -1.0, NAN, n=1, gap_n=1, ipc=50),
        row("random", 80.0, 0.3, regime="soft_kd"),
        row("aum", 80.2, 0.3, 0.2, 0.6, regime="soft_kd"),
        row("dual", NAN, NAN, n=0, failed=3, regime="soft_kd"),
        effect(1.9, 0.7),
    ]
    counts = dict.fromkeys(("ipc", "n", "failed", "gap_n"), "Int64")
    return pd.DataFrame(rows).astype(counts)


def test_write_csv_round_trip(summary, tmp_path):
    path = tmp_path / "summary.csv"
    path.write_text("older")
    summary.loc[1, "accuracy"] = 71.6000000001
    table.write_csv(summary, path)
    assert [file.name for file in tmp_path.iterdir()] == ["summary.csv"]
    assert path.read_text().splitlines()[2].startswith("cad,10,hard,71.6,0.8,3,0,2.1,")
    read = pd.read_csv(path)
    assert list(read.columns) == list(summary.columns)
    for name in ("method", "regime", "ipc"):
        assert list(read[name]) == list(summary[name])
    for name in ("accuracy", "ci95", "gap", "gap_ci95", "n", "failed"):
        expected = summary[name].astype("Float64").to_numpy(float, na_value=np.nan)
        np.testing.assert_allclose(read[name], expected, atol=5e-5)
    assert read["train_passes"][0] == 1000 and read["find_seconds"][0] == 1.235
    assert read["note"].iloc[-1] == "hard: cad; soft_kd: aum"


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    for name in ("FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


def test_console_table_cells_and_alignment(summary):
    assert table.console_table(summary).splitlines() == [
        "hard labels",
        "           IPC 10               IPC 50",
        "-" * 46,
        "Random     69.5 ±0.4            75.0 ±0.4",
        "Cad        71.6 ±0.8 (+2.1)     74.0 ±? (−1.0)",
        "Aum        69.5 ±1.0 (+0.0) !1",
        "Full data  80.0 ±0.5 (+10.5)",
        "",
        "soft_kd labels",
        "        IPC 10",
        "-" * 24,
        "Random  80.0 ±0.3",
        "Aum     80.2 ±0.3 (+0.2)",
        "DUAL    failed !3",
        "",
        "Test accuracy in % ± 95 % interval (paired gap to random).",
        "±?: one student, no interval.",
        "!k: k students failed and are left out.",
    ]


def test_the_best_of_a_column_is_not_the_full_data(summary):
    hard, soft = table.regime_tables(summary)
    assert hard.best == {(1, 1), (0, 2)} and soft.best == {(1, 1)}
    (alone,) = table.regime_tables(summary[summary["accuracy"] == 80.0])[:1]
    assert alone.best == frozenset()


def test_the_best_cells_are_bold_where_that_is_wanted(summary, monkeypatch):
    before = table.console_table(summary)
    monkeypatch.setenv("FORCE_COLOR", "1")
    text = table.console_table(summary)
    bold = ["hard labels", "75.0 ±0.4", "71.6 ±0.8 (+2.1)"]
    bold += ["soft_kd labels", "80.2 ±0.3 (+0.2)"]
    assert re.findall("\x1b\\[1m(.*?)\x1b\\[0m", text) == bold
    stripped = re.sub("\x1b\\[.m", "", text)
    assert stripped.splitlines()[:-1] == before.splitlines()
    assert stripped.splitlines()[-1].startswith("Bold: the highest of a column.")
    monkeypatch.setenv("NO_COLOR", "1")
    assert table.console_table(summary) == before


def test_budgets_that_a_terminal_has_no_room_for_are_below(summary, monkeypatch):
    whole = table.console_table(summary)
    monkeypatch.setattr(table.console, "width", lambda: 46)
    assert table.console_table(summary).startswith(whole.split("soft_kd")[0])
    monkeypatch.setattr(table.console, "width", lambda: 45)
    text = table.console_table(summary)
    assert max(map(len, text.splitlines())) <= 45
    assert text.splitlines()[8:13] == [
        "           IPC 50",
        "-" * 25,
        "Random     75.0 ±0.4",
        "Cad        74.0 ±? (−1.0)",
        "Aum",
    ]


def test_numbers_may_end_below_each_other():
    grid = [["stage", "seconds"], ["teacher", "1.0"], ["a", "10.0"]]
    assert table.aligned(grid, right=[1]).splitlines() == [
        "stage    seconds",
        "----------------",
        "teacher      1.0",
        "a           10.0",
    ]


def test_console_table_marks_what_was_chosen_on_test(summary):
    summary.loc[1, "note"] = statistics.CHOSEN_ON_TEST
    text = table.console_table(summary)
    assert "71.6 ±0.8 (+2.1) *" in text and "optimistic" in text


def labels_rows():
    return [
        row("random", 80.0, 0.5, regime="soft_kd"),
        row("full", 85.0, 0.5, 5.0, 0.4, regime="soft_kd"),
        row(
            "random",
            78.0,
            1.0,
            regime="vq",
            label_gap=-2.0,
            label_gap_ci95=0.5,
            label_bytes=37500.0,
        ),
    ]


def test_label_study_has_one_table_with_bytes_and_gaps_to_soft_kd():
    (found,) = table.regime_tables(pd.DataFrame(labels_rows()))
    assert found.header == ["labels", "bytes", "IPC 10"]
    assert found.rows == [
        ["soft_kd", "", "80.0 ±0.5"],
        ["soft_kd, full data", "", "85.0 ±0.5"],
        ["vq", "37.5 kB", "78.0 ±1.0 (−2.0)"],
    ]
    assert found.best == {(0, 2)}
    assert "paired gap to soft_kd" in table.legend([found])[0]


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (812, "812 B"), (37500, "37.5 kB"), (1.5e6, "1.5 MB"), (5e9, "5 GB")],
)
def test_size_text(count, text):
    assert table.size_text(count) == text


def trained(*rows):
    """A row is (method, validation, test accuracies of the seeds)."""
    return statistics.summarise(
        pd.DataFrame(
            [
                {
                    "method": method,
                    "ipc": 10,
                    "regime": "hard",
                    "seed": seed,
                    "status": "failed" if np.isnan(value) else "ok",
                    "accuracy": value,
                    "val_accuracy": validation,
                    "learning_rate": 0.01,
                    "image_passes": 1,
                    "find_passes": 0,
                    "find_seconds": 0.0,
                    "train_seconds": 0.0,
                }
                for method, validation, accuracies in rows
                for seed, value in enumerate(accuracies)
            ]
        )
    )


def said(*rows):
    row = statistics.recommended(trained(*rows), METHODS, "hard", 10)
    return row.method, table.recommendation(row, len(METHODS), seed=0)


def test_validation_decides_and_test_does_not():
    method, text = said(
        ("random", 50.0, [60.0, 61.0]),
        ("herding", 55.0, [62.0, 63.1]),
        ("cad_prune", 54.0, [90.0, 90.0]),
        ("full", 99.0, [99.0, 99.0]),
        ("sre2l", 98.0, [98.0, 98.0]),
    )
    assert method == "herding"
    assert text == (
        "Recommended subset: Herding at IPC 10 under hard labels, seed 0, the best of "
        "3 selections on validation (55.0 %). On test Herding has 62.5 ±7.0 % over 2 "
        "seeds, +2.1 ±0.6 points to random: this interval lies above 0."
    )


@pytest.mark.parametrize(
    "accuracies, ending",
    [
        ([60.0, 63.0], "a random subset may do as well."),
        ([50.0, 51.0], "worse than random on test: take a random subset."),
        ([62.0, np.nan], "one seed alone shows no difference."),
        ([np.nan, 62.0], "one seed alone shows no difference."),
    ],
)
def test_what_is_not_shown_is_said(accuracies, ending):
    rows = ("random", 50.0, [60.0, 61.1]), ("herding", 55.0, accuracies)
    method, text = said(*rows)
    assert method == "herding" and text.endswith(ending)


def test_random_is_recommended_where_it_validates_best_or_as_well():
    for best in (50.0, 50.1):
        rows = ("herding", 50.0, [70.0, 71.0]), ("random", best, [60.0, 61.0])
        method, text = said(*rows)
        assert method == "random"
        assert text.endswith("over 2 seeds: no other selection did better.")


def test_nothing_is_recommended_where_all_failed():
    found = trained(("random", 50.0, [np.nan]), ("full", 50.0, [60.0]))
    assert statistics.recommended(found, METHODS, "hard", 10) is None
    assert statistics.recommended(found, METHODS, "soft", 10) is None


def test_no_gap_where_random_failed():
    _, text = said(("random", 50.0, [np.nan]), ("herding", 55.0, [60.0]))
    assert text.endswith("60.0 ±? % over 1 seeds; no seed compares it with random.")


def test_a_choice_on_test_is_marked():
    found = trained(("random", 50.0, [60.0]))
    found["note"] = "chosen on test"
    row = statistics.recommended(found, METHODS, "hard", 10)
    assert "(50.0 %, chosen on test)" in table.recommendation(row, 1, 0)
