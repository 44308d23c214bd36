"""DD-Ranking's scores of a distilled set: HLR, IOR, LRS and ARS.

They are functions of accuracies, which are everywhere fractions in [0, 1]: arrays [n],
one number a run (seed), or single numbers. A NaN stays one. A score is computed for
each run and then averaged, as in the source.

Source: NUS-HPC-AI-Lab/DD-Ranking 0.2.0 (README.md, ddranking/metrics), arXiv
2505.13300.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ddjax.declare import walk
from ddjax.errors import InputError

WEIGHT = 0.5  # w and gamma of the source's leaderboard


@dataclasses.dataclass(frozen=True)
class Quirks:
    """What the official package 0.2.0 does otherwise, each off by default.

    Attributes:
      percent: the exponential is taken of percentage points instead of fractions, which
        turns LRS and ARS into numbers from -0.16 to 1e43. The published definition has
        fractions.
      best_on_test: an accuracy is the best of those that were measured on test during
        the training, instead of the last one; requires `protocol.curves` of the run.
        The package measures every 10 epochs for hard labels, every 20 for soft ones and
        in ARS.
      duplicates: with hard labels each run's LRS is counted twice. Its mean and
        population deviation stay; the 95 % interval narrows. (The package's table of
        results has columns of unequal length for it, which pandas refuses.)
    """

    percent: bool = False
    best_on_test: bool = False
    duplicates: bool = False

    @classmethod
    def of(cls, text: str) -> Quirks:
        """Returns the quirks of a list such as "percent,duplicates".

        Raises:
          InputError: an unknown name.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        chosen = [name for name in text.split(",") if name]
        for name in chosen:
            allowed = f"some of {', '.join(known)}{walk.suggestion(name, known)}"
            walk.require(name in known, "quirks", name, allowed)
        return cls(**dict.fromkeys(chosen, True))

    @property
    def names(self) -> list[str]:
        """Those that are on."""
        return [name for name, on in dataclasses.asdict(self).items() if on]


PUBLISHED = Quirks()  # none: the scores as they are defined


def hlr(full: ArrayLike, synthetic: ArrayLike) -> np.ndarray:
    """Hard label recovery, lower is better: full data minus the set, hard labels.

    Args:
      full: [n] or [], accuracy of students of all real images with hard labels.
      synthetic: [n] or [], that of students of the set with hard labels.

    Returns:
      [n] or [] float64, in [-1, 1].

    Raises:
      InputError: an accuracy is outside [0, 1].
    """
    return _fractions("full", full) - _fractions("synthetic", synthetic)


def ior(synthetic: ArrayLike, random: ArrayLike) -> np.ndarray:
    """Improvement over random, higher is better.

    Args:
      synthetic: [n] or [], accuracy of students of the set under the method's own
        protocol, with whatever labels.
      random: [n] or [], that of students of as many random real images under the same
        protocol.

    Returns:
      [n] or [] float64, in [-1, 1]; 0 of a random subset against itself.

    Raises:
      InputError: an accuracy is outside [0, 1].
    """
    return _fractions("synthetic", synthetic) - _fractions("random", random)


def lrs(
    hlr: ArrayLike, ior: ArrayLike, weight: float = WEIGHT, percent: bool = False
) -> np.ndarray:
    """Label-robust score: `normalised` w IOR - (1 - w) HLR.

    Args:
      hlr: [n] or [], of `hlr`.
      ior: [n] or [], of `ior`.
      weight: w in [0, 1], that of IOR.
      percent: see `Quirks`.

    Returns:
      [n] or [] float64, in [0, 1]; 0.269 where the set is as good as random and as the
      full data.

    Raises:
      InputError: the weight is outside [0, 1].
    """
    _weight("w", weight)
    alpha = weight * np.asarray(ior) - (1 - weight) * np.asarray(hlr)
    return normalised(alpha, percent)


def ars(
    augmented: ArrayLike,
    plain: ArrayLike,
    weight: float = WEIGHT,
    percent: bool = False,
) -> np.ndarray:
    """Augmentation-robust score: `normalised` mean of two improvements over random.

    Args:
      augmented: [n] or [], of `ior`, under the protocol's augmentation.
      plain: [n] or [], of `ior`, without augmentation.
      weight: gamma in [0, 1], that of `augmented`.
      percent: see `Quirks`.

    Returns:
      [n] or [] float64, in [0, 1]; 0.269 where the set is as good as random.

    Raises:
      InputError: the weight is outside [0, 1].
    """
    _weight("gamma", weight)
    beta = weight * np.asarray(augmented) + (1 - weight) * np.asarray(plain)
    return normalised(beta, percent)


def normalised(advantage: ArrayLike, percent: bool = False) -> np.ndarray:
    """Maps an advantage in [-1, 1] to [0, 1]: (e^a - e^-1) / (e - e^-1).

    Args:
      advantage: [n] or [], the a of the formula.
      percent: see `Quirks`.
    """
    scale = 100.0 if percent else 1.0
    grown = np.exp(scale * np.asarray(advantage, dtype=np.float64))
    return (grown - 1 / math.e) / (math.e - 1 / math.e)


def _weight(name: str, value: Any) -> None:
    walk.require(0.0 <= value <= 1.0, name, value, "a number in [0, 1]")


def _fractions(name: str, values: ArrayLike) -> np.ndarray:
    """The accuracies as float64, or an InputError."""
    found = np.asarray(values, dtype=np.float64)
    wrong = found[(found < 0) | (found > 1)]
    if wrong.size:
        raise InputError(
            f"{name}: found an accuracy of {wrong.flat[0]:g}, allowed are fractions in "
            "[0, 1]"
        )
    return found
