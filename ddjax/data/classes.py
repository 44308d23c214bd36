"""Which classes the names, labels and soft labels of other people's files mean.

Letters: M images, C classes.
"""

import collections
import dataclasses
import re
from collections.abc import Mapping, Sequence

import numpy as np

from ddjax.errors import InputError

_INDEX = re.compile(r"(?:new)?(\d+)")
LABEL_KINDS = ("", "probabilities", "percent", "logits")
# Halves that were rounded to float16 sum to 1 within about 1e-3.
_ROUNDED = 2e-3
_LARGEST = 0.1  # from a sum of 1, where `label_kind` gives the kind of the soft labels
_DRAWS = 20  # of the disagreements, to estimate what a permutation explains by chance
_SHOWN = 6  # classes in a message


def match(
    found: Sequence[str], classes: Sequence[str], where: str
) -> tuple[list[int], tuple[str, ...]]:
    """Find the label of every name.

    Names are the source's class names, or all of them are indices in the order of the
    source's classes: "3", "00003" or "new003". Read as names first, so that classes
    that are called "1", "2" are not mistaken for indices. An index is a number: "10"
    comes after "9", not after "1", as it does where folders are sorted as text. Names
    that differ from the source's in case, spaces, hyphens and underscores only are
    taken for them, with a remark, where that is a match of one to one.

    Args:
      found: the names, such as those of folders.
      classes: the source's class names in label order.
      where: what has the names, for messages.

    Returns:
      The label of each name, and a remark if they were taken as indices or spelled
      otherwise.

    Raises:
      InputError: a name is neither, two names mean one class, or an index is the name
        of another class where all are called by numbers.

    Source: folder names in VILA-Lab/SRe2L, AngusDujw/Diversity-Driven-Synthesis and
    shaoshitong/EDC ("new003"), LINs-lab/RDED ("00003"), suduo94/D4M ("3"),
    vimar-gu/MinimaxDiffusion (the class's own name).
    """
    notes: tuple[str, ...] = ()
    indices = [index for name in found if (index := _INDEX.fullmatch(name))]
    label_of = {name: label for label, name in enumerate(classes)}
    plain = {_plain(name): label for label, name in enumerate(classes)}
    spelled = {_plain(name) for name in found}
    same = len(plain) == len(classes) and len(spelled) == len(found)
    if label_of.keys() >= set(found):
        labels = [label_of[name] for name in found]
    elif same and plain.keys() >= spelled:
        labels = [plain[_plain(name)] for name in found]
        other = [n for n in found if n not in label_of]
        notes = (
            f"{len(other)} classes are spelled otherwise than the source's, taken for "
            f"them: {other[0]!r} for {classes[plain[_plain(other[0])]]!r}",
        )
    elif len(indices) == len(found):
        labels = [int(index[1]) for index in indices]
        _check_numbers(found, labels, classes, where)
        if max(labels) >= len(classes):
            raise InputError(
                f"{where}: found the class index {found[labels.index(max(labels))]!r}, "
                f"allowed is 0..{len(classes) - 1}, as the source has {len(classes)} "
                "classes"
            )
        notes = (
            f"classes are named by index, taken as the order of the source's classes: "
            f"{found[0]!r} as {classes[labels[0]]!r}, "
            f"{found[-1]!r} as {classes[labels[-1]]!r}",
        )
    else:
        unknown = sorted(set(found) - label_of.keys())
        absent = sorted(label_of.keys() - set(found))
        raise InputError(
            f"{where}: found {shown(unknown)}, which no class of the source is called; "
            f"allowed are its {len(classes)} class names (not found: {shown(absent)}), "
            "or indices such as '00003' or 'new003' alone"
        )
    if len(set(labels)) < len(labels):
        label = collections.Counter(labels).most_common(1)[0][0]
        equal = [n for n, other in zip(found, labels, strict=True) if other == label]
        raise InputError(
            f"{where}: found {shown(equal)}, which mean the same class "
            f"{classes[label]!r}; allowed is one of them"
        )
    return labels, notes


def _plain(name):
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


