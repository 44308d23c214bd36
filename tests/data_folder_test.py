"""Folders of images: what is found in them, and what is read."""

import os

import numpy as np
import pytest
from PIL import Image

from ddjax.data import folder
from ddjax.data.images import resize
from ddjax.errors import InputError

ORDER = ("Dog/a.png", "Dog/b.png", "cat/10.png", "cat/2.png")


def _image(seed, shape=(6, 6, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def _save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def _make(root, test="test", shape=(6, 6, 3)):
    """Two images of each of two classes in train, one each in test, all PNG."""
    images = {}
    for split, files in (
        ("train", ("cat/2.png", "cat/10.png", "Dog/a.png", "Dog/b.png")),
        (test, ("cat/x.png", "Dog/y.png")),
    ):
        for file in files:
            images[f"{split}/{file}"] = _image(len(images), shape)
            _save(root / split / file, images[f"{split}/{file}"])
    return images


def test_load_orders_classes_and_files_by_name(tmp_path):
    images = _make(tmp_path)
    loaded = folder.load(str(tmp_path))
    assert loaded.name == f"folder:{tmp_path}"
    assert loaded.classes == ("Dog", "cat")
    expected = [images[f"train/{file}"] for file in ORDER]
    np.testing.assert_array_equal(loaded.train.images, expected)
    np.testing.assert_array_equal(loaded.train.labels, [0, 0, 1, 1])
    np.testing.assert_array_equal(loaded.train.ids, [0, 1, 2, 3])
    np.testing.assert_array_equal(loaded.test.images[0], images["test/Dog/y.png"])
    np.testing.assert_array_equal(loaded.test.labels, [0, 1])


def test_load_takes_val_only_where_test_is_missing(tmp_path):
    _make(tmp_path / "a", test="val")
    assert len(folder.load(str(tmp_path / "a")).test) == 2
    _make(tmp_path / "b")
    _save(tmp_path / "b" / "val" / "cat" / "z.png", _image(9))
    assert len(folder.load(str(tmp_path / "b")).test) == 2


def test_load_reads_jpeg_of_either_suffix_and_passes_other_files_over(tmp_path):
    _make(tmp_path)
    for name in ("0.jpg", "1.JPEG"):
        _save(tmp_path / "train" / "Dog" / name, np.full((6, 6, 3), 90, np.uint8))
    for other in ("train/Dog/notes.txt", "train/.DS_Store", "train/Dog/._a.png"):
        (tmp_path / other).write_bytes(b"no image")
    (tmp_path / "train" / ".cache").mkdir()
    loaded = folder.load(str(tmp_path))
    np.testing.assert_array_equal(np.bincount(loaded.train.labels), [4, 2])
    np.testing.assert_array_equal(loaded.train.images[:2], 90)


def test_load_has_one_channel_only_if_every_image_is_grey(tmp_path):
    images = _make(tmp_path, shape=(6, 6))
    grey = folder.load(str(tmp_path))
    assert grey.shape == (6, 6, 1)
    np.testing.assert_array_equal(grey.test.images[0, ..., 0], images["test/Dog/y.png"])
    _save(tmp_path / "test" / "cat" / "z.png", _image(9))
    colour = folder.load(str(tmp_path))
    assert colour.shape == (6, 6, 3)
    np.testing.assert_array_equal(
        colour.train.images, np.repeat(grey.train.images, 3, axis=-1)
    )


def test_load_requires_image_size_for_mixed_sizes(tmp_path):
    _make(tmp_path)
    odd = _image(9, (5, 8, 3))
    _save(tmp_path / "test" / "cat" / "z.png", odd)
    path = tmp_path / "test" / "cat" / "z.png"
    with pytest.raises(InputError, match=f"{path}: shape .*; image_size=PIXELS"):
        folder.load(str(tmp_path))
    loaded = folder.load(str(tmp_path), image_size=4)
    assert loaded.shape == (4, 4, 3)
    np.testing.assert_array_equal(loaded.test.images[2], resize(odd[None], 4)[0])


def test_load_names_the_classes_that_differ(tmp_path):
    _make(tmp_path)
    _save(tmp_path / "train" / "emu" / "1.png", _image(1))
    _save(tmp_path / "test" / "fox" / "1.png", _image(1))
    with pytest.raises(InputError) as error:
        folder.load(str(tmp_path))
    assert "only in train: ['emu'], only in test: ['fox']" in str(error.value)


@pytest.mark.parametrize("content", [b"", b"not an image", "half"])
def test_load_names_the_damaged_file(tmp_path, content):
    _make(tmp_path)
    _save(tmp_path / "train" / "cat" / "3.jpg", _image(1, (64, 64, 3)))
    path = tmp_path / "train" / "cat" / "3.jpg"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] if content == "half" else content)
    with pytest.raises(InputError, match=f"{path}: not a readable image"):
        folder.load(str(tmp_path), image_size=6)


