"""Random damage to the files of a folder, as disks, copies and people do it."""

import collections


def damage(folder, rng):
    """Damages one file or folder, each kind of which is as likely.

    Args:
      folder: where.
      rng: NumPy generator.

    Returns:
      (what was done, the path)
    """
    kinds = collections.defaultdict(list)
    for path in sorted(folder.rglob("*")):
        # An empty file cannot be changed.
        if path.is_file() and path.name != ".lock" and path.stat().st_size:
            place = path.relative_to(folder).parts
            group = next((part.split("-")[0] for part in place if "-" in part), "")
            kinds[group, path.suffix, len(place)].append(path)
    names = sorted(kinds)
    files = kinds[names[rng.integers(len(names))]]
    path = files[rng.integers(len(files))]
    ways = [flip, truncate, remove, zeros, empty_folder]
    if path.suffix == ".json":
        ways += [digit, digit]
    way = ways[rng.integers(len(ways))]
    way(path, rng)
    return way.__name__, path


def flip(path, rng):
    content = bytearray(path.read_bytes())
    content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    path.write_bytes(content)


def truncate(path, rng):
    content = path.read_bytes()
    path.write_bytes(content[: rng.integers(len(content))])


def remove(path, rng):
    path.unlink()


def zeros(path, rng):
    path.write_bytes(bytes(path.stat().st_size))


def empty_folder(path, rng):
    for file in path.parent.iterdir():
        if file.is_file():
            file.unlink()


def digit(path, rng):
    text = path.read_text()
    places = [place for place, sign in enumerate(text) if sign.isdecimal()]
    if places:
        place = places[rng.integers(len(places))]
        other = (int(text[place]) + int(rng.integers(1, 10))) % 10
        path.write_text(f"{text[:place]}{other}{text[place + 1 :]}")
