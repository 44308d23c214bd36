"""A leaderboard: DD-Ranking's scores of all methods of a set of runs.

Every method of a run, with each kind of labels and each augmentation, has a row. Its
HLR compares with students of the full data, its IOR with random subsets of the same
run, budget, labels and augmentation; both are differences within a seed. Random itself
has a row: its IOR is 0, and a set that is worth its compute stands above it.

The full data are those with the most image passes among all runs with the same test
images and network, of equal ones those without augmentation, which is the source's
way. Where their seeds are not those of the set, the k-th student of one is compared
with the k-th of the other, as independent runs.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ddjax.errors import InputError
from ddjax.report import ranking, results
from ddjax.report.ranking import PUBLISHED, WEIGHT, Quirks
from ddjax.report.results import RunResults
from ddjax.report.setups import HARD, NONE, Setup, setups
from ddjax.report.statistics import CHOSEN_ON_TEST, FULL, RANDOM, mean_interval

if TYPE_CHECKING:
    import pandas as pd

SCORES = ("hlr", "ior", "lrs", "ars", "augmented_ior", "plain_ior")
PAIRED, UNPAIRED = "paired", "unpaired"


@dataclasses.dataclass(frozen=True, eq=False)
class Entry:
    """A method with one budget, kind of labels and setup, and its scores.

    Attributes:
      setup: of its students.
      method, ipc, regime: what they are trained on.
      means: name -> mean accuracy, a fraction: full, synthetic_hard, synthetic,
        random, each that there is.
      full: what the full data's students are: (setup, their IPC, image passes), None
        without any.
      pairing: PAIRED where those share the seeds, UNPAIRED, or "" without any.
      sets: how many of the sets (subsets) differ.
      scores: of `SCORES` -> a number a run; a score that cannot be computed is not
        there.
      note: "" or CHOSEN_ON_TEST.
    """

    setup: Setup
    method: str
    ipc: int
    regime: str
    means: dict[str, float]
    full: tuple[Setup, int, float] | None
    pairing: str
    sets: int
    scores: dict[str, np.ndarray]
    note: str


def read(folders: Sequence[str | os.PathLike]) -> tuple[RunResults, ...]:
    """Reads the students and settings of runs.

    Args:
      folders: one or more workdirs, or folders with the `members.jsonl` and the
        `manifest.json` of one; without the latter, augmentations are not known.

    Raises:
      InputError: there is none; one is no folder of a run, is given twice, has no
        students (yet), or a damaged file.
    """
    if not folders:
        raise InputError("leaderboard: found no run, allowed are one or more")
    return results.read_all("leaderboard", folders)


def entries(
    runs: Sequence[RunResults],
    weight: float = WEIGHT,
    gamma: float = WEIGHT,
    quirks: Quirks = PUBLISHED,
) -> list[Entry]:
    """Returns the entries of runs, the highest LRS of a source and budget first.

    Args:
      runs: of `read`.
      weight: w of `ranking.lrs`.
      gamma: of `ranking.ars`.
      quirks: of the official package to reproduce.

    Raises:
      InputError: a weight is outside [0, 1]; students are not as `setups.setups` wants
        them; no method has a random subset or full data to compare with.
    """
    found = setups(runs, quirks.best_on_test)
    every = [
        _entry(found, setup, cell, weight, gamma, quirks)
        for setup in found
        if not _is_twin(found, setup)
        for cell in setup.cells
        if cell[0] != FULL
    ]
    kept = [each for each in every if each.scores]
    if not kept:
        raise InputError(
            "leaderboard: found no method with scores, required are students of random "
            "with the same budget and labels, or hard labels and the full data"
        )
    return sorted(kept, key=_place)


def table(
    found: Sequence[Entry], weight: float = WEIGHT, gamma: float = WEIGHT
) -> pd.DataFrame:
    """Returns entries as a table.

    Args:
      found: of `entries`.
      weight, gamma: that they were made with.

    Returns:
      A row for each entry, in their order: rank (among those of the same source and
      budget that have an LRS), source, ipc, method, student, views, labels, run; the
      mean and the 95 % half width (`_ci95`) of each of `SCORES`, fractions, NaN where
      there is none; n (runs of the LRS, else of the IOR or HLR), sets; the mean
      accuracies full, synthetic_hard, synthetic and random, fractions; full_run,
      full_views, full_passes and full_pairing of the full data; w, gamma and note.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    ranks: dict[tuple[str, int], int] = {}
    for each in found:
        row: dict[str, Any] = {"rank": None}
        if "lrs" in each.scores:
            group = _source(each), each.ipc
            ranks[group] = row["rank"] = ranks.get(group, 0) + 1
        row |= {
            "source": _source(each),
            "ipc": each.ipc,
            "method": each.method,
            "student": each.setup.student,
            "views": each.setup.views,
            "labels": each.regime,
            "run": each.setup.run.label,
        }
        for name in SCORES:
            row[name], row[f"{name}_ci95"], _ = mean_interval(each.scores.get(name, []))
        first = next(n for n in ("lrs", "ior", "hlr", *SCORES) if n in each.scores)
        row |= {"n": len(each.scores[first]), "sets": each.sets}
        for name in ("full", "synthetic_hard", "synthetic", "random"):
            row[name] = each.means.get(name, np.nan)
        of, _, passes = each.full or (None, 0, np.nan)
        row |= {
            "full_run": of.run.label if of else "",
            "full_views": of.views if of else "",
            "full_passes": passes,
            "full_pairing": each.pairing,
            "w": weight,
            "gamma": gamma,
            "note": each.note,
        }
        rows.append(row)
    return pd.DataFrame(rows).astype({"rank": "Int64"})


