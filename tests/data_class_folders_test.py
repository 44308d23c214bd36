"""Which files of a folder are images of which class, and what is left out."""

import os

import pytest

from ddjax.data import folder
from ddjax.errors import InputError


def fill(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root


def images(name, count):
    return [f"{name}/{i}.jpg" for i in range(count)]


def test_a_fifth_of_each_class_is_set_aside(tmp_path):
    root = fill(tmp_path, *images("cat", 20), *images("dog", 3), *images("emu", 2))
    found = folder.find(root)
    assert {name: len(files) for name, files in found.test.items()} == {
        "cat": 4,
        "dog": 1,
        "emu": 1,
    }
    for name, count in (("cat", 20), ("dog", 3), ("emu", 2)):
        both = found.train[name] + found.test[name]
        assert sorted(both) == sorted(images(name, count))
        assert found.train[name] == sorted(found.train[name])
    assert found.aside
    assert found.remarks == (
        f"{root} has no test split: 6 of 25 images, a fifth of each class chosen by a "
        "hash of their names, are set aside as one",
    )


def test_the_test_split_does_not_depend_on_place_or_other_classes(tmp_path):
    first = folder.find(fill(tmp_path / "a", *images("cat", 20)))
    more = folder.find(fill(tmp_path / "b", *images("cat", 20), *images("ant", 9)))
    assert first.test["cat"] == more.test["cat"] != images("cat", 20)[:4]


def test_a_new_file_moves_at_most_one_other(tmp_path):
    root = fill(tmp_path, *images("cat", 50))
    before = set(folder.find(root).test["cat"])
    fill(root, "cat/new.png")
    assert len(before - set(folder.find(root).test["cat"])) <= 1


def test_a_class_may_be_called_train(tmp_path):
    root = fill(tmp_path, *images("car", 5), *images("train", 5))
    assert list(folder.find(root).train) == ["car", "train"]


def test_splits_are_taken_where_they_are(tmp_path):
    root = fill(tmp_path, *images("train/cat", 5), *images("test/cat", 2))
    found = folder.find(root)
    assert found.train == {"cat": images("train/cat", 5)}
    assert found.test == {"cat": images("test/cat", 2)}
    assert not found.aside and found.remarks == ()


def test_what_is_left_out_is_counted_and_said(tmp_path):
    root = fill(tmp_path, *images("cat", 5), *images("dog", 5), "README.txt")
    fill(root, "cat/a.gif", "cat/b.TIF", "dog/notes.txt", "dog/old/1.png")
    fill(root, "dog/old/more/2.JPEG", ".hidden/1.png", "cat/.DS_Store")
    os.mkfifo(root / "cat" / "pipe.png")
    (remark,) = folder.find(root).remarks[1:]
    assert remark == (
        f"left out of {root}: files beside the class folders (1, as README.txt), "
        "images that are no PNG, JPEG, BMP or WebP (2, as cat/a.gif), what is no "
        "regular file (1, as cat/pipe.png), files that are no images (1, as "
        "dog/notes.txt), images in folders inside a class folder (2, as dog/old/1.png)"
    )


def test_a_validation_folder_beside_a_test_folder_is_said_to_be_left_out(tmp_path):
    root = fill(tmp_path, *(f"{s}/cat/1.png" for s in ("train", "test", "val")))
    (remark,) = folder.find(root).remarks
    assert remark.endswith("a folder beside train and test (1, as val)")


@pytest.mark.parametrize(
    "names, message",
    [
        ((), "no class folders; allowed are .*/CLASS/.*/train/CLASS/"),
        (("a.png", "b.png"), "no class folders"),
        (("cat/1.png", "dog/1.png", "dog/2.png"), "cat: class folder with a single"),
        (("cat/x/1.png", "dog/1.png"), "cat: .*without a PNG, .* deeper, as .*x/1.png"),
        (("train/cat/1.png",), "test: no such folder; .*folder:.*/train sets a part"),
        (("test/cat/1.png",), "train: no such folder"),
    ],
)
def test_what_is_refused(tmp_path, names, message):
    with pytest.raises(InputError, match=message):
        folder.find(fill(tmp_path, *names))
