"""Image sets in files: what is written is what is read, or says why not."""

import numpy as np
import pytest

from ddjax.data import images as image_files
from ddjax.data.image_sets import read_image_set, write_image_set
from ddjax.data.image_sets.files import write_records
from ddjax.errors import InputError

CLASSES = ("cat", "Dog", "blue eel")
NOTHING = (None, None)  # mean and std
LABELS = np.array([0, 0, 1, 1, 2, 2])


def images_of(count=6, shape=(6, 6, 3), seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, *shape), dtype=np.uint8)


def target(folder, format):
    return folder / ("set.npz" if format == "npz" else "set")


@pytest.mark.parametrize("format", ["png", "npz", "array_record"])
@pytest.mark.parametrize("shape", [(6, 6, 3), (5, 7, 1)])
def test_what_was_written_is_read_pixel_by_pixel(tmp_path, format, shape):
    images, path = images_of(shape=shape), target(tmp_path, format)
    write_image_set(images, LABELS, CLASSES, path, format)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    found = read_image_set(path, CLASSES, shape, *NOTHING)
    assert found.images.dtype == np.uint8 and found.labels.dtype == np.int32
    np.testing.assert_array_equal(found.images, images)
    np.testing.assert_array_equal(found.labels, LABELS)
    assert (found.classes, found.soft_labels, found.notes) == (CLASSES, None, ())


@pytest.mark.parametrize("format", ["png", "npz", "array_record"])
def test_images_come_class_after_class_whatever_the_order(tmp_path, format):
    images, path = images_of(), target(tmp_path, format)
    write_image_set(images, [2, 0, 1, 0, 2, 1], CLASSES, path, format)
    # The file's classes are matched by name: the source has them in another order.
    found = read_image_set(path, ("Dog", "blue eel", "cat"), (6, 6, 3), *NOTHING)
    np.testing.assert_array_equal(found.images, images[[2, 5, 0, 4, 1, 3]])
    np.testing.assert_array_equal(found.labels, LABELS)


def test_jpeg_has_the_quality_of_published_sets(tmp_path):
    from PIL import Image

    images = images_of(shape=(32, 32, 3))
    write_image_set(images, LABELS, CLASSES, tmp_path / "set", "jpeg")
    with Image.open(tmp_path / "set" / "Dog" / "00001.jpg") as image:
        tables = image.quantization
    Image.fromarray(images[3]).save(tmp_path / "peer.jpg")  # as peers save
    with Image.open(tmp_path / "peer.jpg") as image:
        assert image.quantization == tables
        pixels = np.asarray(image)
    found = read_image_set(tmp_path / "set", CLASSES, (32, 32, 3), *NOTHING)
    np.testing.assert_array_equal(found.images[3], pixels)


def test_names_that_no_folder_can_have_become_indices(tmp_path):
    images, classes = images_of(), ("a/b", "1", "0")
    write_image_set(images, LABELS, classes, tmp_path / "set")
    assert sorted(p.name for p in (tmp_path / "set").iterdir()) == [
        "00000",
        "00001",
        "00002",
    ]
    found = read_image_set(tmp_path / "set", classes, (6, 6, 3), *NOTHING)
    np.testing.assert_array_equal(found.images, images)
    assert "'00000' as 'a/b', '00002' as '0'" in found.notes[0]


@pytest.mark.parametrize("format", ["png", "jpeg", "npz", "array_record"])
def test_nothing_is_written_over(tmp_path, format):
    path = target(tmp_path, format)
    path.write_text("precious")
    with pytest.raises(InputError, match="is there already"):
        write_image_set(images_of(), LABELS, CLASSES, path, format)
    assert path.read_text() == "precious"


