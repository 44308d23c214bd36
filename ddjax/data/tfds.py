"""Datasets prepared by TensorFlow Datasets, read without TensorFlow.

Read from files only, in ArrayRecord format: no dataset's own code is run, and nothing
is ever downloaded. Facts: the pages of TFDS's catalogue.
"""

import contextlib
import functools
import hashlib
import io
import json
import os
import pathlib
import tempfile
from collections.abc import Callable, Sequence
from concurrent import futures
from typing import Any

import numpy as np

from ddjax import regular
from ddjax.data import optional
from ddjax.data.images import Streamed, decode, gather
from ddjax.data.source import Facts, Kind, Source, Split, from_arrays
from ddjax.errors import DAMAGED, InputError

ORDER = (
    "ids follow the order in which TFDS wrote the examples, which is not that of the "
    "original files: scores and subsets by index that others publish do not fit"
)
_BLOCK = 64  # records read at a time
_Keys = tuple[str, str]  # of the image and of its label


def load(
    argument: str, data_dir: str | None = None, image_size: int | None = None
) -> Source:
    """Load an image-classification dataset that TFDS has prepared as ArrayRecord.

    The test split is "test"; where that is absent, or unlabelled (its first label is
    negative, as in imagenet2012), it is "validation".

    Args:
      argument: TFDS's name, "NAME[/CONFIG][:VERSION]", such as "cifar10:3.0.2".
      data_dir: TFDS's folder; None for $TFDS_DATA_DIR or ~/tensorflow_datasets.
      image_size: pixels per side, as in `images.resize`; required where sizes differ.

    Returns:
      The source; ids are positions in the prepared split. TFDS shuffles by a hash
      when it writes, so they are not the order of the original files, but preparing
      the same version again gives the same order.

    Raises:
      InputError: TFDS is not installed; the dataset is not prepared in that folder or
        not as ArrayRecord, a shard is missing or damaged, or it is not a dataset of
        uint8 images with class labels.
    """
    return _source(argument, data_dir, functools.partial(_read, image_size))


def stream(argument: str, data_dir: str | None, image_size: int) -> Source:
    """Like `load`, but images stay in their files until they are indexed.

    They are `images.Streamed`, a damaged one is met only when it is indexed, and
    image_size is as in `images.decode_square`. The labels take one pass over all
    records. They are kept in $XDG_CACHE_HOME/ddjax (or ~/.cache/ddjax), where that can
    be written, until a file changes its name, its size or its time.
    """
    return _source(argument, data_dir, functools.partial(_stream, image_size))


def _source(
    argument: str, data_dir: str | None, read: Callable[[str, Any, str, _Keys], Split]
) -> Source:
    name, builder = f"tfds:{argument}", _find(argument, data_dir)
    keys = _keys(name, builder.info)
    try:
        train = read(name, builder, "train", keys)
        test = read(name, builder, _test_split(builder, keys), keys)
    except (RuntimeError, OSError) as error:  # of ArrayRecord or the file system
        raise InputError(
            f"{name}: {builder.data_dir} has a missing or damaged shard: {error}"
        ) from error
    remarks = [f"{name}: {ORDER}"]
    if builder.info.features[keys[0]].shape[-1] in (2, 4):
        remarks.append(f"{name}: images have transparency, which is dropped")
    classes = tuple(builder.info.features[keys[1]].names)
    return from_arrays(name, classes, train, test, remarks=tuple(remarks))


def _stream(image_size: int, name: str, builder: Any, split: str, keys: _Keys) -> Split:
    shards = _Shards(name, builder, split, keys)
    num_channels = _num_channels(builder.info, keys[0])
    return Streamed(shards, image_size, num_channels), _labels(shards)


class _Shards:
    """The records of a split: `images.Records`, and their labels."""

    def __init__(self, name: str, builder: Any, split: str, keys: _Keys):
        from array_record.python import array_record_data_source

        _check_splits(builder, split)
        parts = builder.info.splits[split].file_instructions
        files = [str(part.filename) for part in parts]
        stats = [os.stat(file) for file in files]
        described = [
            (os.path.basename(file), stat.st_size, part.skip, part.take)
            for file, stat, part in zip(files, stats, parts, strict=True)
        ]
        self.identity = _digest([builder.info.full_name, split, keys, described])
        self.state = _digest(
            [self.identity, files, [stat.st_mtime_ns for stat in stats]]
        )
        self._name, self._split, self._keys = name, split, keys
        # Opens its files when it is first read, in whatever process that is.
        self._records = array_record_data_source.ArrayRecordDataSource(parts)

    def __len__(self) -> int:
        return len(self._records)

    def describe(self, position: int) -> str:
        return f"{self._name}: split {self._split}, example {position}"

    def read(self, position: int) -> bytes:
        try:
            example = self._parse(self._records[position])
            return example.features.feature[self._keys[0]].bytes_list.value[0]
        except (RuntimeError, OSError, IndexError) as error:
            raise InputError(
                f"{self.describe(position)}: the record is missing or damaged: {error}"
            ) from error

    def labels(self, positions: Sequence[int]) -> list[int]:
        """-1 for a record without."""
        examples = map(self._parse, self._records.__getitems__(positions))
        key = self._keys[1]
        values = (
            example.features.feature[key].int64_list.value for example in examples
        )
        return [next(iter(value), -1) for value in values]

    def _parse(self, record: bytes) -> Any:
        from google.protobuf import message
        from tensorflow_datasets.proto import tf_example_pb2

        try:
            return tf_example_pb2.Example.FromString(record)
        except message.DecodeError as error:
            raise RuntimeError(f"not a record of TFDS: {error}") from error


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _labels(shards: _Shards) -> np.ndarray:
    """[N] int64, from the cache where the files are as they were."""
    path = regular.cache() / "ddjax" / f"labels-{shards.state[:16]}.npz"
    with contextlib.suppress(*DAMAGED), path.open("rb") as file:
        labels_N = np.load(file)["labels"]
        if labels_N.shape == (len(shards),):
            return labels_N
    labels_N = _read_labels(shards)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as new:
            np.savez_compressed(new, labels=labels_N)
        os.replace(new.name, path)
    return labels_N


