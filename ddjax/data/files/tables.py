"""Tables of ids and numbers in .csv files."""

import csv
import io
from pathlib import Path

import numpy as np

from ddjax import regular
from ddjax.data.identities import TEXTS
from ddjax.errors import InputError


def read(
    path: Path, column: str | None
) -> tuple[np.ndarray, np.ndarray, dict[str, list[str]]]:
    """Reads the column `id`, another one, and what else the file says of each id.

    Args:
      path: the file, with a header.
      column: the other column; None: the only one beside `id` and those of `TEXTS`.

    Returns:
      Ids and numbers [M], and name, one of `TEXTS` -> [M] texts.

    Raises:
      InputError: no regular file, not such a table, or not numbers.
    """
    import pandas as pd

    data = regular.read(path)
    try:
        # Some spreadsheets begin a file with a byte-order mark.
        text = data.decode("utf-8-sig")
        # By itself: given a header, pandas takes the first field of longer rows
        # for the row's name, and renames one of two equal columns.
        file = io.StringIO(text, newline="")
        header = next(csv.reader(file, skipinitialspace=True), [])
        names = [name.strip() for name in header]
        table = pd.read_csv(file, header=None, skipinitialspace=True, low_memory=False)
        said = _texts(text, names)
    except (ValueError, csv.Error) as error:
        raise InputError(
            f"{path}: cannot be read as rows below a header: {str(error).strip()}"
        ) from error
    others = [name for name in names if name not in ("id", *TEXTS)]
    chosen = others[0] if column is None and len(others) == 1 else column
    if names.count("id") != 1 or names.count(chosen) != 1:
        wanted = "one other, or the name of one" if column is None else repr(column)
        raise InputError(f"{path}: has columns {names}, expected 'id' and {wanted}")
    if table.shape[1] != len(names):
        raise InputError(
            f"{path}: has rows of {table.shape[1]} fields, expected {len(names)}, as "
            "in the header"
        )
    ids, values = (
        _numbers(table[names.index(name)], f"{path}: column {name!r}")
        for name in ("id", chosen)
    )
    if ids.dtype.kind == "f":
        misfits = ids[ids != np.rint(ids)]
        found = misfits[0] if misfits.size else ids[0]
        raise InputError(f"{path}: column 'id' has {found}, expected integers")
    return ids, values, said


def _texts(text: str, names: list[str]) -> dict[str, list[str]]:
    """Columns of `TEXTS`, letter by letter: pandas takes "NA" for no text."""
    at = {name: names.index(name) for name in TEXTS if names.count(name) == 1}
    if not at:
        return {}
    rows = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
    next(rows)
    fields = [row for row in rows if row]
    return {
        name: [row[index] if index < len(row) else "" for row in fields]
        for name, index in at.items()
    }


def _numbers(entries, where):
    import pandas as pd

    if entries.dtype.kind not in "iuf":
        misfits = entries[pd.to_numeric(entries, errors="coerce").isna()]
        found = (misfits if misfits.size else entries).tolist()[0]
        raise InputError(f"{where} has {found!r}, expected numbers")
    return entries.to_numpy()
