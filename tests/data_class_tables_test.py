"""Layouts of published folders: TinyImageNet, ImageNet, and its variants."""

import numpy as np
import pytest
import scipy.io
from PIL import Image

from ddjax import data
from ddjax.errors import InputError

# In the order of the development kit's numbers, which is not the sorted one.
SYNSETS = ("n02119789", "n01440764", "n02100735")
CLASSES = tuple(sorted(SYNSETS))
COUNT = 6  # test images


def save(path, *seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng([*seed, *path.name.encode()])
    pixels = draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, "JPEG")


def train(root, inside=""):
    for label, name in enumerate(CLASSES):
        for index in range(4):
            save(root / "train" / name / inside / f"{name}_{index}.JPEG", label)


def flat(folder, count=COUNT, stem="ILSVRC2012_val_{:08}"):
    names = [f"{stem.format(index + 1)}.JPEG" for index in range(count)]
    for name in names:
        save(folder / name, 9)
    return names


TRUE = [CLASSES[index] for index in (2, 0, 1, 1, 0, 2)]


def check(root, names, stream=False):
    """The loaded source, whose test images must have their true classes."""
    loaded = data.load(f"folder:{root}", image_size=8, stream=stream)
    assert loaded.classes == CLASSES
    memory = data.load(f"folder:{root}", image_size=8)
    np.testing.assert_array_equal(loaded.test.images[:], memory.test.images)
    at = {}
    for name in names:
        (path,) = root.rglob(name)
        at[name] = np.asarray(Image.open(path))
    for image, label in zip(memory.test.images, memory.test.labels, strict=True):
        (name,) = [name for name in names if (at[name] == image).all()]
        assert CLASSES[label] == TRUE[names.index(name)]
    np.testing.assert_array_equal(loaded.test.labels, memory.test.labels)
    assert len(loaded.test) == COUNT and len(loaded.train) == 12
    return loaded


def tiny_imagenet(root):
    train(root, "images")
    for name in CLASSES:
        boxes = f"{name}_0.JPEG\t0\t0\t62\t62\n"
        (root / "train" / name / f"{name}_boxes.txt").write_text(boxes)
    names = flat(root / "val" / "images", stem="val_{}")
    flat(root / "test" / "images", stem="test_{}")
    rows = [
        f"{name}\t{kind}\t0\t32\t44\t62\n"
        for name, kind in zip(names, TRUE, strict=True)
    ]
    (root / "val" / "val_annotations.txt").write_text("".join(rows))
    (root / "wnids.txt").write_text("\n".join(SYNSETS))
    (root / "words.txt").write_text("n01440764\ttench, Tinca tinca\n")
    return names


@pytest.mark.parametrize("stream", [False, True])
def test_tiny_imagenet_is_read_as_published(tmp_path, stream):
    names = tiny_imagenet(tmp_path)
    loaded = check(tmp_path, names, stream)
    assert loaded.paths[0] == "train/n01440764/images/n01440764_0.JPEG"
    said = "\n".join(loaded.remarks)
    assert (
        "classes of 6 images from" in said and "val_annotations.txt (by name)" in said
    )
    assert "6 images in no class folders" in said and "not taken as the test" in said
    assert data.scan(str(tmp_path)).test == COUNT


def table(rows):
    return lambda names: "".join(f"{row}\n" for row in rows(names))


def pairs(pattern, head=()):
    """A table with a row a file, in another order than the files'."""

    def rows(names):
        both = sorted(zip(names, TRUE, strict=True), reverse=True)
        return [*head, *(pattern.format(name, name[:-5], kind) for name, kind in both)]

    return table(rows)