@pytest.mark.parametrize("format", ["png", "array_record"])
def test_a_write_that_fails_leaves_nothing(tmp_path, format, monkeypatch):
    made, encode = [], image_files.encode

    def failing(image, file_format):
        made.append(image)
        if len(made) == 4:
            raise OSError(28, "No space left on device")
        return encode(image, file_format)

    monkeypatch.setattr(image_files, "encode", failing)
    with pytest.raises(InputError, match="cannot be written .No space left"):
        write_image_set(images_of(), LABELS, CLASSES, tmp_path / "set", format)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"images": images_of().astype(float)}, r"\[6, 6, 6, 3\] of float64, expected"),
        ({"images": images_of(shape=(4, 4, 2))}, "found 2 channels, png allows 1 or 3"),
        ({"labels": [0, 0, 1, 1, 2]}, r"shape \[5\] of int64, .*expected \[6\] integ"),
        ({"labels": [0, 0, 1, 1, 2, 3]}, "values 0, 1, 2 and 1 more, .* of 0..2 at"),
        ({"labels": [0, 0, 1, 1, 0, 0]}, "values 0, 1, expected .* of 0..2 at least"),
        ({"classes": ("a", "b", "a")}, "found .* expected different names"),
        ({"format": "tiff"}, "found 'tiff', allowed is one of png, jpeg, npz, array"),
        ({"format": "npz"}, "format npz, and no other, takes one that ends in '.npz'"),
        ({"name": "none/set"}, "there is no folder .*none to write it in"),
        (
            {"format": "array_record", "classes": ("a", "b ", "c")},
            "class name 'b ' cannot be kept in array_record",
        ),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, changes, message):
    given = {
        "images": images_of(),
        "labels": LABELS,
        "classes": CLASSES,
        "format": "png",
        "name": "set",
    } | changes
    path = tmp_path / given.pop("name")
    with pytest.raises(InputError, match=message):
        write_image_set(path=path, **given)
    assert not list(tmp_path.iterdir())


def test_what_is_no_image_set_is_refused(tmp_path):
    def refused(path, message, mean=None):
        with pytest.raises(InputError, match=message):
            read_image_set(path, CLASSES, (6, 6, 3), mean, mean)

    refused(tmp_path / "none", "none: there is no such file or folder")
    (tmp_path / "a.zip").write_bytes(b"")
    refused(tmp_path / "a.zip", "ends in '.zip', allowed is a folder or .npz, .pt")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "has no class folders; allowed is")
    refused(tmp_path, r"mean: found shape \[2\], expected 3 numbers", (0.5, 0.5))


def record(tmp_path, images=None, labels=LABELS, classes=CLASSES):
    images = images_of() if images is None else images
    (tmp_path / "set").mkdir()
    write_records(tmp_path / "set", images, labels, classes)
    return tmp_path / "set"


def test_records_that_do_not_fit_are_refused(tmp_path):
    path = record(tmp_path, labels=LABELS % 2)
    with pytest.raises(InputError, match="no image of 1 of 3 classes: 'blue eel'"):
        read_image_set(path, CLASSES, (6, 6, 3), *NOTHING)
    with pytest.raises(InputError, match="size: 6 of 6 x 6, expected 3 x 3"):
        read_image_set(path, CLASSES, (3, 3, 3), *NOTHING)
    with pytest.raises(InputError, match="class names: found 'Dog', 'blue eel', which"):
        read_image_set(path, ("cat", "dog", "eel"), (6, 6, 3), *NOTHING)


@pytest.mark.parametrize(
    "kind, cut",
    [
        ("image_set-train*", True),
        ("image_set-train*", False),
        ("features.json", True),
        ("features.json", False),
        ("dataset_info.json", True),
    ],
)
def test_damaged_records_are_refused(tmp_path, kind, cut):
    path = record(tmp_path)
    (file,) = path.glob(kind)
    if cut:
        file.write_bytes(file.read_bytes()[:40])
    else:
        file.unlink()
    with pytest.raises(InputError, match=f"{path}: "):
        read_image_set(path, CLASSES, (6, 6, 3), *NOTHING)
