"""Which class a name in somebody else's files means."""

import collections
import re
from collections.abc import Sequence

import numpy as np

from ddjax.errors import InputError

_INDEX = re.compile(r"(?:new)?(\d+)")


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
    indices = [_INDEX.fullmatch(name) for name in found]
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
    elif all(indices):
        labels = [int(index[1]) for index in indices]
        _check_numbers(found, labels, classes, where)
        if max(labels) >= len(classes):
            raise InputError(
                f"{where}: found the class index {found[np.argmax(labels)]!r}, allowed "
                f"is 0..{len(classes) - 1}, as the source has {len(classes)} classes"
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
        same = [n for n, other in zip(found, labels, strict=True) if other == label]
        raise InputError(
            f"{where}: found {shown(same)}, which mean the same class "
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