def _read_labels(shards: _Shards) -> np.ndarray:
    import tqdm

    labels_N = np.empty(len(shards), np.int64)

    def fill(start: int) -> int:
        positions = range(start, min(start + _BLOCK, len(shards)))
        labels_N[start : positions.stop] = shards.labels(positions)
        return len(positions)

    # A bar on a terminal, silence elsewhere.
    with (
        tqdm.tqdm(desc="labels", total=len(shards), disable=None) as bar,
        futures.ThreadPoolExecutor() as pool,
    ):
        for count in pool.map(fill, range(0, len(shards), _BLOCK)):
            bar.update(count)
    return labels_N


def _find(argument: str, data_dir: str | None) -> Any:
    """The read-only TFDS builder of a dataset on disk."""
    packages = ("tensorflow_datasets", "array_record")
    optional.require(packages, f"source 'tfds:{argument}'")
    from google.protobuf import json_format
    from tensorflow_datasets.core import read_only_builder

    folder = str(
        regular.expanded(
            data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
        )
    )
    _check_files(pathlib.Path(folder, argument.partition(":")[0]))
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


def _keys(name: str, info: Any) -> _Keys:
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


def _test_split(builder: Any, keys: _Keys) -> str:
    if "test" in builder.info.splits:
        records = _records(builder, "test", keys[0])
        if "validation" not in builder.info.splits or records[0][keys[1]] >= 0:
            return "test"
    return "validation"


def _read(
    image_size: int | None, name: str, builder: Any, split: str, keys: _Keys
) -> Split:
    """Images [N, H, W, C] uint8 and labels [N] int64 of one split."""
    image_key, label_key = keys
    records = _records(builder, split, image_key)
    labels = np.zeros(len(records), np.int64)
    num_channels = _num_channels(builder.info, image_key)

    def describe(position: int) -> str:
        return f"{name}: split {split}, example {position}"

    def read_image(position: int) -> np.ndarray:
        record = records[position]
        labels[position] = record[label_key]
        file = io.BytesIO(record[image_key])
        return decode(file, num_channels, describe(position))

    return gather(read_image, len(records), image_size, describe), labels


def _num_channels(info: Any, image_key: str) -> int:
    return 1 if info.features[image_key].shape[-1] == 1 else 3


def _check_files(folder: pathlib.Path) -> None:
    """Refuses named pipes and the like, which TFDS would wait for."""
    for path in folder.rglob("*"):
        if not (regular.is_file(path) or regular.is_folder(path)):
            raise InputError(f"{path}: is no regular file, or cannot be read")


def _check_splits(builder: Any, split: str) -> None:
    sizes = {name: info.num_examples for name, info in builder.info.splits.items()}
    if not sizes.get(split):
        raise InputError(
            f"{builder.data_dir}: must have examples in 'train' and in 'test' or "
            f"'validation', found {sizes}"
        )


def _records(builder: Any, split: str, image_key: str) -> Sequence[dict]:
    """The records of one split, their images still encoded."""
    import tensorflow_datasets as tfds

    _check_splits(builder, split)
    # One decoder for every source: TFDS would take OpenCV where it is installed, and
    # two decoders of JPEG do not agree to the last bit.
    decoders = {image_key: tfds.decode.SkipDecoding()}
    return builder.as_data_source(split, decoders=decoders)


KIND = Kind(
    __doc__,
    load,
    stream=stream,
    argument="NAME",
    facts={
        "cifar10": Facts(50_000, 10_000, 10, (32, 32, 3)),
        "cifar100": Facts(50_000, 10_000, 100, (32, 32, 3)),
        "imagenet2012": Facts(1_281_167, 50_000, 1000, (0, 0, 3)),
        "imagenette/full-size-v2": Facts(9_469, 3_925, 10, (0, 0, 3)),
    },
)
