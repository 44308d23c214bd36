"""Scores, subsets and features in files, and what a .csv says of each id."""

import csv
import pathlib
import pickle

import numpy as np
import pytest
from PIL import Image

from ddjax import data
from ddjax.data import exchange
from ddjax.errors import InputError

POOL = np.array([1, 2, 4, 7], np.int32)  # of 9 examples; the others are for validation
COUNT = 9


def draw(seed, count=40, size=25, dtype=np.float32):
    """(ids of a pool, a score of theirs) with ties, infinities and extreme values."""
    rng = np.random.default_rng(seed)
    ids = rng.permutation(count)[:size].astype(np.int32)
    values = rng.normal(size=size)
    limits = np.finfo(dtype)
    values[:6] = [np.inf, -np.inf, 0.1, 0.1, -0.0, 1 / 3]
    values[6:8] = [limits.max, limits.smallest_subnormal]
    return ids, values.astype(dtype)


def saved(path, array):
    np.save(path, array)
    return path


def written(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def slow_scores(path, ids, column):
    """What a .csv says of each id, by a plain dictionary."""
    with open(path, newline="") as file:
        score_of = {int(r["id"]): float(r[column]) for r in csv.DictReader(file)}
    return [score_of[i] for i in ids]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64])
@pytest.mark.parametrize("suffix", [".csv", ".npy"])
def test_scores_come_back_exactly(tmp_path, suffix, dtype):
    for seed in range(3):
        ids, values = draw(seed, dtype=np.float32 if dtype == np.int64 else dtype)
        if dtype == np.int64:
            values = np.arange(len(ids)) // 3
        path = tmp_path / f"scores{suffix}"
        exchange.write_scores(path, ids, {"el2n": values}, 40)
        found = exchange.read_scores(path, ids, 40)
        assert found.dtype == np.float64
        np.testing.assert_array_equal(found, values.astype(np.float64))
        np.testing.assert_array_equal(np.signbit(found), np.signbit(values))
        # A smaller pool in another order reads its own.
        part = np.random.default_rng(seed).permutation(len(ids))[:10]
        found = exchange.read_scores(path, ids[part], 40)
        np.testing.assert_array_equal(found, values[part].astype(np.float64))
        assert list(tmp_path.iterdir()) == [path]


def test_written_csv_is_the_promised_text(tmp_path):
    path = tmp_path / "scores.csv"
    columns = {"el2n": np.float32([0.5, np.inf]), "forgetting": np.array([3, 0])}
    exchange.write_scores(path, [7, 2], columns, COUNT)
    assert path.read_text() == "id,el2n,forgetting\n7,0.5,3.0\n2,inf,0.0\n"
    exchange.write_subset(tmp_path / "subset.csv", [7, 2])
    assert (tmp_path / "subset.csv").read_text() == "id\n2\n7\n"


def test_written_npy_is_by_id_with_nan_where_nothing_is_known(tmp_path):
    path = tmp_path / "scores.npy"
    exchange.write_scores(path, [3, 0], {"aum": [0.5, -2.0]}, 5)
    np.testing.assert_array_equal(np.load(path), [-2.0, np.nan, np.nan, 0.5, np.nan])
    exchange.write_subset(tmp_path / "subset.npy", [7, 2])
    subset = np.load(tmp_path / "subset.npy")
    assert subset.dtype == np.int32 and subset.tolist() == [2, 7]


@pytest.mark.parametrize("seed", range(3))
def test_columns_of_a_csv_equal_a_plain_dictionary(tmp_path, seed):
    ids, values = draw(seed)
    path = tmp_path / "scores.csv"
    columns = {"a": values, "b, c": values[::-1], 'd"': -values}
    exchange.write_scores(path, ids, columns, 40)
    for column in columns:
        found = exchange.read_scores(path, ids, 40, column)
        np.testing.assert_array_equal(found, slow_scores(path, ids, column))


