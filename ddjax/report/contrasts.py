"""Contrasts: paired differences between arms of a study, and what they show.

The unit is the seed. A difference is between students of the same seed, budget and
labels, and is averaged over the budgets within a seed first; a seed that lacks one of
them drops out. The seeds' differences are taken to be normal.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ddjax.report.statistics import mean_interval

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.05  # of all tests, after Holm's correction
MARGIN = 1.0  # points; what is smaller does not matter
SHOWN, SMALL, UNDECIDED = "shown", "small", "undecided"
_POWER = 0.8  # with which as many seeds as are named would decide
_MOST = 1000  # seeds that are worth naming


@dataclasses.dataclass(frozen=True)
class Contrast:
    """A mean paired difference of test accuracy, in points.

    Attributes:
      name: what is compared, such as "best − random".
      regime: under which labels; of two kinds, those of the first arm.
      values: one a seed, averaged over budgets.
      mean: of the values; NaN without any.
      half_width: of the 95 % interval; NaN for fewer than two.
      p: of the two-sided t test that the true mean is 0, corrected as `judged` says.
      p_small: of the two one-sided tests that it is `MARGIN` or more, likewise.
      needed: seeds that would decide it in four of five repetitions, if mean and
        spread stay as they are; None: it is decided, or more than 1000.
    """

    name: str
    regime: str
    values: tuple[float, ...]
    mean: float
    half_width: float
    p: float
    p_small: float
    needed: int | None = None

    @property
    def n(self) -> int:
        """Number of seeds."""
        return len(self.values)

    @property
    def state(self) -> str:
        """SMALL before SHOWN before UNDECIDED: a small gap may be real as well."""
        if self.p_small < LEVEL:
            return SMALL
        return SHOWN if self.p < LEVEL else UNDECIDED

    @property
    def sign(self) -> int:
        """1 or -1 where a difference is shown, however small; else 0."""
        return int(np.sign(self.mean)) if self.p < LEVEL else 0


def contrast(
    name: str, regime: str, differences: Iterable[float], grain: float = 0.0
) -> Contrast:
    """Returns a contrast that is not corrected for others.

    Args:
      name: what is compared.
      regime: under which labels.
      differences: one a seed, in points; NaNs are dropped.
      grain: points that one test image is worth. The deviation of differences counts
        as at least that of their rounding, so that seeds that agree by chance prove
        nothing.
    """
    values = np.asarray([*differences], np.float64)
    values = values[~np.isnan(values)]
    mean, half_width, n = mean_interval(values)
    p = p_small = float("nan")
    if n > 1:
        error = _deviation(values, grain) / math.sqrt(n)
        half_width = _quantile(1 - 0.05 / 2, n) * error
        p = 2 * _tail(abs(mean), error, n)
        p_small = _tail(MARGIN - abs(mean), error, n)
    return Contrast(name, regime, tuple(values.tolist()), mean, half_width, p, p_small)


def judged(family: Sequence[Contrast], grain: float = 0.0) -> list[Contrast]:
    """Returns contrasts with p values that are corrected for each other by Holm.

    Among all differences of a family that are called shown, the probability that one
    is not there is at most 5 %; likewise that one of those called small is not
    (S. Holm, Scandinavian Journal of Statistics 6, 1979).

    Args:
      family: not corrected yet.
      grain: as of `contrast`.
    """
    return [
        dataclasses.replace(each, needed=_needed(each, len(family), grain))
        for each in corrected(family)
    ]


def corrected(family: Sequence[Contrast]) -> list[Contrast]:
    """Returns what `judged` does, without the seeds that would decide."""
    p, p_small = (
        holm([getattr(each, name) for each in family]) for name in ("p", "p_small")
    )
    return [
        dataclasses.replace(each, p=one, p_small=other)
        for each, one, other in zip(family, p, p_small, strict=True)
    ]


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns p values corrected for each other by Holm's step-down procedure.

    Args:
      p_values: in [0, 1]; NaN: not tested, and left so.
    """
    p = np.asarray(p_values, np.float64)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    factors = len(order) - np.arange(len(order))
    corrected = np.full_like(p, np.nan)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return corrected.tolist()


def all_small(gaps: Iterable[Contrast]) -> float:
    """Returns p of the test that some of several contrasts is `MARGIN` or more.

    It is the largest of theirs, NaN if one is: an intersection-union test, which needs
    no correction.
    """
    return float(np.max([gap.p_small for gap in gaps], initial=0.0))


def pairs(accuracy: pd.DataFrame, regime: str, grain: float = 0.0) -> list[Contrast]:
    """Returns the contrasts between any two columns.

    Args:
      accuracy: one row a seed, one column an arm.
      regime: under which labels.
      grain: as of `contrast`.
    """
    return [
        contrast(f"{one} − {other}", regime, accuracy[one] - accuracy[other], grain)
        for one, other in itertools.combinations(accuracy.columns, 2)
    ]


def by_others(
    validation: pd.DataFrame, pick: Callable[[pd.Series], str]
) -> dict[int, str]:
    """Returns the arm that is picked for each seed by the validation of all others.

    A student that is better by luck is so on both splits. Where its own seed has no
    part in the choice, the picked arm's test accuracy is that of any other student.

    Args:
      validation: one row a seed, one column an arm, accuracies.
      pick: mean accuracies by arm, without NaNs -> an arm, as `pandas.Series.idxmax`.
    """
    found = {}
    for seed in validation.index:
        others = validation.drop(index=seed) if len(validation) > 1 else validation
        means = others.mean().dropna()
        if len(means):
            found[seed] = pick(means)
    return found


def of_picked(accuracy: pd.DataFrame, picked: dict[int, str]) -> pd.Series:
    """Returns each seed's accuracy of the arm that `by_others` picked for it."""
    import pandas as pd

    found = {seed: accuracy.at[seed, arm] for seed, arm in picked.items()}
    return pd.Series(found, dtype=float).reindex(accuracy.index)


def _needed(found: Contrast, size: int, grain: float) -> int | None:
    """Seeds that decide a contrast of a family of a size, None if none are needed."""
    if found.state != UNDECIDED or found.n < 2:
        return None
    deviation, mean = _deviation(np.asarray(found.values), grain), abs(found.mean)
    level = LEVEL / size
    for n in range(found.n + 1, _MOST + 1):
        error, power = deviation / math.sqrt(n), _quantile(_POWER, n)
        if mean > (_quantile(1 - level / 2, n) + power) * error:
            return n
        if MARGIN - mean > (_quantile(1 - level, n) + power) * error:
            return n
    return None


def _deviation(values: np.ndarray, grain: float) -> float:
    # Two accuracies, each rounded to a whole number of images.
    return max(float(values.std(ddof=1)), grain / math.sqrt(6))


def _tail(value: float, error: float, n: int) -> float:
    """Probability that Student's t exceeds value / error."""
    from scipy.special import stdtr

    if not error:
        return 0.5 if not value else float(value < 0)
    return float(stdtr(n - 1, -value / error))


def _quantile(level: float, n: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(n - 1, level))
