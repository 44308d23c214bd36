"""Scores, subsets and features in files, as others publish and read them.

A file names examples by their id, the position in the source's training set, so
that it fits every run on that source, whatever the run's pool: `ids` are always those
of the pool, `count` is the size of the whole training set. A .csv may describe each
id, which is compared with the source: a file of another one, or in another order, is
refused.

Shape letters: N examples of the pool, D features.
"""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath

import numpy as np

from ddjax import regular
from ddjax.artifacts import csv_bytes, write_file
from ddjax.data.arrays import map_npy
from ddjax.data.source import Source
from ddjax.errors import InputError

Texts = Mapping[str, Sequence[str]]  # one of `TEXTS` -> that column of a file
# Columns of a .csv that describe an id, no scores.
TEXTS = ("class", "label", "path", "digest")
_BLOCK = 16384  # rows of features read at a time, so that no second copy is in memory


def texts(source: Source, ids: np.ndarray | None = None) -> dict[str, list[str]]:
    """Describes training images of a source, as files do.

    Args:
      source: any.
      ids: [n] int, which images; None: all, in the order of ids.

    Returns:
      "class": names; "label": numbers of the classes; "path" where images have files;
      "digest" where they are in memory, see `fingerprints`.
    """
    ids = np.arange(len(source.train)) if ids is None else ids
    labels = source.train.labels[ids].tolist()
    found = {
        "class": [source.classes[label] for label in labels],
        "label": list(map(str, labels)),
    }
    if source.paths is not None:
        root = os.path.abspath(source.root)
        found["path"] = [os.path.join(root, source.paths[index]) for index in ids]
    if source.fingerprints is not None:
        found["digest"] = source.fingerprints[0][ids].tolist()
    return found


def write_scores(path, ids, columns, count: int, texts=None) -> None:
    """Write one or more scores of every example; the file is whole or not there.

    Args:
      path: file to create or replace. ".csv" has the columns `id` and the scores', in
        the order of `ids`; ".npy" has one score as a float64 array of length `count`,
        NaN at ids that are not given.
      ids: [N] int, distinct, 0 .. count - 1.
      columns: name -> [N] numbers, infinite ones allowed. They are written in float64
        with all their digits: reading them back gives the same numbers.
      count: size of the source's training set.
      texts: what else a .csv has of each id: name, one of `TEXTS` -> [N] strings.

    Raises:
      InputError: another suffix, several scores for a .npy, ids or scores that are not
        allowed, or a path that cannot be written.
    """
    path = _path(path)
    ids_N = _checked_ids(ids, count, "ids")
    if not columns or "id" in columns or (path.suffix == ".npy" and len(columns) > 1):
        raise InputError(
            f"{path}: scores {list(columns)} were given, expected one, or several in "
            "a .csv, none of them called 'id'"
        )
    for name, values in columns.items():
        values_N = np.asarray(values)
        if values_N.shape != ids_N.shape or values_N.dtype.kind not in "iuf":
            raise InputError(
                f"score {name!r}: shape {values_N.shape} of {values_N.dtype}, expected "
                f"{ids_N.shape} numbers, one for each id"
            )
        _refuse_missing(values_N, ids_N, f"score {name!r}")
    columns = {name: np.asarray(values, np.float64) for name, values in columns.items()}
    if path.suffix == ".npy":
        all_scores = np.full(count, np.nan)
        (all_scores[ids_N],) = columns.values()
        _write_npy(path, all_scores)
    else:
        _write_csv(path, {"id": ids_N, **_written(texts, range(len(ids_N))), **columns})


def read_scores(
    path, ids, count: int, column: str | None = None, texts=None
) -> np.ndarray:
    """Read one score of every example of the pool.

    Args:
      path: ".npy", [count] numbers in the order of the source's training set; or
        ".csv" with a header, a column `id` and others, rows in any order. Examples that
        are not in the pool may be there or not.
      ids: [N] int, the pool's, 0 .. count - 1.
      count: size of the source's training set.
      column: the score's column in a .csv; None: the only one beside `id` and `TEXTS`.
      texts: what a .csv is compared with, see `texts`.

    Returns:
      [N] float64, infinite where the file has it so. What is high in the file stays
      high; the caller decides whether high means hard.

    Raises:
      InputError: the file is missing, damaged or of another form or source; an id is
        there twice or not an integer of 0 .. count - 1; an example of the pool has no
        number or NaN.

    Source: behaapyy/dual-pruning (exp_cifar/importance_evaluation.py) saves scores in
    this form. zhangxin-xd/Dataset-Pruning-TDDS (importance_evaluation.py) saves them
    *sorted*: which example each belongs to is in its data_mask file alone, so bring
    them into the examples' order first.
    """
    path = _path(path)
    ids_N = _checked_ids(ids, count, "ids")
    if path.suffix == ".csv":
        file_ids, values = _read_csv(path, count, column, texts)
        all_scores = np.full(count, np.nan)
        all_scores[file_ids] = values
    else:
        if column is not None:
            raise InputError(
                f"{path}: column {column!r} was named, but a .npy file has none"
            )
        all_scores = map_npy(path)
        if all_scores.shape != (count,) or all_scores.dtype.kind not in "iuf":
            raise InputError(
                f"{path}: has shape {all_scores.shape} of {all_scores.dtype}, expected "
                f"({count},) numbers: one for each example of the source's training set"
            )
    scores_N = np.array(all_scores[ids_N], np.float64)
    _refuse_missing(scores_N, ids_N, str(path))
    return scores_N


