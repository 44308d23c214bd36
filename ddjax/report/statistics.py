"""Means, intervals and paired gaps over the students of a study.

`members` is everywhere a table with one row per trained student. Required columns:
method (str; `random` is the baseline, `full` the full-data reference at the same
compute), ipc (int; for `full` the budget whose compute it matches), regime (str),
seed (int), status (`ok` or `failed`), accuracy (test top-1, percent, NaN when failed),
val_accuracy (percent), learning_rate, image_passes (to train), find_passes and
find_seconds (to find the subset), train_seconds. An optional column `select_on` with
the value `test` marks students whose settings were chosen by their test accuracy;
others are `label_bytes`, the size of a student's labels, NaN if not stored, and
`find_flops`, the floating-point operations that its subset cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from ddjax.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

RANDOM = "random"
FULL = "full"
SELECTION_GAIN = "selection_gain"
LABEL_EFFECT = "hard - soft_kd"
REFERENCE = "soft_kd"  # the labels that other labels are compared with
CHOSEN_ON_TEST = "chosen on test"

_REGIMES = ("hard", "soft", "soft_kd")
_KEY = ["method", "ipc", "regime", "seed"]
_NUMBERS = [
    "accuracy",
    "val_accuracy",
    "learning_rate",
    "image_passes",
    "find_passes",
    "find_seconds",
    "train_seconds",
]


def mean_interval(values: ArrayLike, level: float = 0.95) -> tuple[float, float, int]:
    """Mean of a small sample with its Student t confidence interval.

    Args:
        values: [n] float, any unit; NaNs are dropped.
        level: confidence level in (0, 1).

    Returns:
        (mean, half width of the interval, number of values used). One value has a NaN
        half width; no values give (NaN, NaN, 0).

    Raises:
        InputError: if `level` is outside (0, 1).
    """
    from scipy.special import stdtrit

    if not 0.0 < level < 1.0:
        raise InputError(f"level: {level!r} is not a confidence level in (0, 1)")
    values = np.asarray(values, dtype=np.float64).ravel()
    values = values[~np.isnan(values)]
    n = values.size
    if n == 0:
        return float("nan"), float("nan"), 0
    if n == 1:
        return float(values[0]), float("nan"), 1
    quantile = stdtrit(n - 1, 0.5 + level / 2)
    half_width = quantile * values.std(ddof=1) / np.sqrt(n)
    return float(values.mean()), float(half_width), n


def paired_interval(
    a: ArrayLike, b: ArrayLike, level: float = 0.95
) -> tuple[float, float, int]:
    """Mean of the differences a - b of aligned samples with its t interval.

    Args:
        a: [n] float; a NaN drops the pair.
        b: [n] float, aligned with `a`.
        level: confidence level in (0, 1).

    Returns:
        (mean difference, half width, number of complete pairs), as `mean_interval`.

    Raises:
        InputError: if the lengths differ or `level` is outside (0, 1).
    """
    a = np.asarray(a, dtype=np.float64).ravel()
    b = np.asarray(b, dtype=np.float64).ravel()
    if a.size != b.size:
        raise InputError(f"paired samples differ in length: {a.size} and {b.size}")
    return mean_interval(a - b, level)


def ordered_methods(methods: Iterable[str]) -> list[str]:
    """Unique method names: random first, full last, the others as first given."""
    names = list(dict.fromkeys(methods))
    others = [name for name in names if name not in (RANDOM, FULL)]
    return [n for n in names if n == RANDOM] + others + [n for n in names if n == FULL]


def ordered_regimes(regimes: Iterable[str]) -> list[str]:
    """Unique regime names: hard, soft, soft_kd, then any others as first given."""
    names = list(dict.fromkeys(regimes))
    known = [name for name in _REGIMES if name in names]
    return known + [name for name in names if name not in _REGIMES]


def compares_labels(summary: pd.DataFrame) -> bool:
    """Whether a study compares labels on random subsets instead of selections."""
    return set(students(summary)["method"]) <= {RANDOM, FULL}


def students(summary: pd.DataFrame) -> pd.DataFrame:
    """The rows of a summary that stand for trained students."""
    return summary[summary["method"] != SELECTION_GAIN]


def summarise(members: pd.DataFrame) -> pd.DataFrame:
    """Mean accuracy and paired gap to random per method, budget and label regime.

    The gap pairs students of the same ipc, regime and seed, and uses only the seeds
    where both succeeded. Failed students count in `failed` and in nothing else but the
    cost of finding the subset and the learning rates.

    Args:
        members: one row per trained student, columns as in the module's docstring, at
            most one row per (method, ipc, regime, seed).

    Returns:
        One row per (regime, ipc, method), in that order, random first and full last:
        method, ipc, regime, accuracy and ci95 (percent, 95 % half width), n (students
        that succeeded), failed, gap and gap_ci95 (points, NaN for random itself),
        gap_n (pairs), label_gap and label_gap_ci95 (random under these labels minus
        random under soft_kd, paired by seed), val_accuracy, learning_rate (text,
        several joined by "; "), find_passes, find_seconds, find_flops,
        train_passes, train_seconds, label_bytes (means per student; find_flops and
        label_bytes NaN where the members do not have them) and note.

    Raises:
        InputError: if a column is missing, there are no rows, a status is unknown, or a
            student appears twice.
    """
    import pandas as pd

    members = _checked(members)
    accuracy = _accuracy_by_seed(members)
    groups = dict(list(members.groupby(["regime", "ipc", "method"], sort=False)))
    rows = [
        _summary_row(groups[regime, ipc, method], accuracy)
        for regime in ordered_regimes(members["regime"])
        for ipc in sorted(members["ipc"].unique())
        for method in ordered_methods(members["method"])
        if (regime, ipc, method) in groups
    ]
    return pd.DataFrame(rows)


def chosen_methods(summary: pd.DataFrame) -> pd.DataFrame:
    """The method with the best mean validation accuracy per regime and budget.

    The test accuracy plays no part in the choice, so the gap that is then read off the
    test set does not profit from picking the largest of many. (A student that is
    better by luck is so on both splits; only seeds that differ would remove that.)

    Args:
        summary: the result of `summarise`.

    Returns:
        One row per (regime, ipc) with the columns regime, ipc, method, val_accuracy,
        gap, gap_ci95, gap_n, note. No row where no method was validated or the chosen
        one shares no successful seed with random. Ties go to the method given first.
    """
    rows = students(summary)
    candidates = rows[
        ~rows["method"].isin([RANDOM, FULL])
        & rows["val_accuracy"].notna()
        & (rows["n"] > 0)
    ]
    groups = candidates.groupby(["regime", "ipc"], sort=False)["val_accuracy"]
    best = candidates.loc[groups.idxmax()]
    columns = ["regime", "ipc", "method", "val_accuracy"]
    columns += ["gap", "gap_ci95", "gap_n", "note"]
    return best.loc[best["gap_n"] > 0, columns].reset_index(drop=True)


def recommended(
    summary: pd.DataFrame, methods: Sequence[str], regime: str, ipc: int
) -> pd.Series | None:
    """The selection with the best mean validation accuracy, random among them.

    Test accuracy plays no part in the choice.

    Args:
        summary: the result of `summarise`.
        methods: the selections to choose from, in order of preference among equals.
        regime: under whose labels.
        ipc: the budget.

    Returns:
        The summary's row of it; None where no student of a selection was validated.
    """
    rows = students(summary)
    rows = rows[(rows["regime"] == regime) & (rows["ipc"] == ipc) & (rows["n"] > 0)]
    rows = rows[rows["method"].isin(methods) & rows["val_accuracy"].notna()]
    if rows.empty:
        return None
    best = rows[rows["val_accuracy"] == rows["val_accuracy"].max()]
    return best.loc[best["method"].map(list(methods).index).idxmin()]


def selection_gain(members: pd.DataFrame) -> pd.DataFrame:
    """What choosing the images gains over random, per label regime and budget.

    Args:
        members: one row per trained student, as for `summarise`.

    Returns:
        Per (regime, ipc) the method chosen on validation and its paired test gap to
        random, as `chosen_methods`.

    Raises:
        InputError: as `summarise`.
    """
    return chosen_methods(summarise(members))


def label_effect(members: pd.DataFrame) -> pd.DataFrame:
    """How much more the choice of images gains under hard labels than under soft_kd.

    Per seed: (chosen method - random) under hard labels, minus the same under soft_kd.
    The method is chosen on validation in each regime by itself.

    Args:
        members: one row per trained student, as for `summarise`.

    Returns:
        One row per ipc that has both regimes: ipc, gap, gap_ci95 (points), gap_n
        (seeds complete in both regimes), hard_method, soft_kd_method.

    Raises:
        InputError: as `summarise`.
    """
    import pandas as pd

    chosen = selection_gain(members).set_index(["regime", "ipc"])["method"]
    accuracy = _accuracy_by_seed(_checked(members))
    rows = []
    for ipc in sorted(members["ipc"].unique()):
        if ("hard", ipc) not in chosen or ("soft_kd", ipc) not in chosen:
            continue
        gain = {}
        for regime in ("hard", "soft_kd"):
            by_seed = accuracy.loc[regime, ipc]
            gain[regime] = by_seed[chosen[regime, ipc]] - by_seed[RANDOM]
        gap, half_width, n = mean_interval(gain["hard"] - gain["soft_kd"])
        if n > 0:
            rows.append(
                {
                    "ipc": ipc,
                    "gap": gap,
                    "gap_ci95": half_width,
                    "gap_n": n,
                    "hard_method": chosen["hard", ipc],
                    "soft_kd_method": chosen["soft_kd", ipc],
                }
            )
    columns = ["ipc", "gap", "gap_ci95", "gap_n", "hard_method", "soft_kd_method"]
    return pd.DataFrame(rows, columns=columns)


def with_label_effect(summary: pd.DataFrame, members: pd.DataFrame) -> pd.DataFrame:
    """Append the label effect per budget to a summary.

    Args:
        summary: the result of `summarise(members)`.
        members: one row per trained student.

    Returns:
        `summary` (counts as nullable integers) with one more row per budget that has
        both regimes: method `selection_gain`, regime `hard - soft_kd`, gap, gap_ci95
        and gap_n filled, and a note that names the chosen methods.

    Raises:
        InputError: as `summarise`.
    """
    import pandas as pd

    effect = label_effect(members)
    rows = effect[["ipc", "gap", "gap_ci95", "gap_n"]].assign(
        method=SELECTION_GAIN,
        regime=LABEL_EFFECT,
        learning_rate="",
        note="hard: "
        + effect["hard_method"]
        + "; soft_kd: "
        + effect["soft_kd_method"],
    )
    counts = {name: "Int64" for name in ("ipc", "n", "failed", "gap_n")}
    summary = summary.astype(counts)
    if rows.empty:
        return summary
    rows = rows.reindex(columns=summary.columns).astype(summary.dtypes)
    return pd.concat([summary, rows], ignore_index=True)


def _checked(members: pd.DataFrame) -> pd.DataFrame:
    """The members with the accuracies of failed students blanked, or an error."""
    required = [*_KEY, "status", *_NUMBERS]
    missing = [name for name in required if name not in members.columns]
    if missing:
        raise InputError(f"members: column {missing[0]!r} is missing; need {required}")
    if members.empty:
        raise InputError("members: the table is empty; at least one student is needed")
    unknown = set(members["status"]) - {"ok", "failed"}
    if unknown:
        raise InputError(
            f"members: status {sorted(map(str, unknown))[0]!r} is unknown; "
            "allowed are 'ok' and 'failed'"
        )
    repeated = members[members.duplicated(_KEY)]
    if len(repeated):
        method, ipc, regime, seed = repeated.iloc[0][_KEY]
        raise InputError(
            f"members: method {method!r}, ipc {ipc}, regime {regime!r}, seed {seed} "
            "appears more than once; pass one student per seed, with its settings "
            "already chosen on validation"
        )
    members = members.astype(dict.fromkeys(_NUMBERS, float))
    members.loc[members["status"] == "failed", ["accuracy", "val_accuracy"]] = np.nan
    return members


def accuracies(members: pd.DataFrame, column: str = "accuracy") -> pd.DataFrame:
    """Accuracies of every student, failed ones NaN.

    Args:
        members: one row per trained student, as for `summarise`.
        column: "accuracy", of the test split, or "val_accuracy".

    Returns:
        Percent, a row per (regime, ipc, seed), a column per method.

    Raises:
        InputError: as `summarise`.
    """
    return _checked(members).pivot(
        index=["regime", "ipc", "seed"], columns="method", values=column
    )


def _accuracy_by_seed(members: pd.DataFrame) -> pd.DataFrame:
    """Accuracies indexed by (regime, ipc, seed), one column per method."""
    accuracy = members.pivot(
        index=["regime", "ipc", "seed"], columns="method", values="accuracy"
    ).sort_index()
    return accuracy if RANDOM in accuracy else accuracy.assign(**{RANDOM: np.nan})


def _summary_row(group: pd.DataFrame, accuracy: pd.DataFrame) -> dict[str, object]:
    method, ipc, regime = group.iloc[0][["method", "ipc", "regime"]]
    mean, half_width, n = mean_interval(group["accuracy"])
    gap = (float("nan"), float("nan"), 0)
    if method != RANDOM:
        by_seed = accuracy.loc[regime, ipc]
        gap = paired_interval(by_seed[method], by_seed[RANDOM])
    label_gap = (float("nan"), float("nan"), 0)
    if method == RANDOM and regime != REFERENCE and (REFERENCE, ipc) in accuracy.index:
        own, reference = (
            accuracy.loc[name, ipc][RANDOM] for name in (regime, REFERENCE)
        )
        own, reference = own.align(reference)
        label_gap = paired_interval(own, reference)
    succeeded = group[group["accuracy"].notna()]
    rates = np.unique(group["learning_rate"].dropna())

    def optional(name):
        return group[name].mean() if name in group else float("nan")

    on_test = "select_on" in group and (group["select_on"] == "test").any()
    return {
        "method": method,
        "ipc": int(ipc),
        "regime": regime,
        "accuracy": mean,
        "ci95": half_width,
        "n": n,
        "failed": len(group) - n,
        "gap": gap[0],
        "gap_ci95": gap[1],
        "gap_n": gap[2],
        "label_gap": label_gap[0],
        "label_gap_ci95": label_gap[1],
        "val_accuracy": succeeded["val_accuracy"].mean(),
        "learning_rate": "; ".join(f"{rate:.6g}" for rate in rates),
        "find_passes": group["find_passes"].mean(),
        "find_seconds": group["find_seconds"].mean(),
        "find_flops": optional("find_flops"),
        "train_passes": succeeded["image_passes"].mean(),
        "train_seconds": succeeded["train_seconds"].mean(),
        "label_bytes": optional("label_bytes"),
        "note": CHOSEN_ON_TEST if on_test else "",
    }