@pytest.mark.parametrize(
    "text",
    [
        "id,el2n\n1,0.5\n2,-1e-3\n4,inf\n7,3\n",
        "id,el2n\n7,3\n4,inf\n2,-1e-3\n1,0.5",
        "id,el2n\r\n1,0.5\r\n2,-1e-3\r\n4,inf\r\n7,3\r\n",
        "id, el2n\n1, 0.5\n2, -1e-3\n4, inf\n7, 3\n",
        "\ufeff id , el2n \n1,0.5\n2,-1e-3\n\n4,Infinity\n7,3\n\n",
        '"id","el2n"\n"1","0.5"\n"2","-1e-3"\n"4","inf"\n"7","3"\n',
        "el2n,id\n0.5,1\n-0.001,2\n+inf,4\n3.0,7\n",
        "id,el2n\n0,nan\n1,0.5\n2,-1e-3\n3,9\n4,inf\n5,\n7,3\n8,9\n",
    ],
)
def test_csv_written_by_hand_is_read(tmp_path, text):
    path = written(tmp_path / "scores.csv", text)
    found = exchange.read_scores(path, POOL, COUNT)
    np.testing.assert_array_equal(found, [0.5, -1e-3, np.inf, 3])
    found = exchange.read_scores(path, POOL[::-1], COUNT, "el2n")
    np.testing.assert_array_equal(found, [3, np.inf, -1e-3, 0.5])


