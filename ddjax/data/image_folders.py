"""An image set as a folder of PNG or JPEG images for each class.

Letters: M images, H height, W width, K channels.
"""

from collections.abc import Sequence
from concurrent import futures
from pathlib import Path

import numpy as np

from ddjax.data import class_names, image_files
from ddjax.errors import InputError

_SUFFIXES = (".png", ".jpg", ".jpeg")


def read(
    root: Path, classes: Sequence[str], shape: tuple[int, int, int], resize: bool
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Read ROOT/CLASS/*.png, .jpg or .jpeg.

    Folders are called as the source's classes or by index, see `class_names.match`.
    Names that begin with a dot are passed over, other files with a remark.

    Args:
      root: the folder.
      classes: the source's class names in label order.
      shape: (H, W, K) of the source's images.
      resize: whether images of another size are brought to it.

    Returns:
      Images [M,H,W,K] uint8, labels [M], and remarks on what was assumed.

    Raises:
      InputError: no class folders, a folder that means no class, no images, or as
        `image_files.read`.
    """
    entries = sorted(e for e in root.iterdir() if not e.name.startswith("."))
    folders = [entry for entry in entries if entry.is_dir()]
    if not folders:
        raise InputError(
            f"{root}: has no class folders; allowed is a folder of one folder of PNG "
            "or JPEG images for each class, one of .pt files, or an ArrayRecord dataset"
        )
    labels, notes = class_names.match([f.name for f in folders], classes, str(root))
    paths, path_labels, others = [], [], [e for e in entries if not e.is_dir()]
    for folder, label in zip(folders, labels, strict=True):
        for entry in sorted(folder.iterdir()):
            if entry.name.startswith("."):
                continue
            if not entry.name.lower().endswith(_SUFFIXES):
                others.append(entry)
                continue
            paths.append(entry)
            path_labels.append(label)
    if others:
        example = others[0].relative_to(root)
        notes += (f"passed over {len(others)} that are no PNG or JPEG, as {example}",)
    if not paths:
        raise InputError(f"{root}: has no PNG or JPEG image in its class folders")
    images_MHWK, more = image_files.read(
        paths.__getitem__,
        len(paths),
        shape,
        resize,
        lambda position: str(paths[position]),
        str(root),
    )
    return images_MHWK, np.array(path_labels), notes + more


def write(
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
      root: the folder to fill; it exists and is empty.
      images_MHWK: [M,H,W,K] uint8, K 1 or 3.
      labels_M: [M] integers, 0 .. number of classes - 1.
      classes: class names in label order.
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
        paths[position].write_bytes(image_files.encode(image_HWK, file_format))

    with futures.ThreadPoolExecutor() as pool:
        for _ in pool.map(write_image, range(len(paths))):
            pass


def _fits_folder(name):
    allowed = not name.startswith(".") and "/" not in name and "\0" not in name
    return allowed and 0 < len(name.encode()) <= 255
