"""Files that say of examples what is not so are refused."""

import csv

import numpy as np
import pytest
from PIL import Image

from ddjax import data
from ddjax.errors import InputError

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


def written(path, source, kind):
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
        found = read(written(tmp_path / "a.csv", each, kind), each, kind)
        assert len(found) == len(each.train) // (1 if kind == "scores" else 2)


def exchange(column):
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
    path = written(tmp_path / "a.csv", source, kind)
    change(path, exchange(column))
    change(path, keep(column))
    wrong = data.texts(source)[column][2 if kind == "subset" else 1].strip()
    with pytest.raises(InputError) as error:
        read(path, source, kind)
    assert f"says the {column} '{wrong}" in str(error.value).replace("' ", "'")
    assert f"wrong of 2 of {12 if kind == 'scores' else 6} ids" in str(error.value)
    if column == "digest":
        assert "under other ids: it is in another order" in str(error.value)


def test_ids_of_another_order_are_refused(tmp_path, source):
    """As a file of TFDS's order is, read where the order is the original one."""
    path = written(tmp_path / "a.csv", source, "scores")
    order = np.random.default_rng(0).permutation(12)

    def permute(rows):
        for row, index in zip(rows, order, strict=True):
            row["id"] = index

    change(path, permute)
    with pytest.raises(InputError, match="says the class .* in another order"):
        read(path, source, "scores")
    change(path, keep("digest"))
    with pytest.raises(InputError, match="the images are there under other ids"):
        read(path, source, "scores")
    change(path, keep())  # which says nothing any more
    assert len(read(path, source, "scores")) == 12


def test_a_folder_may_move_and_its_files_may_not(tmp_path, folder):
    path = written(tmp_path / "a.csv", folder, "scores")
    change(path, keep("path"))

    def move(rows):
        for row in rows:
            row["path"] = row["path"].replace(str(tmp_path), "/elsewhere")

    change(path, move)
    assert len(read(path, folder, "scores")) == 6
    change(path, exchange("path"))
    with pytest.raises(InputError, match="says the path '/elsewhere/.*2.png' of id 0"):
        read(path, folder, "scores")


def test_images_of_another_size_or_of_a_stream_may_have_the_same_scores(
    tmp_path, folder
):
    path = written(tmp_path / "a.csv", folder, "scores")
    for stream in (False, True):
        other = data.load(folder.name, image_size=2, stream=stream)
        assert len(read(path, other, "scores")) == 6


def test_other_images_under_the_same_names_are_refused(tmp_path, source):
    path = written(tmp_path / "a.csv", source, "scores")
    train, test = ((255 - s.images, s.labels) for s in (source.train, source.test))
    other = data.from_arrays("mine", CLASSES, train, test)
    with pytest.raises(InputError, match="says the digest .* 12 of 12 .* another so"):
        read(path, other, "scores")


def test_columns_of_text_are_no_scores(tmp_path, source):
    path = written(tmp_path / "a.csv", source, "scores")
    found = data.read_scores(path, IDS, 12)
    np.testing.assert_array_equal(found, np.sqrt(IDS))