INDICES = [CLASSES.index(kind) for kind in TRUE]
TABLES = {
    "val/val_annotations.txt": pairs("{0}\t{2}\t0\t0\t9\t9"),
    "LOC_val_solution.csv": pairs(
        "{1},{2} 85 1 499 272 {2} 1 2 3 4", ["ImageId,PredictionString"]
    ),
    "val_labels.csv": pairs("{0},{2}", ["file,synset"]),
    "val.txt": pairs("val/{0} {2}"),
    "val/val_labels.txt": pairs("{0} {2}"),
    "imagenet_2012_validation_synset_labels.txt": table(lambda names: TRUE),
    "val/val.txt": table(
        lambda names: [
            f"{name} {index}" for name, index in zip(names, INDICES, strict=True)
        ]
    ),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", TABLES)
def test_flat_validation_images_get_their_classes(tmp_path, name, stream):
    train(tmp_path)
    names = flat(tmp_path / "val")
    (tmp_path / name).write_text(TABLES[name](names))
    loaded = check(tmp_path, names, stream)
    assert str(tmp_path / name) in loaded.remarks[0]


NUMBERS = "".join(f"{SYNSETS.index(kind) + 1}\n" for kind in TRUE)


def meta(path):
    """As in the kit: the synsets that are classes come first, then their ancestors."""
    fields = [("ILSVRC2012_ID", object), ("WNID", object), ("words", object)]
    rows = [(number, name, "x") for number, name in enumerate(SYNSETS, start=1)]
    synsets = np.array([*rows, (4, "n00001740", "entity")], fields)
    scipy.io.savemat(path, {"synsets": synsets.reshape(-1, 1)})


KITS = {
    "meta.mat": meta,
    "map_clsloc.txt": lambda path: path.write_text(
        "".join(f"{name} {k} kit_fox\n" for k, name in enumerate(SYNSETS, start=1))
    ),
    "synsets.txt": lambda path: path.write_text("\n".join(SYNSETS)),
}


@pytest.mark.parametrize("place", ["", "ILSVRC2012_devkit_t12/data"])
@pytest.mark.parametrize("name", KITS)
def test_numbers_of_the_development_kit_get_their_meaning(tmp_path, name, place):
    train(tmp_path)
    names = flat(tmp_path / "val")
    kit = tmp_path / place
    kit.mkdir(parents=True, exist_ok=True)
    (kit / "ILSVRC2012_validation_ground_truth.txt").write_text(NUMBERS)
    KITS[name](kit / name)
    check(tmp_path, names)


@pytest.mark.parametrize("below", ["", "ILSVRC/Data/CLS-LOC"])
def test_kaggles_imagenet_is_found_from_above_and_from_its_images(tmp_path, below):
    images = tmp_path / "ILSVRC/Data/CLS-LOC"
    train(images)
    names = flat(images / "val")
    flat(images / "test", stem="ILSVRC2012_test_{:08}")
    rows = TABLES["LOC_val_solution.csv"](names)
    (tmp_path / "LOC_val_solution.csv").write_text(rows)
    check(tmp_path / below, names)


MISFITS = {
    "another image": ("other.JPEG {}", "has 1 rows on images that are not there"),
    "no such class": (
        "{} n00000001",
        "ILSVRC2012_val_00000001.JPEG the class 'n00000001'",
    ),
    "no class": ("{}", "the row on 'ILSVRC2012_val_00000001.JPEG' has no class"),
    "two classes": (
        "{0} n01440764\n{0} n02119789",
        "the classes 'n01440764' and 'n02119789'",
    ),
    "missing": (
        "",
        "has no row on 1 of 6 images, the first is ILSVRC2012_val_0",
    ),
}


@pytest.mark.parametrize("kind", MISFITS)
def test_a_table_that_does_not_fit_is_refused(tmp_path, kind):
    row, message = MISFITS[kind]
    train(tmp_path)
    names = flat(tmp_path / "val")
    rows = [f"{name} {true}" for name, true in zip(names, TRUE, strict=True)]
    rows[0] = row.format(names[0])
    (tmp_path / "val.txt").write_text("\n".join(reversed(rows)))
    with pytest.raises(InputError, match=f"{tmp_path / 'val.txt'}: .*{message}"):
        data.load(f"folder:{tmp_path}", image_size=8)


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("val.txt", "", "val.txt: is empty"),
        ("val.txt", "\n".join(TRUE[:5]), "has 5 rows for 6 images"),
        ("val.txt", b"\xff\xfe\x00", "val.txt: is no text"),
        ("val.txt", "\n".join("012012"), "numbers taken as indices"),
        ("val.txt", "\n".join("123123"), "has the number 3, allowed are class names"),
        ("synsets.txt", "\n".join(CLASSES), "sorted by name, which is not the order"),
        ("meta.mat", b"MATLAB 5.0", "meta.mat: has no synsets with ILSVRC2012_ID"),
        ("map_clsloc.txt", "n01440764 2 tench", "expected a number of 2..2"),
        ("other.txt", "", "no file defines them; allowed is meta.mat"),
    ],
)
def test_tables_without_names_are_refused_where_they_mislead(
    tmp_path, name, content, message
):
    train(tmp_path)
    flat(tmp_path / "val")
    if name != "val.txt":
        truth = tmp_path / "ILSVRC2012_validation_ground_truth.txt"
        truth.write_text(NUMBERS)
    content = content if isinstance(content, bytes) else content.encode()
    (tmp_path / name).write_bytes(content)
    if "taken" in message:
        loaded = data.load(f"folder:{tmp_path}", image_size=8)
        assert f"{message} from 0 of the sorted classes" in loaded.remarks[0]
        return
    with pytest.raises(InputError, match=message):
        data.load(f"folder:{tmp_path}", image_size=8)


