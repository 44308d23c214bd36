"""Whether runs can be compared: what differs, and what stands in the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ddjax.report import results
from ddjax.report.results import MANIFEST, RunResults
from ddjax.report.statistics import RANDOM

if TYPE_CHECKING:
    import pandas as pd

    from ddjax.report.compare import Runs

ABSENT = "–"
_STUDENT = ["network", "method", "ipc", "regime", "seed", "subset"]


def differing(runs: Runs) -> pd.DataFrame:
    """Returns settings, sources, versions and devices that are not the same everywhere.

    Args:
      runs: of `read`.

    Returns:
      A row for each dotted key, those that all runs have first, and a column for each
      run in their order; text, `ABSENT` where a run's manifest lacks the key.
    """
    import pandas as pd

    trees = [dict(_leaves(_described(run.manifest))) for run in runs.all]
    keys = dict.fromkeys(key for tree in trees for key in tree)
    rows = {key: [tree.get(key, ABSENT) for tree in trees] for key in keys}
    unlike = {key: values for key, values in rows.items() if len({*values}) > 1}
    ordered = sorted(unlike, key=lambda key: ABSENT in unlike[key])
    return pd.DataFrame(
        [unlike[key] for key in ordered],
        index=pd.Index(ordered, dtype=object),
        columns=[run.label for run in runs.all],
        dtype=object,
    )


def remarks(runs: Runs) -> list[str]:
    """Returns sentences on what keeps runs from being compared, the gravest first.

    Args:
      runs: of `read`.
    """
    first, found = runs.first, []

    def note(text: str, of: Callable[[RunResults], bool], every: bool = False) -> None:
        labels = [run.label for run in runs.all[not every :] if of(run)]
        if labels:
            found.append(f"{', '.join(labels)}: {text}.")

    def apart(column: str) -> Callable[[RunResults], bool]:
        known = {*first.members[column]}
        return lambda run: not known & {*run.members[column]}

    budgets = ", ".join(map(str, sorted({*first.members["ipc"]})))
    note(
        f"no {MANIFEST}, so the source is not known and only gaps are compared",
        lambda run: not run.manifest,
        every=True,
    )
    note(
        f"not the source or not the test images of {first.label}, so only gaps to "
        "random are compared",
        lambda run: bool(run.manifest and first.manifest) and not run.same_test(first),
    )
    note(
        f"split into training and validation otherwise than {first.label}, so that no "
        "students are paired",
        lambda run: run.same_test(first) and not run.same_split(first),
    )
    note(f"no budget in common with {first.label}, IPC {budgets}", apart("ipc"))
    note(f"no kind of labels in common with {first.label}", apart("regime"))
    note(f"no method in common with {first.label}", apart("method"))
    note(
        f"other image passes of students than {first.label} at the same IPC, so that "
        "a difference may be due to compute",
        lambda run: _passes_differ(run, first),
    )
    note(
        "no students of random, so there are no gaps",
        lambda run: RANDOM not in {*run.members["method"]},
        every=True,
    )
    note(
        "settings were chosen on test, so accuracies are optimistic",
        lambda run: "test" in {*run.members["select_on"]},
        every=True,
    )
    note(
        f"the same students as {first.label}, one run is a copy of the other",
        lambda run: run.members.equals(first.members),
    )
    note(
        f"the very accuracies of {first.label} for all students of the same subset, so "
        "that no setting that differs seems to reach them",
        lambda run: (
            not run.members.equals(first.members) and _same_students(run, first)
        ),
    )
    note(
        "students failed and are left out",
        lambda run: "failed" in {*run.members["status"]},
        every=True,
    )
    return found


def _passes_differ(run: RunResults, other: RunResults) -> bool:
    """Whether students of two runs train for other image passes at the same budget."""
    own, theirs = (
        each.members[each.members["status"] == "ok"]
        .groupby(["regime", "ipc", "method"])["image_passes"]
        .agg(set)
        for each in (run, other)
    )
    shared = own.index.intersection(theirs.index)
    return any(own[cell] != theirs[cell] for cell in shared)


def _same_students(run: RunResults, other: RunResults) -> bool:
    """Whether two runs share students, and all of those have the same accuracies."""
    if not run.same_split(other):
        return False
    own, theirs = (
        each.members[each.members["subset"] != ""].set_index(_STUDENT)["accuracy"]
        for each in (run, other)
    )
    shared = own.index.intersection(theirs.index)
    return len(shared) > 1 and own[shared].equals(theirs[shared])


def _described(manifest: dict[str, Any]) -> dict[str, Any]:
    """What of a manifest is compared."""
    environment = manifest.get("environment", {})
    names_of = ("name", "digest", "shape", "pool", "validation", "test")
    source = manifest.get("source", {})
    return {
        **manifest.get("settings", {}),
        "source": {name: source[name] for name in names_of if name in source},
        "versions": environment.get("versions", {}),
        "backend": environment.get("backend", ABSENT),
        "devices": environment.get("devices", ABSENT),
        "switches": environment.get("switches", {}),
    }


def _leaves(tree: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yields (dotted key, value as text)."""
    if isinstance(tree, Mapping):
        for name, value in tree.items():
            yield from _leaves(value, f"{key}.{name}" if key else str(name))
    elif isinstance(tree, list):
        yield key, results.printable(", ".join(map(str, tree)) or "()")
    else:
        yield key, results.printable(str(tree))