def test_column_of_a_csv_with_others_is_read(tmp_path):
    text = "file,id,el2n,aum\na b.png,1,0.5,1\n,2,1.5,x\nc.png,4,2.5,\nd.png,7,3.5,0\n"
    path = written(tmp_path / "scores.csv", text)
    found = exchange.read_scores(str(path), POOL, COUNT, column="el2n")
    np.testing.assert_array_equal(found, [0.5, 1.5, 2.5, 3.5])
    np.testing.assert_array_equal(exchange.read_subset(path, POOL, COUNT), range(4))


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "f2", "u1", "i8"])
def test_npy_of_any_number_is_read_by_id(tmp_path, dtype):
    path = saved(tmp_path / "scores.npy", np.arange(9)[::-1].astype(dtype))
    found = exchange.read_scores(path, POOL, COUNT)
    assert type(found) is np.ndarray and found.dtype == np.float64
    np.testing.assert_array_equal(found, 8.0 - POOL)
    found[:] = 0  # a copy: the file stays as it is
    np.testing.assert_array_equal(np.load(path), 8 - np.arange(9))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "scores.csv: cannot be read as rows .* No columns"),
        ("id,el2n\n", "scores.csv: cannot be read as rows .* No columns"),
        (b"\xff\xfei\x00d\x00", "scores.csv: cannot be read .* codec can't decode"),
        ('id,el2n\n1,"2\n', "scores.csv: cannot be read .* inside string"),
        ("id,el2n\n1,2\n2,3,4\n", "scores.csv: cannot be read .* Expected 2 .* saw 3$"),
        ("id,el2n\n0,1,9\n1,2,9\n", "scores.csv: has rows of 3 fields, expected 2"),
        ("id,el2n\n0,1,\n1,2,\n", "scores.csv: has rows of 3 fields, expected 2"),
        ("0,1\n1,2\n", r"has columns \['0', '1'\], expected 'id' and one other"),
        ("id;el2n\n1;2\n", r"has columns \['id;el2n'\], expected 'id' and one"),
        ("id\n1\n", r"has columns \['id'\], expected 'id' and one other, or the name"),
        ("id,a,b\n1,2,3\n", r"\['id', 'a', 'b'\], expected .* the name of one"),
        ("id,a,a\n1,2,3\n", r"\['id', 'a', 'a'\], expected .* the name of one"),
        ("id,id,a\n1,2,3\n", r"\['id', 'id', 'a'\], expected 'id' and"),
        ("id,a\n1,2\n2.5,3\n", "column 'id' has 2.5, expected integers"),
        ("id,a\n1.0,2\n2.0,3\n", "column 'id' has 1.0, expected integers"),
        ("id,a\n1,2\n,3\n", "column 'id' has nan, expected integers"),
        ("id,a\n1,2\ncat,3\n", "column 'id' has 'cat', expected numbers"),
        ("id,a\n1,2\n2,low\n", "column 'a' has 'low', expected numbers"),
        ("id,a\n1,True\n2,False\n", "column 'a' has True, expected numbers"),
        ("id,a\n1,2\n-1,3\n", r"scores.csv: has id -1, expected 0\.\.8"),
        ("id,a\n1,2\n9,3\n", r"scores.csv: has id 9, expected 0\.\.8"),
        (f"id,a\n{2**64 - 1},3\n", f"scores.csv: has id {2**64 - 1}, expected"),
        ("id,a\n1,2\n2,3\n1,2\n", "scores.csv: has id 1 more than once"),
        ("id,a\n1,2\n2,3\n7,0", "1 of 4 examples have no number .* first has id 4;"),
        ("id,a\n1,0\n2\n4,\n7,NaN", "3 of 4 examples have no number .* has id 2;"),
    ],
)
def test_damaged_or_foreign_csv_is_refused(tmp_path, text, message):
    path = written(tmp_path / "scores.csv", text)
    with pytest.raises(InputError, match=message) as error:
        exchange.read_scores(path, POOL, COUNT)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_column_that_is_not_there_once_is_refused(tmp_path):
    path = written(tmp_path / "scores.csv", "id,a\n1,2\n")
    message = r"has columns \['id', 'a'\], expected 'id' and 'el2n'"
    with pytest.raises(InputError, match=message):
        exchange.read_scores(path, POOL, COUNT, "el2n")
    path = written(path, "id,a,a\n1,2,3\n")
    with pytest.raises(InputError, match=r"\['id', 'a', 'a'\], expected 'id' and 'a'"):
        exchange.read_scores(path, POOL, COUNT, "a")
    path = saved(tmp_path / "scores.npy", np.zeros(9))
    with pytest.raises(InputError, match="column 'el2n' was named, but a .npy"):
        exchange.read_scores(path, POOL, COUNT, "el2n")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(8), r"shape \(8,\) of float64, expected \(9,\) numbers: one for"),
        (np.zeros(0), r"shape \(0,\) of float64, expected \(9,\)"),
        (np.zeros((9, 1)), r"shape \(9, 1\) of float64, expected \(9,\)"),
        (np.float64(3), r"shape \(\) of float64, expected \(9,\)"),
        (np.zeros(9, bool), r"shape \(9,\) of bool, expected \(9,\) numbers"),
        (np.zeros(9, complex), r"shape \(9,\) of complex128, expected"),
        (np.zeros(9, "U3"), r"shape \(9,\) of <U3, expected"),
        (np.arange(9) / np.array([1] * 4 + [np.nan] * 5), "2 of 4 .* first has id 4;"),
    ],
)
def test_npy_that_is_not_a_score_of_the_source_is_refused(tmp_path, array, message):
    path = saved(tmp_path / "scores.npy", array)
    with pytest.raises(InputError, match=f"{path}: .*{message}"):
        exchange.read_scores(path, POOL, COUNT)


READERS = [exchange.read_scores, exchange.read_subset, exchange.read_features]


@pytest.mark.parametrize("read", READERS)
def test_file_that_is_no_npy_is_refused(tmp_path, read):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("the pickle was run",))

    path = tmp_path / "a.npy"
    np.save(path, np.arange(9.0))
    whole = path.read_bytes()
    np.savez(tmp_path / "a.npz", x=np.arange(9.0))
    archive = (tmp_path / "a.npz").read_bytes()
    broken = whole.replace(b"'descr'", b"'descr\x00")
    damaged = [b"", whole[:5], whole[:90], whole[:-1], broken, archive]
    for content in [*damaged, pickle.dumps(Trap())]:
        path.write_bytes(content)
        with pytest.raises(InputError, match=f"{path}: is not a readable .npy"):
            read(path, POOL, COUNT)
    np.save(path, np.array([Trap()] * 9, object))
    with pytest.raises(InputError, match="is not a readable .npy .* objects"):
        read(path, POOL, COUNT)


