"""Contrasts: paired differences between arms of a study, and what they show.

The unit is the seed. A difference is between students of the same seed, budget and
labels, and is averaged over the budgets within a seed first; a seed that lacks one of
them drops out. The seeds' differences are taken to be normal.

An arm that is picked, such as the best of many, is picked for each seed by the
validation accuracy of the other seeds (`picked`). A student that is better by luck is
so on validation and on test; where its own seed has no part in the choice, that luck
raises no mean. But the seeds share their choice, so their differences are not
independent, and the standard deviation of a few is too small. The standard error of
every mean is therefore a jackknife one: how much the mean, with all choices made anew,
depends on each seed. For fixed arms this is the usual s / sqrt(n); for picked ones it
is too large rather than too small (B. Efron and C. Stein, The Annals of Statistics 9,
1981). It counts as at least that.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

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
      half_width: of the 95 % interval of this contrast alone; NaN for fewer than two.
      p: of the two-sided t test that the true mean is 0, `corrected` for its family.
      p_small: of the two one-sided tests that it is `MARGIN` or more, likewise.
      family: how many contrasts the p values are corrected for.
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
    family: int = 1
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

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval of this contrast alone leaves out 0."""
        return abs(self.mean) > self.half_width


def contrast(
    name: str,
    regime: str,
    differences: Iterable[float],
    grain: float = 0.0,
    error: float = 0.0,
) -> Contrast:
    """Returns a contrast that is not corrected for others.

    Args:
      name: what is compared.
      regime: under which labels.
      differences: one a seed, in points; NaNs are dropped.
      grain: points that one test image is worth. The deviation of differences counts
        as at least that of their rounding, so that seeds that agree by chance prove
        nothing.
      error: standard error of their mean, see `jackknife`. That of fixed arms, s /
        sqrt(n), is the least.
    """
    values = np.asarray([*differences], np.float64)
    values = values[~np.isnan(values)]
    n = len(values)
    mean = float(values.mean()) if n else float("nan")
    half_width = p = p_small = float("nan")
    if n > 1:
        # Two accuracies, each rounded to a whole number of images.
        deviation = max(float(values.std(ddof=1)), grain / math.sqrt(6))
        error = max(error, deviation / math.sqrt(n))
        half_width, p, p_small = map(float, tests(mean, error, n))
    return Contrast(name, regime, tuple(values.tolist()), mean, half_width, p, p_small)


def unpaired(
    name: str,
    regime: str,
    one: Iterable[float],
    other: Iterable[float],
    grains: tuple[float, float] = (0.0, 0.0),
) -> Contrast:
    """Returns a difference of means of students that share no seed: Welch's test.

    Args:
      name: what is compared.
      regime: under which labels.
      one: a value a seed, in points; NaNs are dropped.
      other: of other seeds, likewise; its mean is subtracted.
      grains: as of `contrast`, of the two.

    Returns:
      The contrast, not corrected for others, without values: there are no pairs.
    """
    samples = [np.asarray([*values], np.float64) for values in (one, other)]
    samples = [values[~np.isnan(values)] for values in samples]
    counts = [len(values) for values in samples]
    nan = float("nan")
    if not min(counts):
        return Contrast(name, regime, (), nan, nan, nan, nan)
    mean = float(samples[0].mean() - samples[1].mean())
    if min(counts) < 2:
        return Contrast(name, regime, (), mean, nan, nan, nan)
    # The deviation of a value is at least that of its own rounding.
    parts = [
        max(float(values.var(ddof=1)), grain**2 / 12) / len(values)
        for values, grain in zip(samples, grains, strict=True)
    ]
    error = math.sqrt(sum(parts))
    freedom = min(counts) - 1.0
    if error:
        shares = (part / error**2 for part in parts)
        freedom = 1 / sum(s**2 / (n - 1) for s, n in zip(shares, counts, strict=True))
    # Of the paired test with as many degrees of freedom.
    half_width, p, p_small = map(float, tests(mean, error, freedom + 1))
    return Contrast(name, regime, (), mean, half_width, p, p_small)