def test_load_names_the_missing_or_empty_folder(tmp_path):
    with pytest.raises(InputError, match=f"{tmp_path}: no class folders; allowed are"):
        folder.load(str(tmp_path))
    (tmp_path / "train").mkdir()
    with pytest.raises(InputError, match=f"{tmp_path / 'train'}: no class folders"):
        folder.load(str(tmp_path))
    _make(tmp_path, test="val")
    (tmp_path / "train" / "emu").mkdir()
    message = f"{tmp_path / 'train' / 'emu'}: class folder without a PNG, JPEG"
    with pytest.raises(InputError, match=message):
        folder.load(str(tmp_path))
    (tmp_path / "train" / "emu").rmdir()
    (tmp_path / "val").rename(tmp_path / "other")
    with pytest.raises(InputError, match=f"{tmp_path / 'test'}: no such folder"):
        folder.load(str(tmp_path))


def test_load_takes_class_folders_without_splits(tmp_path):
    images = {}
    for name in ("cat", "Dog"):
        for index in range(5):
            images[f"{name}/{index}.png"] = _image(len(images))
            _save(tmp_path / name / f"{index}.png", images[f"{name}/{index}.png"])
    loaded = folder.load(str(tmp_path))
    assert loaded.classes == ("Dog", "cat")
    np.testing.assert_array_equal(np.bincount(loaded.train.labels), [4, 4])
    np.testing.assert_array_equal(loaded.test.labels, [0, 1])
    assert len(set(loaded.paths)) == 8 and loaded.root == str(tmp_path)
    for image, path in zip(loaded.train.images, loaded.paths, strict=True):
        np.testing.assert_array_equal(image, images[path])
    rest = [images[path] for path in sorted(images) if path not in loaded.paths]
    np.testing.assert_array_equal(loaded.test.images, rest)
    assert "2 of 10 images" in loaded.remarks[0]


def test_every_training_image_has_its_path_streamed_or_not(tmp_path):
    images = _make(tmp_path)
    loaded = folder.load(str(tmp_path))
    streamed = folder.stream(str(tmp_path), None, 6)
    assert loaded.paths == streamed.paths == tuple(f"train/{f}" for f in ORDER)
    assert loaded.root == streamed.root == str(tmp_path)
    for id_, path in enumerate(loaded.paths):
        np.testing.assert_array_equal(loaded.train.images[id_], images[path])
        np.testing.assert_array_equal(streamed.train.images[id_], images[path])


def test_a_stream_without_splits_is_the_same_wherever_it_lies(tmp_path):
    for place in ("here", "there"):
        for index in range(10):
            _save(tmp_path / place / "cat" / f"{index}.png", _image(index))
            _save(tmp_path / place / "dog" / f"{index}.png", _image(50 + index))
    here, there = (folder.stream(str(tmp_path / p), None, 6) for p in ("here", "there"))
    assert here.paths == there.paths and here.digest == there.digest
    loaded = folder.load(str(tmp_path / "here"))
    np.testing.assert_array_equal(loaded.test.images, here.test.images[:])


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