@pytest.mark.parametrize("read", READERS)
def test_missing_file_or_other_suffix_is_refused(tmp_path, read):
    with pytest.raises(InputError, match="a.npy: cannot be read: No such file"):
        read(tmp_path / "a.npy", POOL, COUNT)
    tmp_path.joinpath("b.npy").mkdir()
    with pytest.raises(InputError, match="b.npy: is a folder, allowed is"):
        read(tmp_path / "b.npy", POOL, COUNT)
    with pytest.raises(InputError, match=r"a.pt: has the suffix '.pt', expected .*npy"):
        read(tmp_path / "a.pt", POOL, COUNT)
    if read is exchange.read_features:
        with pytest.raises(InputError, match=r"suffix '.csv', expected .npy$"):
            read(tmp_path / "a.csv", POOL, COUNT)
    else:
        with pytest.raises(InputError, match="a.csv: cannot be read: No such file"):
            read(tmp_path / "a.csv", POOL, COUNT)


@pytest.mark.parametrize("read", READERS)
def test_pool_that_does_not_fit_the_source_is_refused(tmp_path, read):
    path = saved(tmp_path / "a.npy", np.zeros(9))
    for ids, message in (
        ([1, 9], r"ids: has id 9, expected 0\.\.8"),
        ([2, 2], "ids: has id 2 more than once"),
        ([], "ids: has shape"),
        (np.zeros(0, int), "ids: has no ids"),
        ([0.5], "ids: has shape .* of float64, expected .* integers"),
    ):
        with pytest.raises(InputError, match=message):
            read(path, ids, COUNT)


@pytest.mark.parametrize("suffix", [".csv", ".npy"])
@pytest.mark.parametrize("seed", range(3))
def test_subset_comes_back_as_positions_in_the_pool(tmp_path, suffix, seed):
    rng = np.random.default_rng(seed)
    pool = rng.permutation(40)[:25]
    subset = rng.permutation(pool)[:11]
    path = tmp_path / f"subset{suffix}"
    exchange.write_subset(path, subset)
    found = exchange.read_subset(path, pool, 40)
    assert found.dtype == np.int32
    assert found.tolist() == sorted(pool.tolist().index(i) for i in subset)
    assert list(tmp_path.iterdir()) == [path]


def test_subset_in_any_of_its_forms_is_the_same(tmp_path):
    mask = np.zeros(COUNT, bool)
    mask[[7, 2]] = True
    paths = [
        saved(tmp_path / "mask.npy", mask),
        saved(tmp_path / "ids.npy", np.array([7, 2], np.uint16)),
        written(tmp_path / "lines.csv", "id\n7\n2"),
        written(tmp_path / "spaces.csv", " id\r\n 7\r\n 2\r\n\r\n"),
        written(tmp_path / "more.csv", "score, id, file\n0.5, 7, a b.png\n, 2,\n"),
    ]
    for path in paths:
        np.testing.assert_array_equal(exchange.read_subset(path, POOL, COUNT), [1, 3])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones(8, bool), r"is a mask of shape \(8,\), expected \(9,\): one entry"),
        (np.ones((9, 1), bool), r"is a mask of shape \(9, 1\), expected \(9,\)"),
        (np.zeros(9, bool), "has no ids, expected at least one"),
        (np.zeros(0, int), "has no ids, expected at least one"),
        (np.array([1.0, 2.0]), r"shape \(2,\) of float64, expected \[n\] integers"),
        (np.array([[1, 2]]), r"shape \(1, 2\) of int64, expected \[n\] integers"),
        (np.array([1, 9]), r"has id 9, expected 0\.\.8"),
        (np.array([1, -1]), r"has id -1, expected 0\.\.8"),
        (np.array([4, 1, 4]), "has id 4 more than once"),
        (np.array([1, 8, 0, 2]), "2 of 4 ids are not among the run's 4 .* first is 8"),
        (
            np.arange(9) > 4,
            "3 of 4 ids are not .* first is 5: .*data.validation, data.pool",
        ),
        (np.arange(9)[::-1], "has all 9 examples .* if it is an order by score"),
    ],
)
def test_subset_that_does_not_fit_is_refused(tmp_path, array, message):
    path = saved(tmp_path / "subset.npy", array)
    with pytest.raises(InputError, match=f"{path}: .*{message}"):
        exchange.read_subset(path, POOL, COUNT)


