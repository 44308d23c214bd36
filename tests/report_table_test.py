"""Text forms of a summary: CSV, terminal, Markdown and plain words."""

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


def test_console_table_cells_and_alignment(summary):
    text = table.console_table(summary)
    lines = text.splitlines()
    assert lines[0] == "hard labels"
    assert lines[2].split() == ["method", "IPC", "10", "IPC", "50"]
    start = lines[2].index("IPC 50")
    assert lines[3][:start].split() == ["random", "69.5", "±0.4"]
    assert lines[3][start:] == "75.0 ±0.4"
    assert lines[4][:start].split() == ["cad", "71.6", "±0.8", "(+2.1)"]
    assert lines[4][start:] == "74.0 ±? (-1.0)"
    assert lines[5] == "aum     69.5 ±1.0 (+0.0) !1"
    assert "failed !3" in text
    assert "!k: k students failed" in text and "±?: one student" in text
    assert "optimistic" not in text
    assert text.splitlines()[-1] == (
        "IPC 10: selection gain, hard - soft_kd: +1.9 ±0.7 "
        "(seeds: 3; chosen on validation: hard: cad; soft_kd: aum)"
    )


def test_console_table_marks_what_was_chosen_on_test(summary):
    summary.loc[1, "note"] = statistics.CHOSEN_ON_TEST
    text = table.console_table(summary)
    assert "71.6 ±0.8 (+2.1) *" in text and "optimistic" in text
    assert "cad (chosen on test) beats random" in table.answer(summary)[0]


def test_markdown_table_holds_the_same_cells(summary):
    summary.loc[2, "method"] = "a|b"
    text = table.markdown_table(summary)
    assert "| method | IPC 10 | IPC 50 |\n| --- | --- | --- |" in text
    assert "| cad | 71.6 ±0.8 (+2.1) | 74.0 ±? (-1.0) |" in text
    assert "| a\\|b | 69.5 ±1.0 (+0.0) !1 |  |" in text
    assert "**soft_kd labels**" in text
    assert "- IPC 10: selection gain, hard - soft_kd: +1.9 ±0.7" in text


def test_tables_without_label_effect_end_with_the_legend(summary):
    students = statistics.students(summary)
    assert table.console_table(students).splitlines()[-1].startswith("!k:")
    assert "selection gain" not in table.markdown_table(students)


def test_answer_says_what_the_intervals_allow(summary):
    ten, fifty = table.answer(summary)
    assert ten == (
        "At IPC 10, under hard labels, cad beats random by +2.1 ±0.9; under soft_kd "
        "labels, aum against random is +0.2 ±0.6: no difference is shown. The gain "
        "under hard labels minus that under soft_kd is +1.9 ±0.7: choosing the images "
        "gains more under hard labels. Full data at the same compute against random: "
        "+10.5 ±0.6 under hard."
    )
    assert fifty == (
        "At IPC 50, under hard labels, cad against random is -1.0 ±?: there is one "
        "seed only, so no difference is shown."
    )


@pytest.mark.parametrize(
    ("gap", "half_width", "words"),
    [
        (-2.0, 0.5, "cad falls behind random by 2.0 ±0.5"),
        (0.5, 0.5, "cad against random is +0.5 ±0.5: no difference is shown"),
        (0.6, 0.5, "cad beats random by +0.6 ±0.5"),
    ],
)
def test_answer_verdict_follows_the_interval(gap, half_width, words):
    rows = [row("random", 50.0, 1.0), row("cad", 51.0, 1.0, gap, half_width)]
    assert words in table.answer(pd.DataFrame(rows))[0]


@pytest.mark.parametrize(
    ("gap", "words"),
    [(-1.0, "gains more under soft_kd labels"), (0.3, "no difference is shown")],
)
def test_answer_reads_the_label_effect(gap, words):
    rows = [row("random", 50.0, 1.0), row("cad", 51.0, 1.0, 1.0, 0.2), effect(gap, 0.5)]
    sentence = table.answer(pd.DataFrame(rows))[0].split(". ")[-1]
    assert words in sentence


def test_answer_is_empty_without_a_comparison():
    assert table.answer(pd.DataFrame([row("random", 50.0, 1.0)])) == []


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
        ["vq", "37.5 kB", "78.0 ±1.0 (-2.0)"],
    ]
    assert "paired gap to soft_kd" in table.legend([found])[0]


def test_label_study_answers_with_the_gaps():
    (sentence,) = table.answer(pd.DataFrame(labels_rows()))
    assert sentence.endswith("under soft_kd labels: vq -2.0 ±0.5.")


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
        "Recommended subset: herding at IPC 10 under hard labels, seed 0, the best of "
        "3 selections on validation (55.0 %). On test herding has 62.5 ±7.0 % over 2 "
        "seeds, +2.1 ±0.6 points to random: better than random, shown by these seeds."
    )


@pytest.mark.parametrize(
    "accuracies, ending",
    [
        (
            [60.0, 63.0],
            "no difference is shown, so a random subset may do as well.",
        ),
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
