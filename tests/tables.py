"""What runs wrote, held against the data dictionary."""

import csv
import json

import numpy as np
import pandas as pd

from ddjax import scores
from ddjax.report import dictionary

# `Column.values` -> the least and the greatest.
RANGES = {
    "0 to 100": (0, 100),
    "-100 to 100": (-100, 100),
    "-200 to 200": (-200, 200),
    "-1 to 1": (-1, 1),
    "0 to 1": (0, 1),
    "0 or more": (0, np.inf),
    "1 or more": (1, np.inf),
    "5 or more": (5, np.inf),
    "more than 0": (1e-300, np.inf),
    "0, 1, 2, ...": (0, np.inf),
    "1, 2, ...": (1, np.inf),
    "number": (-np.inf, np.inf),
    "number or `inf`": (-np.inf, np.inf),
}

# Keys whose values are objects with keys that depend on the settings.
MAPPINGS = ("states",)


def misfits(folder, of="students"):
    """Values that are outside of their declared range, or missing where none may be."""
    for file in dictionary.FILES:
        for path in folder.glob(file.name) if file.of in ("", of) else ():
            if path.suffix == ".csv":
                table = pd.read_csv(path)
            elif path.suffix == ".jsonl" and file.columns:
                table = pd.read_json(path, lines=True)
            else:
                continue
            for column in file.columns:
                if column.name in table:
                    why = misfit(column, table[column.name])
                    yield from (f"{path.name}: {column.name} is {one}" for one in why)


def misfit(column, values):
    if values.isna().any() and not column.missing:
        yield "missing"
    if column.values not in RANGES:
        return
    numbers = pd.to_numeric(values.dropna(), errors="coerce")
    if numbers.isna().any() and "joined" not in column.meaning:
        yield "no number"
    low, high = RANGES[column.values]
    if not numbers.dropna().between(low, high).all():
        yield f"outside {column.values}"


def columns(path):
    """The columns of a table, or the keys of objects, of those within them as well."""
    if path.suffix == ".csv":
        with open(path, newline="") as file:
            return next(csv.reader(file))
    text = path.read_text()
    lines = [text] if path.suffix == ".json" else text.split("\n")[:-1]
    return keys(map(json.loads, lines))


def keys(rows, before=""):
    found = {}
    for row in rows:
        for name, value in row.items():
            found[before + name] = True
            if name in MAPPINGS:
                continue
            inner = value if isinstance(value, list) else [value]
            if inner and isinstance(inner[0], dict):
                found |= dict.fromkeys(keys(inner, f"{before}{name}."))
    return list(found)


def tables(folder, of="students"):
    """Yields (what is declared of a table, the columns that it has)."""
    for file in dictionary.FILES:
        if file.columns and file.of in ("", of):
            for path in folder.glob(file.name):
                yield file, columns(path)


def wrong(folder, of="students", complete=True):
    """What is written and not declared; if complete, also what should be there."""
    for file, found in tables(folder, of):
        declared = [column.name for column in file.columns]
        if "SCORE" in declared:
            declared.remove("SCORE")
            declared += [name for name in found if name in scores.SCORES]
        optional = {
            column.name for column in file.columns if "column only" in column.missing
        }
        yield from (f"{file.name}: {name}" for name in found if name not in declared)
        if complete:
            there = [n for n in declared if n in found or n not in optional]
            if there != found:
                yield f"{file.name}: {found}, declared {there}"