def test_a_split_without_labels_hides_no_good_one(tmp_path):
    train(tmp_path)
    flat(tmp_path / "test")
    with pytest.raises(InputError, match="6 images in no class folders, and no table"):
        data.load(f"folder:{tmp_path}", image_size=8)
    for label, name in enumerate(CLASSES):
        save(tmp_path / "val" / name / "a.JPEG", label, 5)
    loaded = data.load(f"folder:{tmp_path}", image_size=8)
    assert len(loaded.test) == 3
    assert f"{tmp_path / 'test'}: 6 images in no class folders" in loaded.remarks[0]
    (tmp_path / "val" / CLASSES[0] / "a.JPEG").unlink()
    with pytest.raises(InputError, match="6 images in no class folders, and no table"):
        data.load(f"folder:{tmp_path}", image_size=8)


def test_other_formats_are_read_or_counted(tmp_path):
    train(tmp_path)
    folder = tmp_path / "train" / CLASSES[0]
    for index, suffix in enumerate(("bmp", "webp", "gif", "tif", "JFIF", "png")):
        pixels = np.random.default_rng(index).integers(0, 256, (8, 8, 3), np.uint8)
        kind = {"JFIF": "jpeg", "tif": "tiff"}.get(suffix, suffix)
        options = {"lossless": True} if suffix == "webp" else {}
        Image.fromarray(pixels).save(folder / f"x{index}.{suffix}", kind, **options)
    for name in CLASSES:
        save(tmp_path / "val" / name / f"{name}.JPEG", 7)
    for stream in (False, True):
        loaded = data.load(f"folder:{tmp_path}", image_size=8, stream=stream)
        assert len(loaded.train) == 12 + 4
        (remark,) = [text for text in loaded.remarks if "left out" in text]
        assert "images that are no PNG, JPEG, BMP or WebP (2, as train/n0144" in remark
        for index in (0, 1):  # both without loss
            at = [
                path.endswith(f"x{index}.{s}")
                for path in loaded.paths
                for s in ("bmp", "webp")
            ]
            position = at.index(True) // 2
            draw = np.random.default_rng(index)
            pixels = draw.integers(0, 256, (8, 8, 3), np.uint8)
            np.testing.assert_array_equal(loaded.train.images[position], pixels)


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_dropped_of_images_is_said(tmp_path, stream):
    train(tmp_path)
    for name in CLASSES:
        save(tmp_path / "val" / name / f"{name}.JPEG", 7)
    folder = tmp_path / "train" / CLASSES[0]
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 4), np.uint8)
    Image.fromarray(pixels).save(folder / "alpha.png")
    flat_image = Image.fromarray(pixels[..., 0])
    flat_image.save(folder / "key.png", transparency=3)
    turned = Image.Exif()
    turned[0x0112] = 6
    flat_image.save(folder / "turned.jpg", exif=turned)
    frames = [Image.fromarray(pixels[..., k]) for k in range(3)]
    frames[0].save(folder / "moving.webp", save_all=True, append_images=frames[1:])
    said = "\n".join(data.load(f"folder:{tmp_path}", None, 8, stream).remarks)
    assert "2 of 19 images have transparency, which is dropped, such as" in said
    assert "1 of 19 images are marked as turned (Exif)" in said
    assert "1 of 19 images have several frames, of which the first is read" in said
