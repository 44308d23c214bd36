"""Glyphs: the 94 printable ASCII characters, rendered from a folder of font files.

As notMNIST, with more classes. Fonts of one family share a split, so that test images
are of typefaces that no training image is of.
"""

import collections
import contextlib
import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ddjax import regular
from ddjax.data.source import Kind, Source, from_arrays
from ddjax.errors import DAMAGED, InputError

CHARACTERS = tuple(map(chr, range(33, 127)))
SUFFIXES = (".otf", ".ttf")
SIDE = 28  # pixels
_HEIGHT = 22  # pixels an em
_BASELINE = 20  # pixels below the top
_LEAST = 90  # characters that a font of letters has an image of
_TEST_OF = 4  # about one family in so many is of the test split
_VERSION = 1  # of the rendering; other images, another number


def load(
    argument: str, data_dir: str | None = None, image_size: int | None = None
) -> Source:
    """Renders PATH/**/*.otf and *.ttf, or reads what was rendered before.

    An image is one character of one font, white on black, 22 pixels an em, its advance
    centred, all on one baseline. Of equal images the first one stays. A font that has
    no image of its own for five or more characters is left out: it has symbols, or
    boxes in the place of letters. A family is what lies in folders of one name; a
    quarter of them, by a hash of the name, are the test split. Labels are noisy by
    nature: small capitals are labelled as lower case, and some fonts draw I and l
    alike.

    Ids are positions in the order of families, fonts and characters. FreeType draws the
    images, and another version may draw others, with another digest. Images are
    kept in $XDG_CACHE_HOME/ddjax (or ~/.cache/ddjax), where that can be written, until
    a font changes.

    Raises:
      InputError: no font is there, or a character has no training image.
    """
    root = regular.expanded(argument)
    fonts = _fonts(root)
    kept = regular.cache() / "ddjax" / f"glyphs-{_digest(root, fonts)}.npz"
    arrays = _read(kept)
    if arrays is None:
        arrays = _render(fonts)
        _write(kept, arrays)
    train, test = (
        (arrays["images"][chosen], arrays["labels"][chosen])
        for chosen in (~arrays["test"], arrays["test"])
    )
    used, found = int(arrays["fonts"]), len(fonts)
    remarks = (
        f"glyphs:{argument}: {used:,} of {found:,} fonts are used, others have too few "
        f"characters; {int(arrays['families']):,} families",
    )
    name = f"glyphs:{argument}"
    return from_arrays(name, CHARACTERS, train, test, image_size, remarks)


def _fonts(root: Path) -> list[Path]:
    """The font files below a folder, those of one family beside each other."""
    found = [
        Path(folder, name)
        for folder, _, names in os.walk(root)
        for name in names
        if name.lower().endswith(SUFFIXES) and not name.startswith(".")
    ]
    found = [path for path in found if regular.is_file(path)]
    if not found:
        raise InputError(
            f"glyphs:{root}: has no font, allowed is a folder with files that end in "
            f"{' or '.join(SUFFIXES)}"
        )
    return sorted(found, key=lambda path: (path.parent.name, path.name, str(path)))


def _digest(root: Path, fonts: list[Path]) -> str:
    """Identifies the fonts and what draws them."""
    from PIL import features

    digest = hashlib.sha256(f"{_VERSION} {features.version('freetype2')}".encode())
    for path in fonts:
        digest.update(str(path.relative_to(root)).encode(errors="surrogateescape"))
        digest.update(hashlib.sha256(regular.read(path)).digest())
    return digest.hexdigest()[:16]


def _render(fonts: list[Path]) -> dict[str, np.ndarray]:
    """Images [N,28,28] uint8, labels [N], test [N] bool, how many fonts, families."""
    images, labels, test = [], [], []
    seen: set[bytes] = set()
    families: dict[str, int] = collections.Counter()
    for path in fonts:
        own = dict(_glyphs(path))
        if len(own) < _LEAST:
            continue
        family = path.parent.name
        families[family] += 1
        for image, label in own.items():
            if image not in seen:
                seen.add(image)
                images.append(np.frombuffer(image, np.uint8).reshape(SIDE, SIDE))
                labels.append(label)
                test.append(_is_test(family))
    return {
        "images": np.array(images, np.uint8).reshape(-1, SIDE, SIDE),
        "labels": np.array(labels, np.int32),
        "test": np.array(test, bool),
        "fonts": np.array(sum(families.values())),
        "families": np.array(len(families)),
    }


def _glyphs(path: Path) -> Iterator[tuple[bytes, int]]:
    """Yields (image, label) of the characters of a font that have one of their own."""
    from PIL import Image, ImageDraw, ImageFont

    try:
        font = ImageFont.truetype(
            io.BytesIO(regular.read(path)),
            _HEIGHT,
            layout_engine=ImageFont.Layout.BASIC,
        )
    except (OSError, ValueError):  # no font, or of a kind that FreeType does not read
        return

    def draw(text: str) -> bytes:
        image = Image.new("L", (SIDE, SIDE))
        place = (SIDE // 2, _BASELINE)
        with contextlib.suppress(OSError):  # an outline that FreeType cannot draw
            ImageDraw.Draw(image).text(place, text, 255, font=font, anchor="ms")
        return image.tobytes()

    taken = {bytes(SIDE * SIDE), draw("\uffff")}  # nothing, and a missing character
    for label, character in enumerate(CHARACTERS):
        image = draw(character)
        if image not in taken:
            taken.add(image)
            yield image, label


def _is_test(family: str) -> bool:
    digest = hashlib.sha256(family.encode(errors="surrogateescape")).digest()
    return digest[0] % _TEST_OF == 0


def _read(path: Path) -> dict[str, np.ndarray] | None:
    with contextlib.suppress(*DAMAGED), path.open("rb") as file:
        return dict(np.load(file))
    return None


def _write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    from ddjax.artifacts import write_file

    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, buffer.getvalue())


KIND = Kind(__doc__, load, argument="PATH", place="folder")