def test_subset_csv_that_does_not_fit_is_refused(tmp_path):
    path = tmp_path / "subset.csv"
    for text, message in (
        ("1\n2\n", r"has columns \['1'\], expected 'id'"),
        ("id\n1\n0\n", "1 of 2 ids are not among .* the first is 0"),
        ("id\n1\ncat\n", "column 'id' has 'cat'"),
        ("id\n1\n1\n", "has id 1 more than once"),
    ):
        written(path, text)
        with pytest.raises(InputError, match=f"{path}: .*{message}"):
            exchange.read_subset(path, POOL, COUNT)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.uint8])
def test_features_are_the_pools_rows(tmp_path, monkeypatch, dtype, order):
    monkeypatch.setattr(exchange, "_BLOCK", 3)
    features = np.random.default_rng(0).uniform(0, 9, (40, 5)).astype(dtype)
    path = saved(tmp_path / "features.npy", np.asarray(features, order=order))
    ids, _ = draw(0)
    found = exchange.read_features(path, ids, 40)
    assert type(found) is np.ndarray and found.dtype == np.float32
    np.testing.assert_array_equal(found, features[ids].astype(np.float32))


def test_only_the_pools_features_must_be_finite(tmp_path, monkeypatch):
    monkeypatch.setattr(exchange, "_BLOCK", 2)
    for value in (np.nan, np.inf, 1e300):
        features = np.ones((9, 3))
        features[[0, 3, 8], 1] = value
        path = saved(tmp_path / "features.npy", features)
        found = exchange.read_features(path, POOL, COUNT)
        np.testing.assert_array_equal(found, np.ones((4, 3)))
        features[7, 2] = value
        with pytest.raises(InputError, match=f"{path}: .* id 7 are not all finite"):
            exchange.read_features(saved(path, features), POOL, COUNT)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((8, 3)), "features of 8 examples, but .* has 9: .* another source"),
        (np.zeros(9), r"has shape \(9,\) of float64, expected \[9, D\] numbers"),
        (np.zeros((9, 0)), r"has shape \(9, 0\) of float64, expected \[9, D\]"),
        (np.zeros((9, 3), bool), r"has shape \(9, 3\) of bool, expected \[9, D\]"),
    ],
)
def test_features_of_another_form_are_refused(tmp_path, array, message):
    path = saved(tmp_path / "features.npy", array)
    with pytest.raises(InputError, match=f"{path}: .*{message}"):
        exchange.read_features(path, POOL, COUNT)