def remarks(found: Sequence[Entry], quirks: Quirks = PUBLISHED) -> list[str]:
    """Returns sentences on what limits the scores, the gravest first.

    Args:
      found: of `entries`.
      quirks: that they were made with.
    """
    notes = [f"Quirk of the official package: {name}." for name in quirks.names]
    for setup, ipc, passes in {each.full: None for each in found if each.full}:
        pool = setup.run.source.get("pool", 0)
        epochs = f", {passes / pool:.3g} epochs of it" if pool else ""
        views = f", views: {setup.views}" if setup.views else ""
        notes.append(
            f"Full data of {setup.run.label}, {setup.network}: {passes:,.0f} image "
            f"passes{epochs}{views} (the compute of IPC {ipc}). HLR is too low where "
            "longer training would raise their accuracy."
        )

    def note(text: str, of: Any) -> None:
        labels = dict.fromkeys(each.setup.run.label for each in found if of(each))
        if labels:
            notes.append(f"{', '.join(labels)}: {text}.")

    note("settings were chosen on test, so scores are optimistic", lambda e: e.note)
    note(
        "no full data with hard labels on the same test images, so there is no LRS",
        lambda e: e.full is None,
    )
    note(
        "no hard labels of a method, so it has no LRS",
        lambda e: "hlr" not in e.scores and e.full,
    )
    note(
        "no random subsets with the same budget and labels, so there is no IOR",
        lambda e: "ior" not in e.scores,
    )
    robust = {each.setup.run.label for each in found if "ars" in each.scores}
    note(
        "no network is trained both with and without augmentation, so there is no ARS",
        lambda e: e.setup.run.label not in robust,
    )
    note(
        "one set of a method has all its students, so intervals leave out how its sets "
        "vary",
        lambda e: e.sets == 1 and len(next(iter(e.scores.values()))) > 1,
    )
    note(
        "the seeds of the full data are others, so HLR is not paired",
        lambda e: e.pairing == UNPAIRED,
    )
    return notes


def _place(each: Entry) -> tuple:
    score = float(np.mean(each.scores["lrs"])) if "lrs" in each.scores else -np.inf
    return _source(each), each.ipc, -score


def _source(each: Entry) -> str:
    return each.setup.run.source.get("name", "")