def write_subset(path, ids, texts=None) -> None:
    """Write which examples a subset has; the file is whole or not there.

    Args:
      path: file to create or replace: ".npy", an int32 array, or ".csv", a column `id`.
      ids: [n] int, distinct, at least 0; written in ascending order.
      texts: what else a .csv has of each id: name, one of `TEXTS` -> [n] strings.

    Raises:
      InputError: another suffix, ids that are not allowed, or a path that cannot be
        written.
    """
    path = _path(path)
    ids = _checked_ids(ids, 2**31, "ids").astype(np.int32)
    order = np.argsort(ids)
    if path.suffix == ".npy":
        _write_npy(path, ids[order])
    else:
        _write_csv(path, {"id": ids[order], **_written(texts, order)})


def read_subset(path, ids, count: int, texts=None) -> np.ndarray:
    """Read a subset of the pool.

    Args:
      path: ".npy", the ids of the subset's examples as integers in any order, or a
        mask of [count] bool; or ".csv" with a header and a column `id`.
      ids: [N] int, the pool's, 0 .. count - 1.
      count: size of the source's training set.
      texts: what a .csv is compared with, see `texts`.

    Returns:
      Sorted int32 positions in `ids`.

    Raises:
      InputError: the file is missing, damaged or of another form; an id is there twice
        or not an integer of 0 .. count - 1; the subset is empty, has all `count`
        examples, or one that is not in the pool; the file describes an
        example otherwise than the source.

    Source: adymaharana/d2pruning (train.py) saves ids. What behaapyy/dual-pruning and
    zhangxin-xd/Dataset-Pruning-TDDS (importance_evaluation.py of both) save as "mask"
    is an order of all ids by score, which is refused: it is not a subset.
    """
    path = _path(path)
    ids_N = _checked_ids(ids, count, "ids")
    if path.suffix == ".csv":
        found, _ = _read_csv(path, count, "id", texts)
    else:
        found = np.asarray(map_npy(path))
        if found.dtype == bool:
            if found.shape != (count,):
                raise InputError(
                    f"{path}: is a mask of shape {found.shape}, expected ({count},): "
                    "one entry for each example of the source's training set"
                )
            found = np.flatnonzero(found)
    found = _checked_ids(found, count, str(path))
    if len(found) == count:
        raise InputError(
            f"{path}: has all {count} examples of the source's training set, expected "
            "a part of them; if it is an order by score, keep the ids to train on"
        )
    position = np.full(count, -1, np.int32)
    position[ids_N] = np.arange(len(ids_N))
    positions = position[found]
    absent = positions < 0
    if absent.any():
        raise InputError(
            f"{path}: {absent.sum()} of {len(found)} ids are not among the run's "
            f"{len(ids_N)} training images, the first is {found[absent.argmax()]}: in "
            "the validation split or thinned out (data.validation, data.pool)"
        )
    return np.sort(positions)


def read_features(path, ids, count: int) -> np.ndarray:
    """Read a feature vector of every example of the pool, and of no other.

    Args:
      path: ".npy", [count, D] numbers in the order of the source's training set.
      ids: [N] int, the pool's, 0 .. count - 1.
      count: size of the source's training set.

    Returns:
      [N, D] float32.

    Raises:
      InputError: the file is missing, damaged or not such an array; a value of the pool
        is not finite in float32.
    """
    path = _path(path, (".npy",))
    ids_N = _checked_ids(ids, count, "ids")
    features = map_npy(path)
    if features.ndim != 2 or features.shape[1] == 0 or features.dtype.kind not in "iuf":
        raise InputError(
            f"{path}: has shape {features.shape} of {features.dtype}, expected "
            f"[{count}, D] numbers"
        )
    if len(features) != count:
        raise InputError(
            f"{path}: has the features of {len(features)} examples, but the source's "
            f"training set has {count}: they are of another source"
        )
    features_ND = np.empty((len(ids_N), features.shape[1]), np.float32)
    for start in range(0, len(ids_N), _BLOCK):
        rows = slice(start, start + _BLOCK)
        with np.errstate(over="ignore"):  # refused below, with its id
            features_ND[rows] = features[ids_N[rows]]
        finite = np.isfinite(features_ND[rows]).all(axis=1)
        if not finite.all():
            raise InputError(
                f"{path}: the features of id {ids_N[rows][finite.argmin()]} are not "
                "all finite in float32"
            )
    return features_ND


