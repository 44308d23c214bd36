"""Shuffled names of methods: the analysis of the kept studies then declares nothing."""

import json
import pathlib

import numpy as np
import pandas as pd
import pytest

from ddjax.report.statistics import FULL
from ddjax.report.study import Study
from ddjax.report.verdicts import SHOWN, verdicts

RESULTS = pathlib.Path(__file__).parents[1] / "results"
CELL = ["regime", "ipc", "seed"]


def shuffled(members, generator):
    """The students of each cell with their methods exchanged, full data left alone."""
    changed = members.copy()
    for _, cell in members[members["method"] != FULL].groupby(CELL):
        methods = cell["method"].to_numpy()
        changed.loc[cell.index, "method"] = generator.permutation(methods)
    return changed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("fashion_mnist", ["choice", "tested", "labels"]),
        ("coresets_digits", ["choice", "tested", "labels"]),
        ("cad_readings_fashion_mnist", ["choice", "tested"]),
        ("remedy_fashion_mnist", ["choice", "labels"]),
    ],
)
def test_shuffled_methods_show_nothing(name, keys):
    lines = (RESULTS / name / "members.jsonl").read_text().splitlines()
    manifest = json.loads((RESULTS / name / "manifest.json").read_text())
    members = pd.DataFrame(map(json.loads, lines))
    generator, tries = np.random.default_rng(0), 100
    declared = {"choice": 0, "tested": 0}
    for _ in range(tries):
        study = Study(
            shuffled(members, generator), test_images=manifest["source"]["test"]
        )
        for verdict in verdicts(study):
            if verdict.key in declared:
                found = any(each.state == SHOWN for each in verdict.contrasts)
                declared[verdict.key] += found
    # Of 100 studies without any effect, 5 err at the level of 5 %; 11 or more would
    # come up in one of a hundred suites.
    assert max(declared.values()) <= 10, declared
    real = Study(members, test_images=manifest["source"]["test"])
    assert [each.key for each in verdicts(real)] == keys
