"""Which selection is recommended, and what is said of it."""

import numpy as np
import pandas as pd
import pytest

from ddjax import report

METHODS = ("random", "herding", "cad_prune")


def summary(*rows):
    """A row is (method, validation, test accuracies of the seeds)."""
    return report.summarise(
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
    row = report.recommended(summary(*rows), METHODS, "hard", 10)
    return row.method, report.recommendation(row, len(METHODS), seed=0)


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
            "not told apart from random, so a random one may do as well.",
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
        assert text.endswith("over 2 seeds: choosing the images otherwise did not pay.")


def test_nothing_is_recommended_where_all_failed():
    table = summary(("random", 50.0, [np.nan]), ("full", 50.0, [60.0]))
    assert report.recommended(table, METHODS, "hard", 10) is None
    assert report.recommended(table, METHODS, "soft", 10) is None


def test_no_gap_where_random_failed():
    _, text = said(("random", 50.0, [np.nan]), ("herding", 55.0, [60.0]))
    assert text.endswith("60.0 ±? % over 1 seeds; no seed compares it with random.")


def test_a_choice_on_test_is_marked():
    table = summary(("random", 50.0, [60.0]))
    table["note"] = "chosen on test"
    row = report.recommended(table, METHODS, "hard", 10)
    assert "(50.0 %, chosen on test)" in report.recommendation(row, 1, 0)