@pytest.mark.parametrize(
    ("name", "ids", "columns", "message"),
    [
        ("a.txt", [1], {"x": [1.0]}, "a.txt: has the suffix '.txt', expected .csv or"),
        (
            "a.npy",
            [1],
            {"x": [1.0], "y": [1.0]},
            r"\['x', 'y'\] were given, .* one, or",
        ),
        ("a.csv", [1], {}, r"scores \[\] were given, expected one, or"),
        ("a.csv", [1], {"id": [1.0]}, r"\['id'\] were given, .* called 'id'$"),
        ("a.csv", [9], {"x": [1.0]}, r"ids: has id 9, expected 0\.\.8"),
        ("a.csv", [1, 1], {"x": [1.0, 2.0]}, "ids: has id 1 more than once"),
        ("a.csv", [1], {"x": [1.0, 2.0]}, r"score 'x': shape \(2,\) .* \(1,\) numbers"),
        ("a.csv", [1], {"x": ["1"]}, "score 'x': shape .* of <U1, expected"),
        ("a.csv", [1, 3], {"x": [0, np.nan]}, "score 'x': 1 of 2 .* first has id 3;"),
        ("no/a.csv", [1], {"x": [1.0]}, "a.csv: cannot be written .No such file"),
    ],
)
def test_nothing_is_written_of_scores_that_are_refused(
    tmp_path, name, ids, columns, message
):
    with pytest.raises(InputError, match=message):
        exchange.write_scores(tmp_path / name, ids, columns, COUNT)
    assert not list(tmp_path.iterdir())


def test_subset_that_is_no_subset_is_not_written(tmp_path):
    for ids, message in (
        ([-1], "ids: has id -1"),
        ([3, 3], "ids: has id 3 more than once"),
        ([True], "ids: has shape .* of bool, expected .n. integers"),
        ([], "ids: has shape .* of float64, expected .n. integers"),
    ):
        with pytest.raises(InputError, match=message):
            exchange.write_subset(tmp_path / "subset.npy", ids)
    with pytest.raises(InputError, match="has the suffix '.json'"):
        exchange.write_subset(tmp_path / "subset.json", [1])
    assert not list(tmp_path.iterdir())


def test_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    exchange.write_subset(pathlib.Path("~/subset.csv"), [1])
    assert exchange.read_subset("~/subset.csv", POOL, COUNT).tolist() == [0]


def test_texts_stand_beside_ids_and_are_passed_over_in_reading(tmp_path):
    texts = {"class": ["dog", "cat, big"], "path": ["/b/\udcff.jpg", "/a/1.jpg"]}
    exchange.write_subset(tmp_path / "subset.csv", [7, 2], texts)
    lines = (tmp_path / "subset.csv").read_text().splitlines()
    assert lines == [
        "id,class,path",
        '2,"cat, big",/a/1.jpg',
        "7,dog,/b/\\udcff.jpg",
    ]
    found = exchange.read_subset(tmp_path / "subset.csv", [2, 4, 7], 9)
    assert found.tolist() == [0, 2]
    path = tmp_path / "scores.csv"
    exchange.write_scores(path, [7, 2], {"el2n": [0.5, 1.5]}, 9, texts)
    assert path.read_text().splitlines()[0] == "id,class,path,el2n"
    assert exchange.read_scores(path, [2, 7], 9).tolist() == [1.5, 0.5]


IDS = np.arange(12)
CLASSES = ("NA", "1", " cat")  # which pandas would take for something else


@pytest.fixture
def source(tmp_path):
    draw = np.random.default_rng(0)
    train, test = (
        (draw.integers(0, 256, (count, 4, 4), dtype=np.uint8), np.arange(count) % 3)
        for count in (12, 6)
    )
    return data.from_arrays("mine", CLASSES, train, test)


@pytest.fixture
def folder(tmp_path):
    for split in ("train", "test"):
        for index in range(6):
            path = tmp_path / "images" / split / "ab"[index % 2] / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            draw = np.random.default_rng([index, len(split)])
            Image.fromarray(draw.integers(0, 256, (4, 4)).astype(np.uint8)).save(path)
    return data.load(f"folder:{tmp_path / 'images'}")


def write_all(path, source, kind):
    """A file of all scores, or of a subset, with what is said of its ids."""
    count = len(source.train)
    ids = np.arange(count) if kind == "scores" else np.arange(0, count, 2)
    texts = data.texts(source, ids)
    if kind == "scores":
        data.write_scores(path, ids, {"el2n": np.sqrt(ids)}, count, texts)
    else:
        data.write_subset(path, ids, texts)
    return path