def _check_numbers(found, labels, classes, where):
    """Refuse indices where all classes are called by numbers, in another order."""
    if not all(name.isascii() and name.isdigit() for name in classes):
        return
    called = {int(name): name for name in classes}
    for name, label in zip(found, labels, strict=True):
        other = called.get(label)
        if other is not None and label < len(classes) and classes[label] != other:
            raise InputError(
                f"{where}: found {name!r}, which may be the class {other!r} or, as an "
                f"index, the class {classes[label]!r}; allowed are the source's own "
                f"class names: {shown(classes)}"
            )


def relabel(labels: np.ndarray, label_of: Sequence[int], where: str) -> np.ndarray:
    """Turn labels of a file into labels of the source.

    Args:
      labels: [M] integral, 0 .. len(label_of) - 1, the file's.
      label_of: the source's label for each of the file's.
      where: what has the labels, for messages.

    Returns:
      [M] int32.

    Raises:
      InputError: a label is not an integer of that range.
    """
    if labels.ndim != 1 or labels.dtype.kind not in "iuf":
        raise InputError(
            f"{where}: labels have shape {list(labels.shape)} of {labels.dtype}, "
            "expected [M] integers"
        )
    allowed = (labels == np.rint(labels)) & (labels >= 0) & (labels < len(label_of))
    if not allowed.all():
        first = np.argmin(allowed)
        advice = ""
        if labels.min() == 1 and labels.max() == len(label_of):
            advice = "; these count from 1: subtract that"
        raise InputError(
            f"{where}: found the label {labels[first]} at position {first}, allowed "
            f"are the integers 0..{len(label_of) - 1}{advice}"
        )
    return np.asarray(label_of, np.int32)[labels.astype(np.int64)]


def shown(names: Sequence[str]) -> str:
    """Names for a message: the first three, and how many more there are."""
    if not names:
        return "none"
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(map(repr, names[:3])) + more


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
    labels, soft = found.get("labels"), found.get("soft_labels")
    notes: tuple[str, ...] = ()
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
    if labels is None and soft is not None:
        labels = soft.argmax(axis=1)
        notes += ("there are only soft labels: each image's class is the likeliest",)
        contradicting = 1.0
    labels = np.asarray(labels)
    if labels.shape != (count,):
        raise InputError(
            f"{where}: labels have shape {list(labels.shape)}, expected [{count}]: one "
            "for each image"
        )
    labels = relabel(labels, label_of, where)
    if soft is not None:
        soft = soft[:, np.argsort(label_of)]
        notes += _compare(soft, labels, classes, contradicting, where)
    return labels, soft, notes


def _compare(soft_MC, labels_M, classes, contradicting, where):
    """Remarks on soft labels that favour another class than the image's."""
    own = np.take_along_axis(soft_MC, labels_M[:, None], axis=1)[:, 0]
    likeliest = soft_MC.argmax(axis=1)
    likeliest = np.where(own == soft_MC.max(axis=1), labels_M, likeliest)
    found = align(likeliest, labels_M, len(classes))
    if found.share == 1:
        return ()
    wrong = int((likeliest != labels_M).sum())
    text = f"soft labels contradict the class of {wrong} of {len(labels_M)} images"
    why = explained(found, classes)
    text += f" ({1 - found.share:.1%})" + (f"; {why}" if why else "")
    if 1 - found.share > contradicting:
        raise InputError(
            f"{where}: {text}; allowed are {contradicting:.1%}; "
            f"contradicting={np.ceil(100 * (1 - found.share)) / 100:g} accepts them"
        )
    return (text,)


def distributions(
    soft_MC: np.ndarray, kind: str, where: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Turn the soft labels of a file into distributions, or refuse them.

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
    notes: tuple[str, ...] = ()
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
                "label_kind=KIND names which: probabilities, percent or logits"
            )
        kind = "logits" if negative else "probabilities"
        if negative:
            notes = (
                "soft labels do not sum to 1 and some are negative: taken as scores "
                "before a softmax, which was applied at temperature 1",
            )
    else:
        notes = (f"soft labels were taken as {kind}, as set by label_kind",)
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
    """Describes a permutation of classes in words; "" without one.

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
