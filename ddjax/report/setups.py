"""Setups: the students of a run that share a network and an augmentation.

A run trains its student and every entry of `transfer`. Entries of the same network
differ in their views, which its manifest describes: that is how a run compares a set
with and without augmentation, or under several.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ddjax.errors import InputError, named
from ddjax.models import MODELS
from ddjax.report.results import MEMBERS, RunResults
from ddjax.report.statistics import accuracies

if TYPE_CHECKING:
    import pandas as pd

HARD = "hard"
NONE = "none"  # the views of a setup without augmentation
Cell = tuple[str, int, str]  # method, budget, kind of labels


@dataclasses.dataclass(frozen=True, eq=False)
class Setup:
    """The students of a run with one network and one augmentation.

    Attributes:
      run: that trained them.
      network: their name in `members.jsonl`.
      student: the name of the first setup of the run with the same network.
      same: a text that setups of any run share where the network is the same.
      views: their augmentation: `NONE`, "dsa", or such as "pad 4, flip"; "" where the
        run has no manifest. With the entry's name where another one has the same.
      cells: (method, IPC, kind of labels) -> students that succeeded, a row each by
        seed: `accuracy` (a fraction), `subset`, `image_passes`.
    """

    run: RunResults
    network: str
    student: str
    same: str
    views: str
    cells: dict[Cell, pd.DataFrame]

    def accuracy(self, method: str, ipc: int, regime: str) -> pd.Series:
        """Returns the accuracies of a cell by seed, fractions; empty without it."""
        import pandas as pd

        found = self.cells.get((method, ipc, regime))
        return pd.Series(dtype=float) if found is None else found["accuracy"]


def setups(runs: Sequence[RunResults], best_on_test: bool = False) -> list[Setup]:
    """Returns the setups of runs, those of a run in the order of its networks.

    Args:
      runs: of `results.read`.
      best_on_test: see `ranking.Quirks`.

    Raises:
      InputError: students are not as `statistics` wants them; `best_on_test`, and a
        student has no curve of its accuracy on test.
    """
    found: list[Setup] = []
    for run in runs:
        first: dict[str, str] = {}
        taken: set[tuple[str, str]] = set()
        for network in run.networks:
            same = _network(run, network)
            student = first.setdefault(same, network)
            views = _views(run, network)
            if (student, views) in taken:  # they differ in another part of the recipe
                views = f"{views} ({network})"
            taken.add((student, views))
            cells = _cells(run, network, best_on_test)
            found.append(Setup(run, network, student, same, views, cells))
    return found


def views_text(augment: dict[str, Any]) -> str:
    """Returns an augmentation in a few words.

    Args:
      augment: the settings of `augment`, as a manifest has them.
    """
    on = {
        name: value
        for name, value in augment.items()
        if value and not name.endswith("_regimes")
    }
    if not on:
        return NONE
    if list(on) == ["dsa"]:
        return "dsa"
    return ", ".join(f"{name.replace('_', ' ')}{_value(on[name])}" for name in on)


def _value(value: Any) -> str:
    if value is True:
        return ""
    return " " + ("/".join(map(str, value)) if isinstance(value, list) else str(value))


def _section(run: RunResults, network: str) -> tuple[dict, dict]:
    """(network, augment) of the settings of a setup; {} where they are not known."""
    settings = run.manifest.get("settings", {})
    entry = settings.get("transfer", {}).get(network)
    if entry is None:
        return settings.get("student", {}).get("network", {}), settings.get(
            "augment", {}
        )
    own = entry.get("own_augment", False)
    return entry["network"], (entry if own else settings).get("augment", {})


def _network(run: RunResults, network: str) -> str:
    """See `Setup.same`; without a manifest only the name is known."""
    found, _ = _section(run, network)
    name = found.get("name", "")
    if name not in MODELS:
        return network
    family = found.get(MODELS[name].family) or {}
    options = {key: value for key, value in family.items() if value is not None}
    return json.dumps([name, found.get("dtype") or "float32", options], sort_keys=True)


def _views(run: RunResults, network: str) -> str:
    if not run.manifest:
        return ""
    return views_text(_section(run, network)[1])


def _cells(run: RunResults, network: str, best: bool) -> dict[Cell, pd.DataFrame]:
    members = run.members[run.members["network"] == network]
    with named(str(run.folder / MEMBERS)):
        accuracies(members)  # refuses what is damaged
    good = members[members["status"] == "ok"].set_index("seed")
    measured = _best(run, good) if best else good["accuracy"].astype(float)
    kept = good.assign(accuracy=measured / 100)
    return dict(list(kept.groupby(["method", "ipc", "regime"], sort=False)))


def _best(run: RunResults, good: pd.DataFrame) -> pd.Series:
    """The best accuracy on test of each student's training, in percent."""
    import pandas as pd

    curves = good["test_curve"] if "test_curve" in good else [()] * len(good)
    if not all(isinstance(curve, list) and curve for curve in curves):
        raise InputError(
            f"{run.folder / MEMBERS}: found a student without test_curve, allowed with "
            "the quirk best_on_test are runs with protocol.curves above 0"
        )
    best = [max(curve) for curve in curves]
    return pd.Series(best, good.index).clip(lower=good["accuracy"].astype(float))