def _is_twin(found: Sequence[Setup], setup: Setup) -> bool:
    """Whether a setup is another one's without augmentation, and no protocol itself."""
    return setup.views == NONE and setup.network != setup.student


def _entry(
    found: Sequence[Setup],
    setup: Setup,
    cell: tuple[str, int, str],
    weight: float,
    gamma: float,
    quirks: Quirks,
) -> Entry:
    method, ipc, regime = cell
    hard = setup.accuracy(method, ipc, HARD)
    synthetic = setup.accuracy(method, ipc, regime)
    random = setup.accuracy(RANDOM, ipc, regime)
    reference = _full(found, setup)
    means = {"synthetic_hard": hard, "synthetic": synthetic, "random": random}
    scores: dict[str, pd.Series] = {}
    pairing = ""
    if reference is not None:
        full, pairing = _matched(reference[0].accuracy(FULL, reference[1], HARD), hard)
        means["full"] = reference[0].accuracy(FULL, reference[1], HARD)
        scores["hlr"] = _of(ranking.hlr, full, hard)
    scores["ior"] = _of(ranking.ior, synthetic, random)
    if "hlr" in scores:
        of_hlr, of_ior = scores["hlr"].align(scores["ior"], join="inner")
        scores["lrs"] = ranking.lrs(of_hlr, of_ior, weight, quirks.percent)
        if quirks.duplicates and regime == HARD:
            scores["lrs"] = np.repeat(scores["lrs"], 2)
    twin = _plain(found, setup)
    if twin is not None:
        plain = _of(
            ranking.ior,
            twin.accuracy(method, ipc, regime),
            twin.accuracy(RANDOM, ipc, regime),
        )
        augmented, plain = scores["ior"].align(plain, join="inner")
        scores |= {"augmented_ior": augmented, "plain_ior": plain}
        scores["ars"] = ranking.ars(augmented, plain, gamma, quirks.percent)
    students = setup.cells[cell]
    note = CHOSEN_ON_TEST if "test" in {*students["select_on"]} else ""
    return Entry(
        setup,
        method,
        ipc,
        regime,
        {name: float(values.mean()) for name, values in means.items() if len(values)},
        reference,
        pairing if len(scores.get("hlr", ())) else "",
        students["subset"].nunique(),
        {name: np.asarray(values) for name, values in scores.items() if len(values)},
        note,
    )


def _of(score: Any, one: pd.Series, other: pd.Series) -> pd.Series:
    """A score of the seeds that both have."""
    one, other = one.align(other, join="inner")
    return one.__class__(score(one, other), one.index, dtype=float)


def _full(found: Sequence[Setup], setup: Setup) -> tuple[Setup, int, float] | None:
    """The students of the full data that a setup is compared with: see above."""
    every = [
        (other, ipc, float(students["image_passes"].astype(float).fillna(0.0).mean()))
        for other in found
        if other.same == setup.same
        and (other.run is setup.run or other.run.same_test(setup.run))
        for (method, ipc, regime), students in other.cells.items()
        if method == FULL and regime == HARD
    ]

    def place(each: tuple[Setup, int, float]) -> tuple:
        return each[2], each[0].views == NONE, each[0].run is setup.run

    return max(every, key=place, default=None)


def _plain(found: Sequence[Setup], setup: Setup) -> Setup | None:
    """The setup of the same network and run without augmentation; None of itself."""
    if setup.views in (NONE, ""):
        return None
    return next(
        (
            other
            for other in found
            if other.run is setup.run
            and other.student == setup.student
            and other.views == NONE
        ),
        None,
    )


def _matched(full: pd.Series, own: pd.Series) -> tuple[pd.Series, str]:
    """The full data's accuracies by the seeds of a set, and whether they are pairs."""
    shared = own.index.intersection(full.index)
    if len(shared) >= min(2, len(own)) and 2 * len(shared) >= len(own):
        return full[shared], PAIRED
    count = min(len(full), len(own))
    return full.iloc[:count].set_axis(own.index[:count]), UNPAIRED
