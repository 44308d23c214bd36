"""An image set as files of its images: PNG or JPEG in class folders, or ArrayRecord.

Selected images of a source are exported as class folders too, for any other tool.

Readers return images [M,H,W,K] uint8 of the shape (H, W, K) of the source, resized to
it if `resize` allows that; labels [M] of the source's classes; and remarks on what was
assumed. Writers take images [M,H,W,K] uint8 of 1 or 3 channels, labels [M] integers of
0 .. number of classes - 1, and a folder that exists and is empty.

Letters: M images, H height, W width, K channels.
"""

import collections
import io
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from pathlib import Path
from typing import Any

import numpy as np

from ddjax import regular
from ddjax.data import classes as class_names
from ddjax.data import images, optional
from ddjax.data.source import Source
from ddjax.errors import InputError

_SUFFIXES = (".png", ".jpg", ".jpeg")
MARKER = ".ddjax_export.json"  # describes what is there; such a folder may be replaced
_SHARD = 16384  # images in one file
_PACKAGES = ("tensorflow_datasets", "array_record")


def read_folders(
    root: Path, classes: Sequence[str], shape: tuple[int, int, int], resize: bool
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Read ROOT/CLASS/*.png, .jpg or .jpeg.

    Folders are called as the source's classes or by index, see `class_names.match`.
    Names that begin with a dot are passed over, other files with a remark.

    Raises:
      InputError: no class folders, a folder that means no class, no images, or as
        `check_sizes`, or an image is damaged.
    """
    entries = regular.entries(root)
    folders = [entry for entry in entries if entry.is_dir()]
    if not folders:
        raise InputError(
            f"{root}: has no class folders; allowed is a folder of one folder of PNG "
            "or JPEG images for each class, one of .pt files, or an ArrayRecord dataset"
        )
    labels, notes = class_names.match([f.name for f in folders], classes, str(root))
    paths, path_labels, others = [], [], [e for e in entries if not e.is_dir()]
    for folder, label in zip(folders, labels, strict=True):
        for entry in regular.entries(folder):
            if entry.name.lower().endswith(_SUFFIXES):
                paths.append(entry.path)
                path_labels.append(label)
            else:
                others.append(entry)
    if others:
        example = Path(others[0]).relative_to(root)
        notes += (f"passed over {len(others)} that are no PNG or JPEG, as {example}",)
    if not paths:
        raise InputError(f"{root}: has no PNG or JPEG image in its class folders")
    images_MHWK, more = _read_images(
        paths.__getitem__,
        len(paths),
        shape,
        resize,
        paths.__getitem__,
        str(root),
    )
    return images_MHWK, np.array(path_labels), notes + more


def write_folders(
    root: Path,
    images_MHWK: np.ndarray,
    labels_M: np.ndarray,
    classes: Sequence[str],
    file_format: str,
) -> None:
    """Write ROOT/CLASS/00000.png and so on, numbered within each class.

    If a class has a name that no folder can have ("a/b", ".c"), all folders are called
    by index instead: 00000, 00001.

    Args:
      file_format: "png" or "jpeg".
    """
    names = list(classes)
    if not all(map(_fits_folder, names)):
        names = [f"{index:05d}" for index in range(len(names))]
    suffix = {"png": "png", "jpeg": "jpg"}[file_format]
    counts = [0] * len(names)
    paths = []
    for label in labels_M:
        paths.append(root / names[label] / f"{counts[label]:05d}.{suffix}")
        counts[label] += 1
    for name in names:
        (root / name).mkdir()

    def write_image(position: int) -> None:
        image_HWK = images_MHWK[position]
        paths[position].write_bytes(images.encode(image_HWK, file_format))

    with futures.ThreadPoolExecutor() as pool:
        for _ in pool.map(write_image, range(len(paths))):
            pass


def _fits_folder(name):
    allowed = not name.startswith(".") and "/" not in name and "\0" not in name
    return allowed and 0 < len(name.encode()) <= 255


def read_records(
    root: Path, classes: Sequence[str], shape: tuple[int, int, int], resize: bool
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Read the split "train" of a folder that TFDS or `write_records` has filled.

    Raises:
      InputError: TFDS is not installed; the folder is damaged, is not in ArrayRecord
        format, or does not hold images with class labels; its class names are others;
        or as `check_sizes`, or an image is damaged.
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
        images_MHWK, more = _read_images(
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


def write_records(
    root: Path,
    images_MHWK: np.ndarray,
    labels_M: np.ndarray,
    classes: Sequence[str],
) -> None:
    """Write the split "train" of a TFDS dataset, its images as PNG, in their order.

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
        {"image": io.BytesIO(images.encode(image, "png")), "label": int(label)}
        for image, label in zip(images_MHWK, labels_M, strict=True)
    )
    writer.add_examples({"train": examples})
    writer.close_all()


def _read_images(
    open_file: Callable[[int], Any],
    count: int,
    shape: tuple[int, int, int],
    resize: bool,
    describe: Callable[[int], str],
    where: str,
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Images [M,H,W,K] uint8 of files, and remarks on sizes, colour and transparency.

    Args:
      open_file: position -> path or binary file object of a PNG or JPEG image.
      count: M, at least 1.
      shape, resize: see above.
      describe: position -> what the image is called in messages.
      where: what all of them are called in messages.
    """
    if shape[2] not in (1, 3):
        raise InputError(
            f"{where}: the source's images have {shape[2]} channels, allowed is 1 or "
            "3: there are no other PNG or JPEG images"
        )
    sizes: collections.Counter[tuple[int, int]] = collections.Counter()
    modes: collections.Counter[str] = collections.Counter()
    for position in range(count):
        with images.opened(open_file(position), describe(position)) as image:
            sizes[image.height, image.width] += 1
            modes[image.mode] += 1
    notes = check_sizes(sizes, shape, resize, where)
    grey = sum(modes[mode] for mode in images.GREY)
    if shape[2] == 1 and grey < count:
        notes += (f"{count - grey} of {count} images have colour and were turned grey",)
    if shape[2] == 3 and grey:
        notes += (f"{grey} of {count} images are grey and were given three channels",)
    clear = sum(number for mode, number in modes.items() if mode in ("LA", "RGBA"))
    if clear:
        notes += (f"the transparency of {clear} of {count} images was dropped",)

    def read_image(position: int) -> np.ndarray:
        return images.decode(open_file(position), shape[2], describe(position))

    image_size = None if set(sizes) == {shape[:2]} else shape[0]
    return images.gather(read_image, count, image_size, describe), notes


def check_sizes(
    sizes: Mapping[tuple[int, int], int],
    shape: tuple[int, int, int],
    resize: bool,
    where: str,
) -> tuple[str, ...]:
    """Refuse images of another size, or remark that they are resized.

    Args:
      sizes: (height, width) -> how many images have it.
      shape: (H, W, K) that is wanted.
      resize: whether other sizes are accepted, to be brought to H by W.
      where: what the images are called in messages.

    Returns:
      A remark if some images have another size, otherwise none.

    Raises:
      InputError: some have and `resize` is not set, or H and W differ: only squares can
        be made.
    """
    height, width = shape[:2]
    others = {size: count for size, count in sizes.items() if size != (height, width)}
    if not others:
        return ()
    found = ", ".join(f"{count} of {h} x {w}" for (h, w), count in others.items())
    wanted = f"{height} x {width} (height x width)"
    if not resize:
        raise InputError(
            f"{where}: found images of another size: {found}, expected {wanted}, as "
            "the source's; resize=True brings them to it"
        )
    if height != width:
        raise InputError(
            f"{where}: found images of another size: {found}, and only squares can be "
            f"made by resize=True, not {wanted}"
        )
    return (f"images of another size ({found}) were brought to {wanted}",)


def check_export(source: Source, folder: str | os.PathLike) -> None:
    """Checks, before anything is computed, that an export may be written.

    Args:
      source: whose images are written.
      folder: to create, or to replace if it is an earlier export.

    Raises:
      InputError: something else is there, it overlaps with the source's folder, or it
        cannot be written.
    """
    folder = _resolved(folder)
    if source.paths is not None:
        root = _resolved(source.root)
        if folder.is_relative_to(root) or root.is_relative_to(folder):
            raise InputError(
                f"export: found {folder}, allowed is a folder apart from the source's, "
                f"{root}"
            )
    if folder.exists():
        _check_replaceable(folder)
    parent = next(parent for parent in folder.parents if parent.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise InputError(f"export: {parent} cannot be written")


def write_export(
    source: Source,
    ids: np.ndarray,
    folder: str | os.PathLike,
    described: Mapping[str, Any],
) -> int:
    """Writes training images to FOLDER/CLASS/; all are there or none.

    Images with files of their own are copied as they are, under the names that they
    have; others are written as PNG, at the size that the source has in memory.

    Args:
      source: where they come from.
      ids: [n] int, which training images.
      folder: as `check_export` allows it.
      described: what else is kept beside the images, JSON values by name.

    Returns:
      The number of images.

    Raises:
      InputError: as `check_export`, or a file cannot be read or written.
    """
    check_export(source, folder)
    folder = _resolved(folder)
    temporary = folder.with_name(f".{folder.name}.tmp-{os.getpid()}")
    earlier = folder.with_name(f".{folder.name}.old-{os.getpid()}")
    try:
        temporary.mkdir(parents=True)
        if source.paths is None:
            chosen = source.train.take(ids)
            images = np.asarray(chosen.images)
            write_folders(temporary, images, chosen.labels, source.classes, "png")
        else:
            _copy(source, source.paths, ids, temporary)
        written = sorted(p.relative_to(temporary).as_posix() for p in _files(temporary))
        marked = {"source": source.name, "digest": source.digest, **described}
        text = json.dumps(marked | {"files": written}, indent=1)
        (temporary / MARKER).write_text(text)
        if folder.exists():
            os.rename(folder, earlier)
        os.rename(temporary, folder)
        shutil.rmtree(earlier, ignore_errors=True)
    except OSError as error:
        raise InputError(f"export: {folder} cannot be written ({error})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return len(written)


def _copy(
    source: Source, paths: tuple[str, ...], ids: np.ndarray, folder: Path
) -> None:
    taken = set()
    for index in ids:
        path = paths[index]
        name = Path(source.classes[source.train.labels[index]], Path(path).name)
        # File systems may see no difference between upper and lower case.
        count, unique = 1, name
        while str(unique).lower() in taken:
            count += 1
            unique = name.with_name(f"{name.stem}-{count}{name.suffix}")
        taken.add(str(unique).lower())
        (folder / unique).parent.mkdir(exist_ok=True)
        shutil.copyfile(os.path.join(source.root, path), folder / unique)


def _check_replaceable(folder: Path) -> None:
    if not folder.is_dir():
        raise InputError(f"export: found {folder}, which is no folder")
    found = {path.relative_to(folder).as_posix() for path in _files(folder)}
    if not found and not any(folder.iterdir()):
        return
    try:
        own = {MARKER, *json.loads((folder / MARKER).read_text())["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        own = set()
    others = sorted(found - own)
    if others or not own:
        raise InputError(
            f"export: {folder} holds {(others or ['folders'])[0]}, which no export "
            "wrote; allowed is a new or an empty folder, or that of an earlier export"
        )


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if not path.is_dir()]


def _resolved(folder: str | os.PathLike) -> Path:
    return Path(folder).expanduser().resolve()
