"""Means, intervals and paired gaps, against hand-worked values and SciPy."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ddjax.errors import InputError
from ddjax.report import statistics

NAN = float("nan")


def student(method, seed, accuracy, *, val=None, regime="hard", ipc=10, **changes):
    failed = np.isnan(accuracy)
    return {
        "method": method,
        "ipc": ipc,
        "regime": regime,
        "seed": seed,
        "status": "failed" if failed else "ok",
        "accuracy": accuracy,
        "val_accuracy": accuracy if val is None else val,
        "loss": 0.1,
        "learning_rate": 0.01,
        "steps": 100,
        "image_passes": 6400,
        "find_passes": 0 if method == "random" else 1000,
        "find_seconds": 0.0 if method == "random" else 2.0,
        "train_seconds": 1.5,
        **changes,
    }


def students(method, accuracies, **options):
    return [student(method, seed, a, **options) for seed, a in enumerate(accuracies)]


def row_of(summary, method, ipc=10, regime="hard"):
    rows = summary.query("method == @method and ipc == @ipc and regime == @regime")
    assert len(rows) == 1
    return rows.iloc[0]


def test_mean_interval_hand_worked():
    # mean 2, sd 1, t(2 degrees of freedom, 97.5 %) = 4.302653: 4.302653 / sqrt(3).
    mean, half_width, n = statistics.mean_interval([1.0, 2.0, 3.0])
    assert (mean, n) == (2.0, 3)
    assert half_width == pytest.approx(2.484138, abs=1e-6)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_mean_interval_matches_scipy(seed, level):
    values = np.random.default_rng(seed).normal(70.0, 3.0, size=4 + seed)
    mean, half_width, n = statistics.mean_interval(values, level)
    low, high = stats.t.interval(level, n - 1, values.mean(), stats.sem(values))
    np.testing.assert_allclose([mean - half_width, mean + half_width], [low, high])


def test_mean_interval_drops_nan_and_keeps_small_samples_honest():
    assert statistics.mean_interval([NAN, 3.0, 1.0, 2.0]) == pytest.approx(
        statistics.mean_interval([1.0, 2.0, 3.0])
    )
    mean, half_width, n = statistics.mean_interval([5.0, NAN])
    assert (mean, n) == (5.0, 1) and np.isnan(half_width)
    mean, half_width, n = statistics.mean_interval([])
    assert np.isnan(mean) and np.isnan(half_width) and n == 0
    assert statistics.mean_interval([4.0, 4.0]) == (4.0, 0.0, 2)


def test_mean_interval_refuses_level():
    with pytest.raises(InputError, match="level: 95 "):
        statistics.mean_interval([1.0, 2.0], level=95)


def test_paired_interval_matches_scipy_and_drops_incomplete_pairs():
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=6), rng.normal(size=6)
    interval = stats.ttest_rel(a, b).confidence_interval(0.95)
    mean, half_width, n = statistics.paired_interval([*a, 1.0, NAN], [*b, NAN, 2.0])
    np.testing.assert_allclose([mean - half_width, mean + half_width], interval)
    assert n == 6


def test_paired_interval_refuses_unequal_lengths():
    with pytest.raises(InputError, match="3 and 2"):
        statistics.paired_interval([1, 2, 3], [1, 2])


def test_summarise_hand_worked_row():
    rows = students("random", [50.0, 52.0, 54.0])
    rows += students("cad", [53.0, 54.0, 58.0], val=60.0, learning_rate=0.1)
    rows[4]["learning_rate"] = 0.003
    cad = row_of(statistics.summarise(pd.DataFrame(rows)), "cad")
    assert cad.accuracy == pytest.approx(55.0)
    # Gaps 3, 2, 4: mean 3, sd 1, half width as in the hand-worked interval.
    assert cad.gap == pytest.approx(3.0)
    assert cad.gap_ci95 == pytest.approx(2.484138, abs=1e-6)
    assert (cad.n, cad.failed, cad.gap_n) == (3, 0, 3)
    assert cad.val_accuracy == 60.0
    assert cad.learning_rate == "0.003; 0.1"
    assert (cad.find_passes, cad.find_seconds) == (1000, 2.0)
    assert np.isnan(cad.find_flops)
    found = pd.DataFrame(rows).assign(find_flops=np.arange(6.0))
    assert row_of(statistics.summarise(found), "cad").find_flops == 4.0
    assert (cad.train_passes, cad.train_seconds, cad.note) == (6400, 1.5, "")


def test_summarise_pairs_by_seed_when_rows_are_shuffled():
    rng = np.random.default_rng(0)
    base = rng.normal(50.0, 5.0, 5)
    members = pd.DataFrame(students("random", base) + students("el2n", base + 2.0))
    shuffled = members.sample(frac=1.0, random_state=1)
    el2n = row_of(statistics.summarise(shuffled), "el2n")
    assert el2n.gap == pytest.approx(2.0)
    assert el2n.gap_ci95 == pytest.approx(0.0, abs=1e-9)
    pd.testing.assert_frame_equal(
        statistics.summarise(members).set_index("method"),
        statistics.summarise(shuffled).set_index("method"),
        check_like=True,
    )


def test_summarise_leaves_failed_students_out_of_means_and_pairs():
    rows = students("random", [50.0, NAN, 52.0, 54.0])
    rows += students("aum", [NAN, 90.0, 53.0, 57.0])
    # What a failed student has logged before it failed must not count.
    rows[4].update(accuracy=10.0, val_accuracy=10.0, image_passes=1)
    aum = row_of(statistics.summarise(pd.DataFrame(rows)), "aum")
    assert (aum.n, aum.failed, aum.gap_n) == (3, 1, 2)
    assert aum.accuracy == pytest.approx(200.0 / 3)
    assert aum.gap == pytest.approx((1.0 + 3.0) / 2)
    assert aum.train_passes == 6400
    assert row_of(statistics.summarise(pd.DataFrame(rows)), "random").failed == 1


def test_summarise_keeps_a_method_of_which_all_failed():
    rows = students("random", [50.0, 51.0]) + students("dual", [NAN, NAN])
    dual = row_of(statistics.summarise(pd.DataFrame(rows)), "dual")
    assert (dual.n, dual.failed, dual.gap_n) == (0, 2, 0)
    assert np.isnan(dual.accuracy) and np.isnan(dual.gap)
    assert dual.find_passes == 1000


def test_summarise_compares_only_within_ipc_and_regime():
    rows = students("random", [50.0, 52.0]) + students("el2n", [51.0, 53.0])
    rows += students("random", [70.0, 72.0], regime="soft_kd")
    rows += students("el2n", [60.0, 62.0], ipc=50)
    summary = statistics.summarise(pd.DataFrame(rows))
    assert row_of(summary, "el2n").gap == pytest.approx(1.0)
    assert row_of(summary, "el2n", ipc=50).gap_n == 0
    assert np.isnan(row_of(summary, "el2n", ipc=50).gap)
    assert row_of(summary, "random").gap_n == 0


def test_summarise_order_is_stable():
    rows = []
    for regime in ("hald", "soft_kd", "hard"):
        for ipc in (50, 10):
            for method in ("full", "tdds", "random", "aum"):
                rows += students(method, [50.0], regime=regime, ipc=ipc)
    summary = statistics.summarise(pd.DataFrame(rows))
    assert list(summary["regime"].unique()) == ["hard", "soft_kd", "hald"]
    assert list(summary["ipc"][:8]) == [10] * 4 + [50] * 4
    assert list(summary["method"][:4]) == ["random", "tdds", "aum", "full"]


def test_summarise_marks_rows_chosen_on_test():
    rows = students("random", [50.0], select_on="validation")
    rows += students("cad", [51.0], select_on="test")
    summary = statistics.summarise(pd.DataFrame(rows))
    assert list(summary["note"]) == ["", "chosen on test"]


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda m: m.drop(columns="find_passes"), "column 'find_passes' is missing"),
        (lambda m: m.iloc[:0], "empty"),
        (lambda m: m.assign(status="done"), "status 'done' is unknown"),
        (lambda m: pd.concat([m, m.iloc[:1]]), "'random', ipc 10, .* seed 0 appears"),
    ],
)
def test_summarise_refuses_bad_members(break_it, message):
    members = pd.DataFrame(students("random", [50.0, 51.0]))
    with pytest.raises(InputError, match=message):
        statistics.summarise(break_it(members))


def test_selection_gain_chooses_on_validation_never_on_test():
    # On test `lucky` is 5 points ahead, on validation `steady` is.
    rows = students("random", [50.0, 51.0, 52.0])
    rows += students("lucky", [56.0, 58.0, 57.0], val=50.0)
    rows += students("steady", [51.0, 53.0, 54.0], val=55.0)
    rows += students("full", [80.0, 80.0, 80.0], val=90.0)
    gain = statistics.selection_gain(pd.DataFrame(rows))
    assert list(gain["method"]) == ["steady"]
    assert gain["gap"][0] == pytest.approx(5.0 / 3)
    assert gain["gap_n"][0] == 3
    assert gain["gap_ci95"][0] == pytest.approx(4.302653 * np.sqrt(1 / 9), abs=1e-5)


def test_selection_gain_has_no_row_without_validation_or_random():
    members = pd.DataFrame(
        students("random", [50.0, 51.0]) + students("cad", [52.0, 53.0])
    )
    blind = members.assign(val_accuracy=NAN)
    assert statistics.selection_gain(blind).empty
    assert statistics.selection_gain(members[members.method == "cad"]).empty
    assert statistics.selection_gain(members[members.method == "random"]).empty
    assert len(statistics.selection_gain(members)) == 1


def label_effect_members():
    """Chosen: el2n under hard (gains 4, 5, 9), aum under soft_kd (gains 1, 0, 2)."""
    rows = students("random", [50.0, 52.0, 54.0])
    rows += students("el2n", [54.0, 57.0, 63.0], val=60.0)
    rows += students("aum", [70.0, 70.0, 70.0], val=40.0)
    kd = {"regime": "soft_kd"}
    rows += students("random", [70.0, 72.0, 74.0], **kd)
    rows += students("el2n", [90.0, 90.0, 90.0], val=60.0, **kd)
    rows += students("aum", [71.0, 72.0, 76.0], val=75.0, **kd)
    return rows


def test_label_effect_hand_worked():
    members = pd.DataFrame(label_effect_members()).sample(frac=1.0, random_state=2)
    effect = statistics.label_effect(members).iloc[0]
    # 3, 5, 7 per seed: mean 5, sd 2.
    assert effect.gap == pytest.approx(5.0)
    assert effect.gap_ci95 == pytest.approx(2 * 2.484138, abs=1e-5)
    assert (effect.ipc, effect.gap_n) == (10, 3)
    assert (effect.hard_method, effect.soft_kd_method) == ("el2n", "aum")


def test_label_effect_uses_only_seeds_complete_in_both_regimes():
    rows = label_effect_members()
    rows[4].update(status="failed", accuracy=NAN)  # el2n, hard, seed 1
    effect = statistics.label_effect(pd.DataFrame(rows)).iloc[0]
    assert effect.gap == pytest.approx((3.0 + 7.0) / 2)
    assert effect.gap_n == 2


def test_with_label_effect_appends_one_row_per_budget():
    rows = label_effect_members() + students("random", [60.0], ipc=50)
    members = pd.DataFrame(rows)
    summary = statistics.summarise(members)
    result = statistics.with_label_effect(summary, members)
    assert len(result) == len(summary) + 1
    row = result.iloc[-1]
    assert (row.method, row.regime, row.ipc) == ("selection_gain", "hard - soft_kd", 10)
    assert row.gap == pytest.approx(5.0) and row.gap_n == 3
    assert row.note == "hard: el2n; soft_kd: aum"
    assert row[["accuracy", "ci95", "n", "find_passes"]].isna().all()
    assert len(statistics.students(result)) == len(summary)


@pytest.mark.parametrize("regime", ["hard", "soft_kd"])
def test_with_label_effect_without_one_of_the_regimes(regime):
    members = pd.DataFrame(label_effect_members())
    members = members[members.regime == regime]
    summary = statistics.summarise(members)
    assert statistics.label_effect(members).empty
    assert len(statistics.with_label_effect(summary, members)) == len(summary)
