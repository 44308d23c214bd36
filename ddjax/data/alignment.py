"""Whether two labellings of the same images mean the same classes.

Letters: M images, C classes.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

_DRAWS = 20  # of the disagreements, to know what a permutation explains by chance
_SHOWN = 6  # classes in a message


@dataclasses.dataclass(frozen=True, eq=False)
class Alignment:
    """How far predicted classes agree with labels.

    Attributes:
      share: of the images whose predicted class is their label, in [0, 1].
      permutation: [C] int, the predicted class that each label stands for, if
        exchanging classes explains disagreements; None: it does not.
      permuted: the share that agrees after the permutation; `share` without one.
    """

    share: float
    permutation: np.ndarray | None
    permuted: float


def align(predicted_M: np.ndarray, labels_M: np.ndarray, num_classes: int) -> Alignment:
    """Compare predicted classes with labels, up to a permutation of the classes.

    The permutation is the assignment of classes with the largest number of agreements.
    It counts as an explanation if it mends at least three times as many images as it
    breaks, and more than where disagreeing predictions are drawn anew from all
    classes: 20 times, and on average by three standard deviations, 3 % of the images,
    and two of them.

    Args:
      predicted_M: [M] integers, 0 .. C - 1.
      labels_M: [M] integers, 0 .. C - 1.
      num_classes: C.

    Returns:
      The agreement.

    Source: Kuhn, "The Hungarian method for the assignment problem", 1955, by
    `scipy.optimize.linear_sum_assignment`.
    """
    total = len(labels_M)
    wrong = predicted_M != labels_M
    right = int(total - wrong.sum())
    found, hits = _assign(predicted_M, labels_M, num_classes)
    moved = found[labels_M] != labels_M
    mended = int((predicted_M == found[labels_M])[moved].sum())
    if mended > max(2, 3 * (~wrong)[moved].sum()):
        rng, chance = np.random.default_rng(0), []
        for _ in range(_DRAWS):
            drawn = np.array(predicted_M)
            drawn[wrong] = rng.integers(0, num_classes, int(wrong.sum()))
            chance.append(_assign(drawn, labels_M, num_classes)[1])
        margin = max(2, 0.03 * total, 3 * np.std(chance))
        if hits > max(np.mean(chance) + margin, *chance):
            return Alignment(right / total, found, hits / total)
    return Alignment(right / total, None, right / total)


def _assign(predicted_M, labels_M, num_classes):
    """The best assignment of predicted classes to labels, and its agreements."""
    from scipy.optimize import linear_sum_assignment

    counts_CC = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(counts_CC, (labels_M, predicted_M), 1)
    hits_CC = 2 * counts_CC + np.eye(num_classes, dtype=np.int64)  # a tie: as it is
    rows, columns = linear_sum_assignment(hits_CC, maximize=True)
    return columns, int(counts_CC[rows, columns].sum())


def explained(found: Alignment, classes: Sequence[str]) -> str:
    """What a permutation says, in words; "" without one.

    Args:
      found: of `align`.
      classes: class names in label order.
    """
    if found.permutation is None:
        return ""
    order = found.permutation.tolist()
    moved = [label for label, other in enumerate(order) if label != other]
    pairs = [f"{classes[label]!r} is {classes[order[label]]!r}" for label in moved]
    more = f" and {len(pairs) - _SHOWN} more" if len(pairs) > _SHOWN else ""
    return (
        f"another order of the classes explains it, with which {found.permuted:.1%} "
        f"agree: {', '.join(pairs[:_SHOWN])}{more}{_kind(order)}"
    )


def _kind(order):
    """The name of a permutation that is a known mistake."""
    count = len(order)
    text = sorted(range(count), key=str)
    shift = (order[0] - 0) % count
    if order in (text, np.argsort(text).tolist()) and count > 10:
        return "; so it is where numbers were sorted as text: 0, 1, 10, 11, 2"
    if order == [(label + shift) % count for label in range(count)] and count > 2:
        return f"; so it is where labels are shifted by {shift}"
    return ""
