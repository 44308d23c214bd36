"""The labels of an image set: classes, and soft labels of its own.

Letters: M images, C classes.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from ddjax.data import alignment, class_names
from ddjax.errors import InputError

KINDS = ("", "probabilities", "percent", "logits")
# Halves that were rounded to float16 sum to 1 within about 1e-3.
_ROUNDED = 2e-3
_LARGEST = 0.1  # deviation from a sum of 1 that a kind which was told may have


def read_labels(
    found: Mapping[str, np.ndarray],
    count: int,
    classes: Sequence[str],
    label_of: Sequence[int],
    kind: str,
    contradicting: float,
    where: str,
) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...]]:
    """Read the labels of a file for a source, and compare its soft ones with them.

    Args:
      found: `labels`, [M] integers or [M,C] soft labels, or `soft_labels` [M,C].
      count: M.
      classes: the source's class names in label order.
      label_of: [C], the source's label for each of the file's.
      kind: of soft labels, see `distributions`.
      contradicting: share of the images, at most, whose likeliest class may be another
        one than their label.
      where: what has them, for messages.

    Returns:
      Labels [M] of the source, soft labels [M,C] float32 or None, whose rows sum to 1,
      and remarks on what was assumed.

    Raises:
      InputError: another shape or kind of number, or labels that contradict.
    """
    labels, soft, notes = found.get("labels"), found.get("soft_labels"), ()
    if labels is not None and labels.ndim == 2 and soft is None:
        labels, soft = None, labels
    if soft is not None:
        expected = (count, len(label_of))
        if soft.shape != expected or soft.dtype.kind not in "iuf":
            raise InputError(
                f"{where}: soft labels have shape {list(soft.shape)} of {soft.dtype}, "
                f"expected {list(expected)} numbers: a row for each image, a column "
                "for each class"
            )
        soft, notes = distributions(soft, kind, where)
    if labels is None:
        labels = soft.argmax(axis=1)
        notes += ("there are only soft labels: each image's class is the likeliest",)
        contradicting = 1.0
    if labels.shape != (count,):
        raise InputError(
            f"{where}: labels have shape {list(labels.shape)}, expected [{count}]: one "
            "for each image"
        )
    labels = class_names.relabel(labels, label_of, where)
    if soft is not None:
        soft = soft[:, np.argsort(label_of)]
        notes += _compare(soft, labels, classes, contradicting, where)
    return labels, soft, notes


def _compare(soft_MC, labels_M, classes, contradicting, where):
    """Remarks on soft labels that favour another class than the image's."""
    own = np.take_along_axis(soft_MC, labels_M[:, None], axis=1)[:, 0]
    likeliest = soft_MC.argmax(axis=1)
    likeliest = np.where(own == soft_MC.max(axis=1), labels_M, likeliest)
    found = alignment.align(likeliest, labels_M, len(classes))
    if found.share == 1:
        return ()
    wrong = int((likeliest != labels_M).sum())
    says = f"soft labels contradict the class of {wrong} of {len(labels_M)} images"
    why = alignment.explained(found, classes)
    says += f" ({1 - found.share:.1%})" + (f"; {why}" if why else "")
    if 1 - found.share > contradicting:
        raise InputError(
            f"{where}: {says}; allowed are {contradicting:.1%}; "
            f"contradicting={np.ceil(100 * (1 - found.share)) / 100:g} accepts them"
        )
    return (says,)


def distributions(
    soft_MC: np.ndarray, kind: str, where: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Turn the soft labels of a file into distributions, or say why not.

    Args:
      soft_MC: [M,C] numbers.
      kind: "probabilities", rows that sum to about 1, or "percent", to about 100, both
        divided by their sums; "logits", of a softmax at temperature 1; "": the first
        where rows sum to 1 within rounding, the last where a number is negative, and
        refused where neither is plain.
      where: what has them, for messages.

    Returns:
      [M,C] float32, rows that sum to 1, and remarks on what was assumed.

    Raises:
      InputError: numbers that are not finite, not of the kind, or not plainly of one.
    """
    soft_MC = soft_MC.astype(np.float32)
    if not np.isfinite(soft_MC).all():
        raise InputError(f"{where}: soft labels have values that are not finite")
    low, sums_M = float(soft_MC.min()), soft_MC.sum(axis=1)
    span = f"rows that sum to {_span(sums_M)} and values from {low:.4g}"
    negative = low < -_ROUNDED
    summing = np.allclose(sums_M, 1, atol=_ROUNDED, rtol=0)
    if not kind:
        near = (abs(sums_M - 1) < _LARGEST).all()
        if not (summing and not negative) and (near or not negative):
            raise InputError(
                f"{where}: soft labels have {span}, which may be probabilities that do "
                "not sum to 1, percent, or scores before a softmax; "
                "label_kind=KIND says which: probabilities, percent or logits"
            )
        kind = "logits" if negative else "probabilities"
        notes = ()
        if negative:
            notes = (
                "soft labels do not sum to 1 and some are negative: taken as scores "
                "before a softmax, which was applied at temperature 1",
            )
    else:
        notes = (f"soft labels were taken as {kind}, as asked",)
    if kind == "logits":
        scores = np.exp(soft_MC - soft_MC.max(axis=1, keepdims=True))
        return scores / scores.sum(axis=1, keepdims=True), notes
    whole = 100.0 if kind == "percent" else 1.0
    sums_M = sums_M / whole
    if low < -_ROUNDED * whole or (abs(sums_M - 1) > _LARGEST).any():
        raise InputError(
            f"{where}: soft labels have {span}, {kind} have none below 0, and rows "
            f"that sum to {whole:g}, or nearly"
        )
    soft_MC = (soft_MC / whole).clip(0)
    if summing and low >= 0:
        return soft_MC, notes
    return soft_MC / soft_MC.sum(axis=1, keepdims=True), notes


def _span(values):
    low, high = f"{values.min():.4g}", f"{values.max():.4g}"
    return low if low == high else f"{low} to {high}"