def _path(path, suffixes=(".csv", ".npy")):
    path = regular.expanded(path)
    if path.suffix not in suffixes:
        raise InputError(
            f"{path}: has the suffix {path.suffix!r}, expected {' or '.join(suffixes)}"
        )
    return path


def _checked_ids(ids, count, where):
    """int64 ids in the same order; an InputError that starts with `where` if not."""
    ids = np.asarray(ids)
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise InputError(
            f"{where}: has shape {ids.shape} of {ids.dtype}, expected [n] integers"
        )
    if ids.size == 0:
        raise InputError(f"{where}: has no ids, expected at least one")
    outside = (ids < 0) | (ids >= count)
    if outside.any():
        raise InputError(
            f"{where}: has id {ids[outside.argmax()]}, expected 0..{count - 1}"
        )
    ordered = np.sort(ids)
    again = ordered[1:][ordered[1:] == ordered[:-1]]
    if again.size:
        raise InputError(
            f"{where}: has id {again[0]} more than once, expected distinct ids"
        )
    return ids.astype(np.int64)


def _refuse_missing(values_N, ids_N, where):
    missing_N = np.isnan(values_N)
    if missing_N.any():
        raise InputError(
            f"{where}: {missing_N.sum()} of {len(ids_N)} examples have no number or "
            f"NaN, the first has id {ids_N[missing_N.argmax()]}; expected a finite or "
            "infinite one for each"
        )


def _read_csv(
    path: Path, count: int, column: str | None, known: Texts | None
) -> tuple[np.ndarray, np.ndarray]:
    """Ids and numbers [M] of a table, whose texts are those of the source.

    The numbers are those of `column`; None: of the only one beside `id` and `TEXTS`.
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
        held = _texts(text, names)
    except (ValueError, csv.Error) as error:
        raise InputError(
            f"{path}: cannot be read as rows below a header: {str(error).strip()}"
        ) from error
    others = [name for name in names if name not in ("id", *TEXTS)]
    chosen = others[0] if column is None and len(others) == 1 else column
    if names.count("id") != 1 or chosen is None or names.count(chosen) != 1:
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
    ids = _checked_ids(ids, count, str(path))
    if known is not None:
        _check_texts(path, ids, held, known)
    return ids, values


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


def _check_texts(path: Path, ids: np.ndarray, held: Texts, known: Texts) -> None:
    """Refuses a file that describes an example otherwise than the source.

    Folders may have moved: of a path the file's own name and its folder's are compared.
    A digest is compared where it is of an image of the same size.
    """
    for name in TEXTS:
        if name not in held or name not in known:
            continue
        here = [known[name][index] for index in ids]
        wrong = [
            row
            for row, (there, own) in enumerate(zip(held[name], here, strict=True))
            if not _agree(name, there, own)
        ]
        if not wrong:
            continue
        row = wrong[0]
        why = "it is of another source, or in another order"
        if name == "digest" and {held[name][row] for row in wrong} <= set(known[name]):
            why = "the images are there under other ids: it is in another order"
        raise InputError(
            f"{path}: has the {name} {held[name][row]!r} for id {ids[row]}, which is "
            f"{here[row]!r} in the source, and is wrong for {len(wrong):,} of "
            f"{len(ids):,} ids; {why}"
        )


def _agree(name: str, there: str, own: str) -> bool:
    if name == "path":
        return _end(there) == _end(own)
    if name == "digest" and there.partition(":")[0] != own.partition(":")[0]:
        return True
    # An apostrophe keeps spreadsheets from taking a text for a formula.
    own = _text(own).strip()
    return there.strip() in (own, f"'{own}")


def _end(path: str) -> tuple[str, ...]:
    return PurePath(_text(path)).parts[-2:]


def _text(value: str) -> str:
    """As it is written: bytes of a name that are no text are escaped."""
    return value.encode(errors="backslashreplace").decode()


def _written(texts, order):
    """Columns of text in an order; bytes of a name that are no text are escaped."""
    return {
        name: [rows[i].encode(errors="backslashreplace").decode() for i in order]
        for name, rows in (texts or {}).items()
    }


def _write_npy(path, array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    _write(path, buffer.getvalue())


def _write_csv(path, columns):
    import pandas as pd

    _write(path, csv_bytes(pd.DataFrame(columns)))


def _write(path, data):
    try:
        write_file(path, data)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error
