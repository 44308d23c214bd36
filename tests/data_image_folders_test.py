"""Class folders as other projects write them, and those that do not fit."""

import numpy as np
import pytest
from PIL import Image

from ddjax.data.image_sets import read_image_set
from ddjax.data.images import resize
from ddjax.errors import InputError

CLASSES = tuple(f"n{index:08d}" for index in range(90, 102))  # 12, as "n00000090"
SHAPE = (6, 6, 3)
# Where the i-th image of a class lies: folder, file.
LAYOUTS = {
    "sre2l": ("new{c:03d}", "class{c:03d}_id{i:03d}.jpg"),  # also DWA, EDC
    "edc_cifar": ("new{c:03d}", "class{c:03d}_id{i:03d}.png"),
    "rded": ("{c:05d}", "class{c:05d}_id{i:05d}.jpg"),
    "d4m": ("{c}", "{c}-image{i}0.png"),  # "10" sorts before "2"
    "minimax": ("{name}", "{i}.png"),
}


def fill(root, layout="minimax", ipc=2, size=(6, 6), classes=CLASSES):
    """Plain images, all pixels 20 * class + image."""
    folder, file = LAYOUTS[layout]
    for c, name in enumerate(classes):
        path = root / folder.format(c=c, name=name)
        path.mkdir(parents=True)
        for i in range(ipc):
            image = np.full((*size, 3), 20 * c + i, np.uint8)
            Image.fromarray(image).save(path / file.format(c=c, i=i))
    return root


def read(root, shape=SHAPE, classes=CLASSES, **options):
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
    (tmp_path / CLASSES[3]).rename(tmp_path / "new003")
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
        tmp_path, r"index 'new011', allowed is 0\.\.10, .* 11 cl", classes=CLASSES[1:]
    )
    (tmp_path / "new011").rename(tmp_path / "3")
    refused(tmp_path, "found '3', 'new003', which mean the same class 'n00000093'")


def test_a_class_without_images_is_refused(tmp_path):
    fill(tmp_path)
    for path in (tmp_path / CLASSES[4]).iterdir():
        path.unlink()
    refused(tmp_path, "has no image of 1 of 12 classes: 'n00000094'")
    (tmp_path / CLASSES[4]).rmdir()
    refused(tmp_path, "has no image of 1 of 12 classes: 'n00000094'")
    for path in tmp_path.glob("*/*"):
        path.rename(path.with_suffix(".webp"))
    refused(tmp_path, "has no PNG or JPEG image in its class folders")


def test_unequal_numbers_of_images_are_kept_with_a_remark(tmp_path):
    fill(tmp_path, ipc=3)
    (tmp_path / CLASSES[4] / "1.png").unlink()
    found = read(tmp_path)
    np.testing.assert_array_equal(np.bincount(found.labels)[3:6], [3, 2, 3])
    assert "from 2 ('n00000094') to 3 images ('n00000090')" in found.notes[0]


def test_files_that_are_no_images_are_passed_over_with_a_remark(tmp_path):
    fill(tmp_path)
    (tmp_path / CLASSES[0] / "z.webp").write_bytes(b"image")
    (tmp_path / "README").write_text("about")
    (tmp_path / ".cache").mkdir()
    (tmp_path / CLASSES[0] / "._a.png").write_bytes(b"")
    found = read(tmp_path)
    assert len(found.images) == 24
    assert found.notes == ("passed over 2 that are no PNG or JPEG, as README",)


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_a_corrupt_image_is_named(tmp_path, content):
    file = fill(tmp_path) / CLASSES[7] / "1.png"
    noise = np.random.default_rng(0).integers(0, 256, (6, 6, 3), np.uint8)
    Image.fromarray(noise).save(file)
    file.write_bytes(file.read_bytes()[:80] if content is None else content)
    refused(tmp_path, f"{file}: not a readable image")


def test_another_size_is_refused_unless_it_is_accepted(tmp_path):
    fill(tmp_path, size=(12, 12))
    noise = np.random.default_rng(0).integers(0, 256, (8, 10, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / CLASSES[0] / "0.png")
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
        "24 of 24 images have colour and were made grey",
    )
    grey = Image.fromarray(np.full((6, 6), 9, np.uint8))
    grey.save(tmp_path / CLASSES[0] / "0.png")
    clear = Image.fromarray(np.full((6, 6, 4), 8, np.uint8))
    clear.save(tmp_path / CLASSES[0] / "1.png")
    found = read(tmp_path)
    assert (found.images[0] == 9).all() and (found.images[1] == 8).all()
    assert found.notes == (
        "1 of 24 images are grey and were given three channels",
        "the transparency of 1 of 24 images was dropped",
    )
    refused(tmp_path, "source's images have 4 channels, allowed is 1", shape=(6, 6, 4))
