"""An image set as ArrayRecord, in the form that TensorFlow Datasets and Grain read.

Letters: M images, H height, W width, K channels.
"""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ddjax.data import class_names, image_files, optional
from ddjax.errors import InputError

_SHARD = 16384  # images in one file
_PACKAGES = ("tensorflow_datasets", "array_record")


def read(
    root: Path, classes: Sequence[str], shape: tuple[int, int, int], resize: bool
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Read the split "train" of a folder that TFDS or `write` has filled.

    Args:
      root: the folder with dataset_info.json.
      classes: the source's class names in label order.
      shape: (H, W, K) of the source's images.
      resize: whether images of another size are brought to it.

    Returns:
      Images [M,H,W,K] uint8, labels [M], and remarks on what was assumed.

    Raises:
      InputError: TFDS is not installed; the folder is damaged, is not in ArrayRecord
        format, or does not hold images with class labels; its class names are others;
        or as `image_files.read`.
    """
    optional.require(_PACKAGES, f"{root}, in ArrayRecord format,")
    import tensorflow_datasets as tfds
    from google.protobuf import json_format
    from tensorflow_datasets.core import read_only_builder

    try:
        builder = read_only_builder.builder_from_directory(str(root))
        info = builder.info
    except (OSError, ValueError, KeyError, json_format.ParseError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{root}: no readable dataset of TFDS ({reason})") from error
    if info.file_format is None or info.file_format.value != "array_record":
        raise InputError(
            f"{root}: found the format {info.file_format}, allowed is array_record"
        )
    image_key, label_key = info.supervised_keys or ("image", "label")
    features = dict(info.features)
    if not isinstance(features.get(image_key), tfds.features.Image) or not isinstance(
        features.get(label_key), tfds.features.ClassLabel
    ):
        raise InputError(
            f"{root}: found {sorted(features)}, expected an image and a class label"
        )
    if "train" not in info.splits or not info.splits["train"].num_examples:
        raise InputError(
            f"{root}: found the splits {sorted(info.splits)}, expected examples in "
            "'train'"
        )
    label_of, notes = class_names.match(
        list(map(str, features[label_key].names)), classes, f"{root}: class names"
    )
    try:
        records = builder.as_data_source(
            "train", decoders={image_key: tfds.decode.SkipDecoding()}
        )
        found = np.array([records[i][label_key] for i in range(len(records))])
        images_MHWK, more = image_files.read(
            lambda position: io.BytesIO(records[position][image_key]),
            len(records),
            shape,
            resize,
            lambda position: f"{root}: example {position}",
            str(root),
        )
    except RuntimeError as error:  # what ArrayRecord raises
        raise InputError(f"{root}: a missing or damaged shard: {error}") from error
    labels_M = class_names.relabel(found, label_of, str(root))
    return images_MHWK, labels_M, notes + more


def write(
    root: Path,
    images_MHWK: np.ndarray,
    labels_M: np.ndarray,
    classes: Sequence[str],
) -> None:
    """Write the split "train" of a TFDS dataset, its images as PNG, in their order.

    Args:
      root: the folder to fill; it exists and is empty.
      images_MHWK: [M,H,W,K] uint8, K 1 or 3.
      labels_M: [M] integers, 0 .. number of classes - 1.
      classes: class names in label order.

    Raises:
      InputError: TFDS is not installed, or a class name that it, which keeps one a
        line, cannot keep.
    """
    optional.require(_PACKAGES, "the format array_record")
    import tensorflow_datasets as tfds

    for name in classes:
        if not name or name != name.strip() or len(name.splitlines()) > 1:
            raise InputError(
                f"{root.name}: the class name {name!r} cannot be kept in array_record, "
                "allowed are names of one line without space around them"
            )
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(
                shape=images_MHWK.shape[1:], encoding_format="png"
            ),
            "label": tfds.features.ClassLabel(names=list(classes)),
        }
    )
    identity = tfds.core.DatasetIdentity(
        name="image_set",
        version=tfds.core.Version("1.0.0"),
        data_dir=str(root),
        module_name="",
    )
    info = tfds.core.DatasetInfo(
        builder=identity, features=features, supervised_keys=("image", "label")
    )
    writer = tfds.core.SequentialWriter(info, _SHARD, file_format="array_record")
    writer.initialize_splits(["train"])
    examples = (
        {"image": io.BytesIO(image_files.encode(image, "png")), "label": int(label)}
        for image, label in zip(images_MHWK, labels_M, strict=True)
    )
    writer.add_examples({"train": examples})
    writer.close_all()
