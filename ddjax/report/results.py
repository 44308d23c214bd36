"""The results of a run: its students and its manifest, read from its folder."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddjax import regular
from ddjax.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

MEMBERS, MANIFEST = "members.jsonl", "manifest.json"

_TEXTS, _COUNTS = ("method", "regime", "status"), ("ipc", "seed")
_LATER = ("network", "subset", "select_on")  # texts that early versions did not write
_NUMBERS = (
    "accuracy",
    "val_accuracy",
    "learning_rate",
    "image_passes",
    "find_passes",
    "find_seconds",
    "train_seconds",
)


@dataclasses.dataclass(frozen=True, eq=False)
class RunResults:
    """What is compared of one run.

    Attributes:
      label: the shortest part of its path that no other one shares.
      folder: where it was read.
      members: a row a student, see `statistics`, with the column `network`.
      manifest: of the run, {} where it is not there.
    """

    label: str
    folder: Path
    members: pd.DataFrame
    manifest: dict[str, Any]

    @property
    def source(self) -> dict[str, Any]:
        """Name, digest and sizes of the source, {} where they are not known."""
        return self.manifest.get("source", {})

    @property
    def test_images(self) -> int:
        """How many there are, 0 if that is not known."""
        return int(self.source.get("test", 0))

    @property
    def networks(self) -> list[str]:
        """The students' networks, that of the selections first."""
        return list(dict.fromkeys(self.members["network"]))

    def same_test(self, other: RunResults) -> bool:
        """Whether the test images of two runs are known to be the same."""
        return self._same(other, "digest", "test")

    def same_split(self, other: RunResults) -> bool:
        """Whether source, pools and validation splits are known to be the same."""
        same = self._resampled == other._resampled
        return same and self._same(other, "digest", "pool", "validation")

    @property
    def _resampled(self) -> bool:
        """Whether each seed has splits of its own."""
        return bool(_setting(self.manifest, "protocol", "resample"))

    def _same(self, other: RunResults, *keys: str) -> bool:
        known = all(key in self.source for key in keys)
        return known and all(self.source[k] == other.source.get(k) for k in keys)


def labels(paths: Sequence[Path]) -> list[str]:
    """Returns the shortest ends of paths that differ.

    Folders that all of them end in are left out: `a/run` and `b/run` are a and b. One
    alone is called by its last folder.

    Args:
      paths: absolute, no two the same.
    """
    if len(paths) == 1:
        return [printable(paths[0].name or str(paths[0]))]
    parts = [path.parts for path in paths]
    while min(map(len, parts)) > 1 and len({own[-1] for own in parts}) == 1:
        parts = [own[:-1] for own in parts]
    length = 1
    while len({own[-length:] for own in parts}) < len(parts):
        length += 1
    return [printable("/".join(own[-length:])) for own in parts]


def printable(text: str) -> str:
    """Returns a text whose control characters and the like are escaped."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )


def read_all(
    command: str, folders: Sequence[str | os.PathLike]
) -> tuple[RunResults, ...]:
    """Reads runs, which `labels` names.

    Args:
      command: that reads them, for messages.
      folders: one or more, as `read` takes them.

    Raises:
      InputError: one is given twice, or as `read`.
    """
    paths = [Path(os.path.abspath(regular.expanded(folder))) for folder in folders]
    known: set[str] = set()
    for path in paths:
        real = os.path.realpath(path)
        if real in known:
            raise InputError(f"{command}: {path} is given twice; a run equals itself")
        known.add(real)
    return tuple(map(read, labels(paths), paths))


def read(label: str, folder: Path) -> RunResults:
    """Reads a run.

    Args:
      label: what to call it.
      folder: a workdir, or a folder with its `members.jsonl` and `manifest.json`; the
        latter may be missing.

    Raises:
      InputError: it is no folder of a run, has no students (yet), or a damaged file.
    """
    if not regular.is_folder(folder):
        raise InputError(
            f"{folder}: found {regular.found(folder)}, allowed is the folder of a run"
        )
    path = folder / MEMBERS
    if not regular.is_file(path):
        raise InputError(f"{folder}: {_why_none(folder)}")
    manifest = _manifest(folder / MANIFEST)
    return RunResults(label, folder, _members(path, manifest), manifest)


def _why_none(folder: Path) -> str:
    """Why a folder has no students."""
    if regular.is_file(folder / "summary.csv"):
        header = regular.read(folder / "summary.csv").partition(b"\n")[0]
        if header.startswith(b"teacher,"):
            return "is a run of teachers only, which has no students to compare"
    if regular.is_file(folder / "run.json"):
        return f"has no {MEMBERS} yet; the run's command finishes it"
    return f"has no {MEMBERS}, so it is no folder of a run"


def _manifest(path: Path) -> dict[str, Any]:
    """A manifest whose parts that are read have the right form, {} without a file."""
    if not regular.is_file(path):
        return {}
    try:
        found = json.loads(regular.read(path))
        source = found["source"]
        sizes = [source[name] for name in ("pool", "validation", "test")]
        texts = [source["name"], source["digest"]]
        settings = found["settings"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: is damaged ({error!r})") from error
    whole = all(isinstance(size, int) and size >= 0 for size in sizes)
    whole = whole and all(isinstance(text, str) for text in texts)
    trees = settings, found.get("environment", {})
    if not whole or not all(isinstance(tree, dict) for tree in trees):
        raise InputError(
            f"{path}: is damaged (source, settings or environment have another form)"
        )
    return found


def _setting(manifest: dict[str, Any], *keys: str) -> Any:
    """A setting of a manifest, "" where there is none."""
    found: Any = manifest.get("settings")
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return "" if found is None else found


def _members(path: Path, manifest: dict[str, Any]) -> pd.DataFrame:
    """The students of a file, with a network each."""
    import pandas as pd

    rows = []
    for number, line in enumerate(regular.read(path).split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: line {number} is damaged ({error})") from error
        _check(row, f"{path}: line {number}")
        rows.append(row)
    if not rows:
        raise InputError(f"{path}: has no students")
    known = str(_setting(manifest, "student", "network", "name"))
    table = pd.DataFrame(rows)
    for name in _LATER:
        value = known if name == "network" else ""
        table[name] = table[name].fillna(value) if name in table else value
    return table


def _check(row: Any, where: str) -> None:
    """Refuses a line that is no student."""
    if not isinstance(row, dict):
        raise InputError(f"{where} is damaged (no JSON object)")
    row = dict.fromkeys(_LATER, "") | row
    for keys, kind, words in (
        ((*_TEXTS, *_LATER), str, "a text"),
        (_COUNTS, int, "a whole number"),
        (_NUMBERS, (int, float, type(None)), "a finite number or null"),
    ):
        for key in keys:
            value = row.get(key, ...)
            endless = isinstance(value, float) and not math.isfinite(value)
            if not isinstance(value, kind) or isinstance(value, bool) or endless:
                found = "nothing" if value is ... else repr(value)
                raise InputError(f"{where} has {found} for {key}, expected {words}")
