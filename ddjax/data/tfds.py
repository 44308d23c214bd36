"""Datasets prepared by TensorFlow Datasets, read without TensorFlow.

Read from files only, in ArrayRecord format: no dataset's own code is run, and nothing
is ever downloaded.
"""

import io
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from ddjax.data import source
from ddjax.errors import InputError


def load(
    argument: str, data_dir: str | None = None, image_size: int | None = None
) -> source.Source:
    """Load an image-classification dataset that TFDS has prepared as ArrayRecord.

    The test split is "test"; where that is absent, or unlabelled (its first label is
    negative, as in imagenet2012), it is "validation".

    Args:
      argument: TFDS's name, "NAME[/CONFIG][:VERSION]", such as "cifar10:3.0.2".
      data_dir: TFDS's folder; None for $TFDS_DATA_DIR or ~/tensorflow_datasets.
      image_size: pixels per side, as in `source.resize`; required where sizes differ.

    Returns:
      The source; ids are positions in the prepared split. TFDS shuffles by a hash
      when it writes, so they are not the order of the original files, but preparing
      the same version again gives the same order.

    Raises:
      InputError: not prepared in that folder or not as ArrayRecord, a shard is missing
        or damaged, or it is not a dataset of uint8 images with class labels.
    """
    name = f"tfds:{argument}"
    builder = _find(argument, data_dir)
    keys = _keys(name, builder.info)
    try:
        train = _read(name, builder, "train", keys, image_size)
        test = _read(name, builder, _test_split(builder, keys), keys, image_size)
    except RuntimeError as error:  # what ArrayRecord raises
        raise InputError(
            f"{name}: {builder.data_dir} has a missing or damaged shard: {error}"
        ) from error
    classes = tuple(builder.info.features[keys[1]].names)
    return source.from_arrays(name, classes, train, test, image_size)


def _find(argument: str, data_dir: str | None) -> Any:
    """The read-only TFDS builder of a dataset on disk."""
    from google.protobuf import json_format
    from tensorflow_datasets.core import read_only_builder

    folder = os.path.expanduser(
        data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    )
    try:
        return read_only_builder.builder_from_files(
            argument, data_dir=folder, file_format="array_record"
        )
    except (OSError, ValueError, json_format.ParseError) as error:
        reason = str(error).splitlines()[0].split(". ")[0]
        raise InputError(
            f"tfds:{argument} is not there as ArrayRecord in {folder} ({reason}). "
            "ddjax does not download: where TensorFlow is installed, run "
            f"tfds.builder({argument!r}, data_dir={folder!r}, "
            "file_format='array_record').download_and_prepare()"
        ) from error


def _keys(name: str, info: Any) -> tuple[str, str]:
    """The keys of the image and of its label, checked to be of those kinds."""
    import tensorflow_datasets as tfds

    keys = tuple(map(str, info.supervised_keys or ("image", "label")))
    wanted = [tfds.features.Image, tfds.features.ClassLabel]
    features = dict(info.features)
    kinds = [type(features.get(key)) for key in keys]
    if (
        len(keys) != 2
        or not all(map(issubclass, kinds, wanted))
        or features[keys[0]].np_dtype != np.uint8
    ):
        raise InputError(
            f"{name}: {keys} must be a uint8 image and a class label, found "
            f"{' '.join(repr(info.features).split())}"
        )
    return keys


def _test_split(builder: Any, keys: tuple[str, str]) -> str:
    if "test" in builder.info.splits:
        records = _records(builder, "test", keys[0])
        if "validation" not in builder.info.splits or records[0][keys[1]] >= 0:
            return "test"
    return "validation"


def _read(
    name: str, builder: Any, split: str, keys: tuple[str, str], image_size: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Images [N, H, W, C] uint8 and labels [N] int64 of one split."""
    image_key, label_key = keys
    records = _records(builder, split, image_key)
    labels = np.zeros(len(records), np.int64)
    num_channels = 1 if builder.info.features[image_key].shape[-1] == 1 else 3

    def describe(position: int) -> str:
        return f"{name}: split {split}, example {position}"

    def read_image(position: int) -> np.ndarray:
        record = records[position]
        labels[position] = record[label_key]
        file = io.BytesIO(record[image_key])
        return source.decode(file, num_channels, describe(position))

    return source.gather(read_image, len(records), image_size, describe), labels


def _records(builder: Any, split: str, image_key: str) -> Sequence[dict]:
    """The records of one split, their images still encoded."""
    import tensorflow_datasets as tfds

    sizes = {name: info.num_examples for name, info in builder.info.splits.items()}
    if not sizes.get(split):
        raise InputError(
            f"{builder.data_dir}: must have examples in 'train' and in 'test' or "
            f"'validation', found {sizes}"
        )
    # One decoder for every source: TFDS would take OpenCV where it is installed, and
    # two decoders of JPEG do not agree to the last bit.
    decoders = {image_key: tfds.decode.SkipDecoding()}
    return builder.as_data_source(split, decoders=decoders)
