"""What is odd about images: spoilt values, copies, exchanged splits or channels.

Letters: N images, H height, W width, C channels.
"""

import dataclasses
import hashlib
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from ddjax import regular
from ddjax.data.source import Source
from ddjax.errors import InputError

_SAMPLE = 64  # images of a stream that stand for all
_BLOCK = 256  # images counted at a time
_LOW, _HIGH = 7, 248  # what normalised floats that were cast do not lie between
_DARK = 31  # the highest level of images that are probably of another scale
_FILES = 20_000  # of a stream that are read at most, to be compared
_LEAST = 0.02  # of the range of pixels, by which channels must differ to count
_DEVIATIONS = 3.0  # of a mean, beyond which it is none of chance
_FEWEST = 8  # images, with fewer of which there is no remark


def inspect(source: Source) -> Source:
    """Returns a source with remarks on its images.

    Raises:
      InputError: they cannot be right, see `plausible`.
    """
    remarks = source.remarks
    for name, split in (("train", source.train), ("test", source.test)):
        remarks += plausible(source.name, name, split.images)
    remarks += balance(source) + copies(source)
    return dataclasses.replace(source, remarks=remarks)


def plausible(name: str, split: str, images: Any) -> tuple[str, ...]:
    """Refuses images that were spoilt on their way to uint8.

    Args:
      name: name of the source, for messages.
      split: "train" or "test".
      images: [N, H, W, C] uint8; of a stream 64 images stand for all.

    Returns:
      Remarks on what is odd and may be right.

    Raises:
      InputError: all images have one value or two neighbouring ones, as floats in
        [0, 1] that were cast; nothing but the lowest and the highest levels, as
        normalised floats that were cast; or they are one and the same image.
    """
    where = f"{name}: {split} split"
    if not isinstance(images, np.ndarray):
        count = min(_SAMPLE, len(images))
        images = images[np.arange(count) * len(images) // count]
    blocks = [images[at : at + _BLOCK] for at in range(0, len(images), _BLOCK)]
    lowest, highest = int(images.min()), int(images.max())
    fits = "floats in [0, 1] must be multiplied by 255 before they become uint8"
    if highest - lowest <= 1:
        found = " and ".join(map(str, sorted({lowest, highest})))
        raise InputError(
            f"{where} has no other value than {found} of 0..255 in its "
            f"{len(images):,} images; {fits}"
        )
    between = (((block > _LOW) & (block < _HIGH)).any() for block in blocks)
    levels = np.array([0]) if any(between) else np.unique(images)
    if len(levels) > 2 and lowest <= _LOW and highest >= _HIGH:
        raise InputError(
            f"{where} has values of 0..{levels[levels <= _LOW][-1]} and of "
            f"{levels[levels >= _HIGH][0]}..255 alone, as normalised floats that were "
            f"cast to uint8; undo mean and deviation first, and {fits}"
        )
    if len(images) > 1 and all((image == images[0]).all() for image in images[1:]):
        raise InputError(
            f"{where} has {len(images):,} images that are one and the same, allowed "
            "are images that differ"
        )
    remarks: tuple[str, ...] = ()
    if highest <= _DARK:
        remarks += (
            f"{where}: no value is above {highest} of 255; if that is not darkness but "
            f"another scale, {fits}",
        )
    flat = sum(
        int((block == block[:, :1, :1]).all(axis=(1, 2, 3)).sum()) for block in blocks
    )
    if flat:
        remarks += (f"{where}: {flat:,} of {len(images):,} images are of one colour",)
    return remarks


def balance(source: Source) -> tuple[str, ...]:
    """Returns remarks on splits that may be exchanged or incomplete."""
    remarks: tuple[str, ...] = ()
    train, test = source.train.labels, source.test.labels
    if len(test) > len(train):
        remarks += (
            f"{source.name}: {len(test):,} test images are more than the "
            f"{len(train):,} training images; are the splits exchanged?",
        )
    counts = np.bincount(test, minlength=source.num_classes)
    if not counts.all():
        missing = source.classes[int(counts.argmin())]
        absent = int((counts == 0).sum())
        remarks += (
            f"{source.name}: {absent} of {source.num_classes} classes "
            f"have no test image, such as {missing!r}",
        )
    return remarks


def copies(source: Source) -> tuple[str, ...]:
    """Returns remarks on test images that are training images too, and on duplicates.

    Images in memory are compared by their pixels. Those of a stream of files are
    compared by the files' contents, where sizes agree; if there are too many, or no
    files, a remark states that they were not compared.

    Args:
      source: any.

    Returns:
      Remarks, none if every image is there once.

    Raises:
      InputError: a file of a stream cannot be read.
    """
    train, test = source.train, source.test
    if source.fingerprints is not None:
        (train_digests, test_digests), by = source.fingerprints, "their pixels"
    else:
        paths = [getattr(part.images.records, "paths", None) for part in (train, test)]
        if None in paths:
            return (f"{source.name}: {_uncompared('they are records of a stream')}",)
        found = _of_files(*paths)
        if found is None:
            reason = f"more than {_FILES:,} files of a stream have the same size"
            return (f"{source.name}: {_uncompared(reason)}",)
        (train_digests, test_digests), by = found, "their files"
    return _in_both(source, train_digests, test_digests, by) + _in_train(
        source, train_digests, by
    )


def _uncompared(reason: str) -> str:
    return f"training and test images were not compared, since {reason}"


def _in_both(
    source: Source, train: np.ndarray, test: np.ndarray, by: str
) -> tuple[str, ...]:
    first_of = {digest: index for index, digest in reversed(list(enumerate(train)))}
    pairs = [(i, first_of[found]) for i, found in enumerate(test) if found in first_of]
    if not pairs:
        return ()
    of_test, of_train = np.array(pairs).T
    differ = source.test.labels[of_test] != source.train.labels[of_train]
    count = int(differ.sum())
    other = f", {count:,} of them with another label" if count else ""
    return (
        f"WARNING: {source.name}: {len(pairs):,} of {len(test):,} test images "
        f"({len(pairs) / len(test):.1%}) are also training images{other}, by {by}, "
        f"such as test image {of_test[0]}, which is training image {of_train[0]}: "
        "accuracy on them is memory, not generalisation",
    )


def _in_train(source: Source, train: np.ndarray, by: str) -> tuple[str, ...]:
    _, inverse, counts = np.unique(train, return_inverse=True, return_counts=True)
    again = len(train) - len(counts)
    if not again:
        return ()
    pairs = np.stack([inverse, source.train.labels], axis=1)
    conflicts = len(np.unique(pairs, axis=0)) - len(counts)
    other = f", {conflicts:,} of them with another label" if conflicts else ""
    first, second = np.flatnonzero(inverse == counts.argmax())[:2]
    return (
        f"{source.name}: {again:,} of {len(train):,} training images are copies of "
        f"others{other}, by {by}, such as {second} of {first}",
    )


def _of_files(*paths: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """What identifies the files of both splits; None if there are too many to read."""
    sizes = [np.array([os.stat(path).st_size for path in each]) for each in paths]
    _, inverse, counts = np.unique(
        np.concatenate(sizes), return_inverse=True, return_counts=True
    )
    shared = counts[inverse] > 1
    if shared.sum() > _FILES:
        return None
    # A file of a size of its own is known by its position.
    found = [
        hashlib.blake2b(regular.read(path), digest_size=8).hexdigest()
        if shared[position]
        else f"{position}"
        for position, path in enumerate(path for each in paths for path in each)
    ]
    return np.array(found[: len(paths[0])]), np.array(found[len(paths[0]) :])


def likeness(
    images_NHWC: np.ndarray, mean: Sequence[float], std: Sequence[float]
) -> tuple[str, ...]:
    """Returns remarks on channels or levels that differ from the source's.

    Args:
      images_NHWC: [N,H,W,C] uint8, a set.
      mean: [C] of the source's pixels in [0, 1].
      std: [C] as mean.

    Returns:
      A remark for each suspicion; synthetic images may have such moments rightly.
    """
    if len(images_NHWC) < _FEWEST:
        return ()
    means_NC = images_NHWC.mean(axis=(1, 2), dtype=np.float64) / 255
    found, wanted = means_NC.mean(axis=0), np.asarray(mean)
    shown = f"means {_listed(found)}, the source's {_listed(wanted)}"
    if len(wanted) == 3:
        difference_N = means_NC[:, 0] - means_NC[:, 2]
        error = difference_N.std() / np.sqrt(len(difference_N))
        ours, theirs = difference_N.mean(), wanted[0] - wanted[2]
        clear = abs(ours) > max(_LEAST / 2, _DEVIATIONS * error)
        if abs(theirs) > _LEAST and clear and ours * theirs < 0:
            return (
                f"red and blue seem exchanged, as where BGR was saved as RGB: {shown}",
            )
    if abs(1 - found - wanted).max() < abs(found - wanted).min() / 4:
        return (f"black and white seem exchanged: {shown}",)
    if (abs(found - wanted) > 2 * np.asarray(std)).any():
        return (f"levels are far from the source's: {shown}",)
    return ()


def _listed(values):
    return "(" + ", ".join(f"{value:.3f}" for value in values) + ")"
