"""What a run left for its reader, as a page takes it: of a run, or of a folder."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import pathlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ddjax.errors import InputError
from ddjax.report.statistics import RANDOM, REFERENCE, summarise
from ddjax.report.verdicts import HARD, Study, Verdict, verdicts

if TYPE_CHECKING:
    import pandas as pd

READ = "images"  # the arm of an image set that was read
_NAMED = re.compile(r"(.+?)(?:_ipc(\d+))?")


@dataclasses.dataclass(frozen=True)
class Figure:
    """A PNG file of a run.

    Attributes:
      file: its path below the run's folder.
      caption: what it shows.
    """

    file: str
    caption: str = ""

    @property
    def kind(self) -> str:
        """What figures of several budgets share, such as "difficulty"."""
        return self._parts()[0]

    @property
    def ipc(self) -> int | None:
        """Its budget, None of a figure of all."""
        found = self._parts()[1]
        return int(found) if found else None

    def _parts(self) -> tuple[str, str | None]:
        match = _NAMED.fullmatch(pathlib.PurePosixPath(self.file).stem)
        assert match is not None  # the pattern matches any name
        return match[1], match[2]


@dataclasses.dataclass(frozen=True, eq=False)
class Record:
    """What a run left.

    Attributes:
      folder: the run's, where the page goes.
      manifest: what manifest.json holds; of the keys that a page reads only settings,
        source, environment, notes and costs have to be there.
      students: one row a student, of all networks; None of a run of teachers only.
      teachers: the table of a run of teachers only, else None.
      figures: PNG files, in the order to show.
    """

    folder: pathlib.Path
    manifest: Mapping[str, Any]
    students: pd.DataFrame | None = None
    teachers: pd.DataFrame | None = None
    figures: tuple[Figure, ...] = ()

    @property
    def settings(self) -> Mapping[str, Any]:
        """The study's settings, nested."""
        return self.manifest["settings"]

    @property
    def source(self) -> Mapping[str, Any]:
        """The images: name, classes, shape, and how many there are of each split."""
        return self.manifest["source"]

    @property
    def compares(self) -> bool:
        """Whether there are students."""
        return self.students is not None

    @functools.cached_property
    def members(self) -> pd.DataFrame:
        """The students of the first network."""
        assert self.students is not None
        if "network" not in self.students:
            return self.students
        first = self.students["network"].iloc[0]
        return self.students[self.students["network"] == first]

    @functools.cached_property
    def summary(self) -> pd.DataFrame:
        """Of `members`, see `statistics.summarise`."""
        return summarise(self.members)

    @functools.cached_property
    def study(self) -> Study:
        """The students as verdicts see them."""
        sets = [*self.settings.get("distill", {}), READ]
        found = set(self.members["method"])
        return Study(
            self.members,
            sets=[name for name in sets if name in found],
            test_images=self.source.get("test", 0),
        )

    @functools.cached_property
    def verdicts(self) -> list[Verdict]:
        """The answers that the students allow."""
        return verdicts(self.study) if self.compares else []

    @property
    def no_verdict(self) -> str:
        """Why there is none; "" where there is one."""
        if self.verdicts:
            return ""
        if not self.compares:
            return "This run trains teachers. It compares no training sets."
        study = self.study
        if not (self.members["status"] == "ok").any():
            return "No student succeeded."
        if RANDOM not in set(self.members["method"]):
            return "No student was trained on random images, to compare others with."
        if not study.arms and len(study.regimes) < 2:
            return "Only random images under one kind of labels: nothing is compared."
        if not study.arms and not {HARD, REFERENCE} & {*study.regimes}:
            return f"There are no {HARD} or {REFERENCE} labels to compare others with."
        return "No seed has both students of any comparison."

    @property
    def seeds(self) -> int:
        """How many seeds the students have."""
        return int(self.members["seed"].nunique())

    @functools.cached_property
    def budgets(self) -> list[int]:
        """Images per class, ascending."""
        return sorted(int(ipc) for ipc in self.members["ipc"].unique())


def read(folder: str | os.PathLike) -> Record:
    """Returns what a run left in a folder.

    Args:
      folder: has manifest.json, and members.jsonl or (of teachers only) summary.csv;
        figures, as PNG, in it or in `figures/`.

    Raises:
      InputError: a file is missing or cannot be read.
    """
    import pandas as pd

    folder = pathlib.Path(folder)
    manifest = _json(folder / "manifest.json")
    missing = [key for key in ("settings", "source") if key not in manifest]
    if missing:
        raise InputError(
            f"{folder / 'manifest.json'}: {missing[0]!r} is missing; a study has it"
        )
    found = Record(folder, manifest, figures=_figures(folder, manifest))
    members = folder / "members.jsonl"
    if members.exists():
        try:
            lines = members.read_text(encoding="utf-8").splitlines()
            rows = [json.loads(line) for line in lines]
        except ValueError as error:
            raise InputError(f"{members}: is damaged ({error})") from error
        if not rows:
            raise InputError(f"{members}: is empty, at least one student is needed")
        return dataclasses.replace(found, students=pd.DataFrame(rows))
    summary = folder / "summary.csv"
    table = pd.read_csv(summary) if summary.exists() else pd.DataFrame()
    if "teacher" not in table:
        raise InputError(
            f"{folder}: has no members.jsonl, which every study of students has"
        )
    return dataclasses.replace(found, teachers=table)


def _figures(folder: pathlib.Path, manifest: Mapping[str, Any]) -> tuple[Figure, ...]:
    """The PNG files of a folder: those of the manifest first, with their captions."""
    known = {each["file"]: each["caption"] for each in manifest.get("figures", ())}
    there = [
        path.relative_to(folder).as_posix()
        for place in (folder, folder / "figures")
        for path in sorted(place.glob("*.png"))
    ]
    files = dict.fromkeys([*(file for file in known if file in there), *there])
    return tuple(Figure(file, known.get(file, "")) for file in files)


def _json(path: pathlib.Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: is missing; every run writes it") from None
    except ValueError as error:
        raise InputError(f"{path}: is damaged ({error})") from error
    if not isinstance(found, dict):
        raise InputError(f"{path}: found no object, allowed is what a run writes")
    return found