def tests(
    mean: ArrayLike, error: ArrayLike, n: ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns (half width of the 95 % interval, p, p_small), see `Contrast`.

    Args:
      mean: [...], points.
      error: [...], their standard errors, 0 or more.
      n: [...], numbers of seeds, at least 2.
    """
    from scipy.special import stdtr, stdtrit

    mean, error, df = np.abs(mean), np.asarray(error), np.asarray(n) - 1

    def tail(value: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(value == 0, 0.0, value / error)
        return stdtr(df, -ratio)

    half_width = stdtrit(df, 1 - 0.05 / 2) * error
    return half_width, 2 * tail(mean), tail(MARGIN - mean)


def picked(
    accuracy: np.ndarray, validation: np.ndarray, worst: bool = False
) -> np.ndarray:
    """Returns each seed's accuracy of the arm that the other seeds' validation picks.

    Each seed's mean over arms is taken off first, so that an arm that lacks a good seed
    has no disadvantage. A single seed picks for itself.

    Args:
      accuracy: [..., seeds, arms].
      validation: [..., seeds, arms], likewise; NaN where it is not known.
      worst: picks the smallest mean instead of the largest; ties go to the first arm.

    Returns:
      [..., seeds], NaN where nothing can be picked, or the picked arm lacks the seed.
    """
    if accuracy.shape[-1] == 1:
        return accuracy[..., 0]
    index = _pick(validation, worst, own=accuracy.shape[-2] == 1)
    found = np.take_along_axis(accuracy, np.maximum(index, 0)[..., None], -1)[..., 0]
    return np.where(index < 0, np.nan, found)


def pick(validation: np.ndarray, worst: bool = False) -> int:
    """Returns the arm that all seeds pick together, -1 if none is validated.

    Args:
      validation, worst: as of `picked`, [seeds, arms].
    """
    return int(_pick(validation, worst, own=True)[0]) if len(validation) else -1


def _pick(validation: np.ndarray, worst: bool, own: bool) -> np.ndarray:
    """Indices [..., seeds] of the arms that all seeds, or all other seeds, pick."""
    known = ~np.isnan(validation)
    centred = np.where(known, validation - _mean(validation)[..., None], 0.0)
    sums, counts = (np.sum(each, -2, keepdims=True) for each in (centred, known))
    if not own:
        sums, counts = sums - centred, counts - known
    means = np.where(counts > 0, sums / np.maximum(counts, 1), -np.inf)
    if worst:
        means = np.where(counts > 0, -means, -np.inf)
    index = np.where(np.isneginf(means).all(-1), -1, means.argmax(-1))
    return np.broadcast_to(index, validation.shape[:-1])


def jackknife(values_of: Callable[[np.ndarray], np.ndarray], seeds: int) -> np.ndarray:
    """Returns the standard error of a mean over seeds that may have picked arms.

    Args:
      values_of: positions of seeds -> their differences [..., len(positions)], from
        these seeds alone; NaNs count for nothing.
      seeds: how many there are.

    Returns:
      [...], NaN where fewer than two differences are known.
    """
    every = np.arange(seeds)
    n = (~np.isnan(values_of(every))).sum(-1)
    left_out = [values_of(np.delete(every, seed)) for seed in every]
    means = np.stack([_mean(values) for values in left_out], -1)
    squares = (means - _mean(means)[..., None]) ** 2
    error = np.sqrt(np.nansum(squares, -1) * np.maximum(n - 1, 0) / np.maximum(n, 1))
    return np.where(n > 1, error, np.nan)


def _mean(values: np.ndarray) -> np.ndarray:
    """Means over the last axis without NaNs, NaN where there is nothing else."""
    known = ~np.isnan(values)
    count = known.sum(-1)
    mean = np.where(known, values, 0.0).sum(-1) / np.maximum(count, 1)
    return np.where(count > 0, mean, np.nan)


def judged(
    family: Sequence[Contrast], largest: Sequence[Contrast] | None = None
) -> list[Contrast]:
    """Returns contrasts that are `corrected`, with the seeds that would decide them.

    Args:
      family: not corrected yet.
      largest: contrasts beside them that decide whether these are small, see
        `largest_of`; None: each decides for itself.
    """
    bounds = family if largest is None else largest
    with_bounds = [
        dataclasses.replace(each, p_small=bound.p_small)
        for each, bound in zip(family, bounds, strict=True)
    ]
    found = corrected(with_bounds)
    # Holm's level for the next one of those that are not decided.
    shown, small = (
        LEVEL / max(sum(not getattr(each, name) < LEVEL for each in found), 1)
        for name in ("p", "p_small")
    )
    for index, (each, bound) in enumerate(zip(family, bounds, strict=True)):
        if found[index].state != UNDECIDED:
            continue
        needed = min(_shown_by(each, shown), _small_by(bound, small))
        if needed <= _MOST:
            found[index] = dataclasses.replace(found[index], needed=needed)
    return found


def corrected(family: Sequence[Contrast]) -> list[Contrast]:
    """Returns contrasts with p values that are corrected for each other by Holm.

    Among all differences of a family that are called shown, the probability that one
    is not there is at most 5 %; likewise that one of those called small is not
    (S. Holm, Scandinavian Journal of Statistics 6, 1979).

    Args:
      family: not corrected yet.
    """
    p, p_small = (
        holm([getattr(each, name) for each in family]).tolist()
        for name in ("p", "p_small")
    )
    tested = sum(not math.isnan(each.p) for each in family)
    return [
        dataclasses.replace(each, p=one, p_small=other, family=tested)
        for each, one, other in zip(family, p, p_small, strict=True)
    ]


def holm(p_values: ArrayLike) -> np.ndarray:
    """Returns p values corrected for each other by Holm's step-down procedure.

    Args:
      p_values: [..., k] in [0, 1]; NaN: not tested, and left so.

    Returns:
      [..., k].
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, -1)  # NaNs last
    factors = (~np.isnan(p)).sum(-1, keepdims=True) - np.arange(p.shape[-1])
    corrected = np.take_along_axis(p, order, -1) * factors
    corrected = np.minimum(np.maximum.accumulate(corrected, -1), 1.0)
    found = np.empty_like(p)
    np.put_along_axis(found, order, corrected, -1)
    return found


