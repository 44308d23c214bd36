"""What every source must be: labelled images, in numbers that can be images.

Shape letters: N examples, H height, W width, C channels.
"""

from typing import Any

import numpy as np

from ddjax.errors import InputError

CHANNELS = (1, 3)  # grey and RGB: what every figure and image file can show
_SAMPLE = 64  # images of a stream that stand for all
_BLOCK = 256  # images counted at a time
_LOW, _HIGH = 7, 248  # what normalised floats that were cast do not lie between
_DARK = 31  # the highest level of images that are probably of another scale


def validate(
    name: str,
    classes: tuple[str, ...],
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
) -> None:
    """Refuse splits that do not make a classification problem.

    Args:
      name: name of the source, for messages.
      classes: class names in label order.
      train: images [N, H, W, C] and labels [N].
      test: the same for the test split.

    Raises:
      InputError: a split is empty; images are not uint8 [N, H, W, C] with 1 or 3
        channels, or differ in shape between the splits; there is not one label per
        image, or a label is not an integer of 0 .. K - 1; two classes have one name;
        a class has no training example.
    """
    if len(set(classes)) < len(classes):
        raise InputError(f"{name}: class names must differ, found {list(classes)}")
    for split, (images, labels) in (("train", train), ("test", test)):
        where = f"{name}: {split} split"
        _check_images(images, where)
        _check_labels(labels, len(images), len(classes), where)
    (train_images, train_labels), (test_images, _) = train, test
    if train_images.shape[1:] != test_images.shape[1:]:
        raise InputError(
            f"{name}: train images have shape {train_images.shape[1:]} but test "
            f"images {test_images.shape[1:]}, must be the same"
        )
    counts = np.bincount(train_labels.astype(np.int64), minlength=len(classes))
    if not counts.all():
        label = np.argmin(counts)
        raise InputError(
            f"{name}: train split has no example of class {classes[label]!r} "
            f"(label {label})"
        )


def _check_images(images: Any, where: str) -> None:
    shape = images.shape
    shaped = images.ndim == 4 and min(shape[1:]) > 0 and shape[3] in CHANNELS
    if images.dtype != np.uint8 or not shaped:
        hint = ""
        if images.ndim == 4 and shape[3] in (2, 4):
            hint = f"; images[..., :{shape[3] - 1}] leaves out what may be transparency"
        elif images.ndim == 4 and shape[1] in CHANNELS:
            hint = "; images.transpose(0, 2, 3, 1) puts channels last"
        raise InputError(
            f"{where} has images of dtype {images.dtype} and shape {shape}, must be "
            f"uint8 [N, H, W] or [N, H, W, C] with 1 or 3 channels, last{hint}"
        )
    if len(images) == 0:
        raise InputError(f"{where} has no images")


def _check_labels(labels: np.ndarray, count: int, classes: int, where: str) -> None:
    if labels.shape != (count,):
        hint = ""
        if labels.shape == (count, 1):
            hint = "; labels[:, 0] makes them fit"
        elif labels.shape == (count, classes):
            hint = "; labels.argmax(axis=1) makes them of one-hot rows"
        raise InputError(
            f"{where} has labels of shape {labels.shape}, must be ({count},): one for "
            f"each image{hint}"
        )
    if labels.dtype.kind not in "iuf":
        hint = ""
        if labels.dtype.kind in "SU":
            hint = "; np.unique(labels, return_inverse=True) has names and numbers"
        raise InputError(
            f"{where} has labels of dtype {labels.dtype}, not integer{hint}"
        )
    allowed = (labels == np.rint(labels)) & (labels >= 0) & (labels < classes)
    if not allowed.all():
        first = np.argmin(allowed)
        raise InputError(
            f"{where} has label {labels[first]} at position {first}, "
            f"must be an integer of 0..{classes - 1}"
        )


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


def balance(source: Any) -> tuple[str, ...]:
    """Returns remarks on splits that may be exchanged or incomplete.

    Args:
      source: a `ddjax.data.Source`.
    """
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
