"""Image sets as files: written and read, in folders and in ArrayRecord."""

import numpy as np
import pytest
from PIL import Image

from ddjax.data import images as image_files
from ddjax.data.image_sets import read_image_set, write_image_set
from ddjax.data.image_sets.files import write_records
from ddjax.data.images import resize
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
        ({"format": "npz"}, "npz takes one that ends in '.npz', dc in '.pt', others"),
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


WNIDS = tuple(f"n{index:08d}" for index in range(90, 102))  # 12, as "n00000090"
SHAPE = (6, 6, 3)
# Where the i-th image of a class lies: folder, file.
LAYOUTS = {
    "sre2l": ("new{c:03d}", "class{c:03d}_id{i:03d}.jpg"),  # also DWA, EDC
    "edc_cifar": ("new{c:03d}", "class{c:03d}_id{i:03d}.png"),
    "rded": ("{c:05d}", "class{c:05d}_id{i:05d}.jpg"),
    "d4m": ("{c}", "{c}-image{i}0.png"),  # "10" sorts before "2"
    "minimax": ("{name}", "{i}.png"),
}


def fill(root, layout="minimax", ipc=2, size=(6, 6), classes=WNIDS):
    """Plain images, all pixels 20 * class + image."""
    folder, file = LAYOUTS[layout]
    for c, name in enumerate(classes):
        path = root / folder.format(c=c, name=name)
        path.mkdir(parents=True)
        for i in range(ipc):
            image = np.full((*size, 3), 20 * c + i, np.uint8)
            Image.fromarray(image).save(path / file.format(c=c, i=i))
    return root


def read(root, shape=SHAPE, classes=WNIDS, **options):
    return read_image_set(root, classes, shape, None, None, **options)


def refused(root, message, **options):
    with pytest.raises(InputError, match=message):
        read(root, **options)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_folders_of_peers_are_read_in_the_order_of_the_classes(tmp_path, layout):
    found = read(fill(tmp_path, layout))
    expected = [20 * c + i for c in range(12) for i in range(2)]
    for pixels, value in zip(found.images, expected, strict=True):
        assert (pixels == value).all()
    np.testing.assert_array_equal(found.labels, np.repeat(np.arange(12), 2))
    assert found.soft_labels is None
    if layout == "minimax":
        assert found.notes == ()
    else:
        (note,) = found.notes
        assert "named by index, taken as the order of the source's classes" in note
        assert "as 'n00000090'" in note


def test_classes_that_are_called_by_numbers_are_names_first(tmp_path):
    classes = ("2", "1", "0")
    for name in classes:
        (tmp_path / name).mkdir()
        image = np.full(SHAPE, int(name), np.uint8)
        Image.fromarray(image).save(tmp_path / name / "a.png")
    found = read(tmp_path, classes=classes)
    np.testing.assert_array_equal(found.images[:, 0, 0, 0], [2, 1, 0])
    assert found.notes == ()


def test_wrong_names_are_refused(tmp_path):
    fill(tmp_path)
    (tmp_path / WNIDS[3]).rename(tmp_path / "new003")
    refused(
        tmp_path, "found 'new003', which no class .* called.*not found: 'n00000093'"
    )
    (tmp_path / "new003").rename(tmp_path / "lizard")
    refused(tmp_path, "found 'lizard', which no class of the source is called; allowed")
    root = fill(tmp_path / "deeper")
    refused(root.parent, "found 'deeper', 'lizard', which")


def test_indices_beyond_the_classes_and_twice_the_same_are_refused(tmp_path):
    fill(tmp_path, "sre2l")
    refused(
        tmp_path,
        r"index 'new011', allowed is 0\.\.10, .* 11 cl",
        classes=WNIDS[1:],
    )
    (tmp_path / "new011").rename(tmp_path / "3")
    refused(tmp_path, "found '3', 'new003', which mean the same class 'n00000093'")


def test_a_class_without_images_is_refused(tmp_path):
    fill(tmp_path)
    for path in (tmp_path / WNIDS[4]).iterdir():
        path.unlink()
    refused(tmp_path, "has no image of 1 of 12 classes: 'n00000094'")
    (tmp_path / WNIDS[4]).rmdir()
    refused(tmp_path, "has no image of 1 of 12 classes: 'n00000094'")
    for path in tmp_path.glob("*/*"):
        path.rename(path.with_suffix(".webp"))
    refused(tmp_path, "has no PNG or JPEG image in its class folders")


def test_unequal_numbers_of_images_are_kept_with_a_remark(tmp_path):
    fill(tmp_path, ipc=3)
    (tmp_path / WNIDS[4] / "1.png").unlink()
    found = read(tmp_path)
    np.testing.assert_array_equal(np.bincount(found.labels)[3:6], [3, 2, 3])
    assert "from 2 ('n00000094') to 3 images ('n00000090')" in found.notes[0]


def test_files_that_are_no_images_are_passed_over_with_a_remark(tmp_path):
    fill(tmp_path)
    (tmp_path / WNIDS[0] / "z.webp").write_bytes(b"image")
    (tmp_path / "README").write_text("about")
    (tmp_path / ".cache").mkdir()
    (tmp_path / WNIDS[0] / "._a.png").write_bytes(b"")
    found = read(tmp_path)
    assert len(found.images) == 24
    assert found.notes == ("passed over 2 that are no PNG or JPEG, as README",)


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_a_corrupt_image_is_named(tmp_path, content):
    file = fill(tmp_path) / WNIDS[7] / "1.png"
    noise = np.random.default_rng(0).integers(0, 256, (6, 6, 3), np.uint8)
    Image.fromarray(noise).save(file)
    file.write_bytes(file.read_bytes()[:80] if content is None else content)
    refused(tmp_path, f"{file}: not a readable image")


def test_another_size_is_refused_unless_it_is_accepted(tmp_path):
    fill(tmp_path, size=(12, 12))
    noise = np.random.default_rng(0).integers(0, 256, (8, 10, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / WNIDS[0] / "0.png")
    sizes = "1 of 8 x 10, 23 of 12 x 12"
    refused(tmp_path, f"another size: {sizes}, expected 6 x 6 .*; resize=True brings")
    found = read(tmp_path, resize=True)
    assert found.images.shape == (24, *SHAPE)
    np.testing.assert_array_equal(found.images[0], resize(noise[None], 6)[0])
    assert (found.images[1:] == found.images[1:, :1, :1]).all()
    assert found.notes == (
        f"images of another size ({sizes}) were brought to 6 x 6 (height x width)",
    )
    refused(tmp_path, "only squares can be made", shape=(6, 8, 3), resize=True)


def test_colour_and_grey_are_brought_to_the_source_with_a_remark(tmp_path):
    fill(tmp_path)
    assert read(tmp_path, (6, 6, 1)).notes == (
        "24 of 24 images have colour and were turned grey",
    )
    grey = Image.fromarray(np.full((6, 6), 9, np.uint8))
    grey.save(tmp_path / WNIDS[0] / "0.png")
    clear = Image.fromarray(np.full((6, 6, 4), 8, np.uint8))
    clear.save(tmp_path / WNIDS[0] / "1.png")
    found = read(tmp_path)
    assert (found.images[0] == 9).all() and (found.images[1] == 8).all()
    assert found.notes == (
        "1 of 24 images are grey and were given three channels",
        "the transparency of 1 of 24 images was dropped",
    )
    refused(tmp_path, "source's images have 4 channels, allowed is 1", shape=(6, 6, 4))