def largest_of(gaps: Sequence[Contrast]) -> Contrast:
    """Returns the contrast that is least shown to be small.

    If it is small, all are: an intersection-union test, which needs no correction. One
    that is not tested comes first.

    Args:
      gaps: at least one.
    """
    return max(gaps, key=lambda gap: math.inf if math.isnan(gap.p) else gap.p_small)


def _shown_by(found: Contrast, level: float) -> int:
    """Seeds that would show a contrast, more than `_MOST` if these would not."""
    if found.n < 2:
        return _MOST + 1
    n, error, quantile = _larger(found, level / 2)
    return _first(n, _exceeds(n, abs(found.mean) / error, quantile))


def _small_by(found: Contrast, level: float) -> int:
    """Seeds that would show that a contrast is small, likewise."""
    room = MARGIN - abs(found.mean)
    if found.n < 2 or not room > 0:
        return _MOST + 1
    n, error, quantile = _larger(found, level)
    far = (MARGIN + abs(found.mean)) / error
    near = _exceeds(n, room / error, quantile)
    return _first(n, near + _exceeds(n, far, quantile) - 1)


def _larger(found: Contrast, level: float) -> tuple[np.ndarray, ...]:
    """Larger numbers of seeds, standard errors with them, quantiles of t."""
    from scipy.special import stdtrit

    n = np.arange(found.n + 1, _MOST + 1)
    error = found.half_width / stdtrit(found.n - 1, 1 - 0.05 / 2)
    return n, error * np.sqrt(found.n / n), stdtrit(n - 1, 1 - level)


def _exceeds(n: np.ndarray, shift: np.ndarray, quantile: np.ndarray) -> np.ndarray:
    """Probabilities that a noncentral t exceeds a quantile."""
    from scipy.special import nctdtr

    return 1 - np.nan_to_num(nctdtr(n - 1, shift, quantile))  # NaN where it is tiny


def _first(n: np.ndarray, power: np.ndarray) -> int:
    return int(min(n[power >= _POWER], default=_MOST + 1))