def read(path, source, kind):
    texts, count = data.texts(source), len(source.train)
    if kind == "scores":
        return data.read_scores(path, np.arange(count), count, texts=texts)
    return data.read_subset(path, np.arange(count), count, texts)


def change(path, edit):
    """Edits the rows of a .csv file, each a dictionary."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    edit(rows)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


KINDS = ("scores", "subset")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_read(tmp_path, source, folder, kind):
    for each in (source, folder):
        found = read(write_all(tmp_path / "a.csv", each, kind), each, kind)
        assert len(found) == len(each.train) // (1 if kind == "scores" else 2)


def exchanged(column):
    def edit(rows):
        rows[0][column], rows[1][column] = rows[1][column], rows[0][column]

    return edit


def keep(*names):
    def edit(rows):
        for row in rows:
            for name in set(row) - {"id", "el2n", *names}:
                del row[name]

    return edit


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("column", ["class", "label", "digest"])
def test_another_order_is_refused(tmp_path, source, kind, column):
    path = write_all(tmp_path / "a.csv", source, kind)
    change(path, exchanged(column))
    change(path, keep(column))
    wrong = data.texts(source)[column][2 if kind == "subset" else 1].strip()
    with pytest.raises(InputError) as error:
        read(path, source, kind)
    assert f"has the {column} '{wrong}" in str(error.value).replace("' ", "'")
    assert f"wrong for 2 of {12 if kind == 'scores' else 6} ids" in str(error.value)
    if column == "digest":
        assert "under other ids: it is in another order" in str(error.value)


def test_ids_of_another_order_are_refused(tmp_path, source):
    """As a file of TFDS's order is, read where the order is the original one."""
    path = write_all(tmp_path / "a.csv", source, "scores")
    order = np.random.default_rng(0).permutation(12)

    def permute(rows):
        for row, index in zip(rows, order, strict=True):
            row["id"] = index

    change(path, permute)
    with pytest.raises(InputError, match="has the class .* in another order"):
        read(path, source, "scores")
    change(path, keep("digest"))
    with pytest.raises(InputError, match="the images are there under other ids"):
        read(path, source, "scores")
    change(path, keep())  # which says nothing any more
    assert len(read(path, source, "scores")) == 12


def test_a_folder_may_move_and_its_files_may_not(tmp_path, folder):
    path = write_all(tmp_path / "a.csv", folder, "scores")
    change(path, keep("path"))

    def move(rows):
        for row in rows:
            row["path"] = row["path"].replace(str(tmp_path), "/elsewhere")

    change(path, move)
    assert len(read(path, folder, "scores")) == 6
    change(path, exchanged("path"))
    with pytest.raises(InputError, match="has the path '/elsewhere/.*2.png' for id 0"):
        read(path, folder, "scores")


def test_images_of_another_size_or_of_a_stream_may_have_the_same_scores(
    tmp_path, folder
):
    path = write_all(tmp_path / "a.csv", folder, "scores")
    for stream in (False, True):
        other = data.load(folder.name, image_size=2, stream=stream)
        assert len(read(path, other, "scores")) == 6


def test_other_images_under_the_same_names_are_refused(tmp_path, source):
    path = write_all(tmp_path / "a.csv", source, "scores")
    train, test = ((255 - s.images, s.labels) for s in (source.train, source.test))
    other = data.from_arrays("mine", CLASSES, train, test)
    with pytest.raises(InputError, match="has the digest .* 12 of 12 .* another so"):
        read(path, other, "scores")


def test_columns_of_text_are_no_scores(tmp_path, source):
    path = write_all(tmp_path / "a.csv", source, "scores")
    found = data.read_scores(path, IDS, 12)
    np.testing.assert_array_equal(found, np.sqrt(IDS))
