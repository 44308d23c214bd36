"""Image sets as arrays: .npz, and .pt files of other projects."""

import pickle

import numpy as np
import pytest

from ddjax import torch_files
from ddjax.data.image_sets import read_image_set
from ddjax.errors import InputError

CLASSES = ("cat", "dog", "eel")
LABELS = np.array([0, 0, 1, 1, 2, 2])
SHAPE = (5, 4, 3)
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
PIXELS = np.random.default_rng(0).integers(0, 256, (6, *SHAPE), dtype=np.uint8)
PIXELS[0, 0, :2] = [[0], [255]]
NORMALISED = ((PIXELS / 255 - MEAN) / STD).astype(np.float32)
SCORES = np.random.default_rng(1).normal(size=(6, 3)) + 4 * np.eye(3)[LABELS]
PROBABILITIES = np.exp(SCORES) / np.exp(SCORES).sum(axis=1, keepdims=True)


def read(path, mean=MEAN, std=STD, **options):
    return read_image_set(path, CLASSES, SHAPE, mean, std, **options)


def npz(folder, **arrays):
    np.savez(folder / "set.npz", **{"images": PIXELS, "labels": LABELS} | arrays)
    return folder / "set.npz"


def test_normalised_floats_become_the_pixels_they_were(tmp_path):
    found = read(npz(tmp_path, images=NORMALISED))
    np.testing.assert_array_equal(found.images, PIXELS)
    assert found.notes == (
        f"images have values of {NORMALISED.min():.4g} to {NORMALISED.max():.4g}, "
        "taken as normalised by mean (0.4, 0.5, 0.6) and std (0.2, 0.25, 0.3)",
    )


def test_values_beyond_the_pixels_are_kept_and_counted(tmp_path):
    images = NORMALISED.copy()
    images[1, 0, 0] = [5, 5, -9]  # by hand: 1.4, 1.75, -2.1
    images[1, 0, 1] = [3.005, -2.005, 0]  # within half a level of 1 and 0; 0.6
    with pytest.raises(
        InputError, match=r"3 of 360 .*0.5 %; .*; clip=0.01 accepts them"
    ):
        read(npz(tmp_path, images=images))
    found = read(npz(tmp_path, images=images), clip=0.01)
    assert found.images.dtype == np.float32
    expected = 255 * np.array([[1.4, 1.75, -2.1], [1.001, -0.00125, 0.6]])
    np.testing.assert_allclose(found.images[1, 0, :2], expected, rtol=1e-5, atol=1e-4)
    expected = 255 * (images * STD + MEAN)
    np.testing.assert_allclose(found.images, expected, rtol=1e-5, atol=1e-3)
    assert found.notes[1].endswith("; 3 of 360 values (0.833 %) lie outside [0, 1]")


def test_floats_in_0_1_or_without_mean_are_pixels(tmp_path):
    path = npz(tmp_path, images=PIXELS / 255)
    found = read(path)
    np.testing.assert_array_equal(found.images, PIXELS)
    assert "of 0 to 1, taken as pixels in [0, 1], not normalised" in found.notes[0]
    path = npz(tmp_path, images=PIXELS / 255 * 1.17 - 0.083)
    assert "taken as normalised" in read(path).notes[0]
    found = read(path, None, None, clip=0.2)
    expected = (PIXELS / 255 * 1.17 - 0.083) * 255
    np.testing.assert_allclose(found.images, expected, rtol=1e-5, atol=1e-3)
    assert "taken as pixels" in found.notes[0] and "kept as floats" in found.notes[1]


def test_levels_that_were_stored_in_fewer_bits_are_levels(tmp_path):
    for images in (NORMALISED.astype(np.float16), NORMALISED.round(4)):
        found = read(npz(tmp_path, images=images))
        np.testing.assert_array_equal(found.images, PIXELS)
        assert found.images.dtype == np.uint8
    found = read(npz(tmp_path, images=NORMALISED + np.float32(0.004)), clip=0.1)
    assert found.images.dtype == np.float32  # by hand: a fifth of a level
    again = (found.images / 255 - np.float32(MEAN)) / np.float32(STD)
    np.testing.assert_allclose(again, NORMALISED + 0.004, atol=1e-5)


IMAGENET = np.float32([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])
HALF = np.float32([[0.5] * 3, [0.5] * 3])


def normalised(moments):
    return ((PIXELS / np.float32(255) - moments[0]) / moments[1]).astype(np.float32)


# What a file holds, who says how, what the refusal says, and what makes it fit.
LEVELS = {
    "0 to 255": (PIXELS.astype(np.float32), {}, "scale=255 takes 255 as", 255),
    "0 to 255, told as normalised": (
        PIXELS.astype(np.float64),
        {"mean": MEAN, "std": STD},
        "scale=255 takes 255 as white",
        255,
    ),
    "integers of 64 bits": (PIXELS.astype(int), {}, "int64.*; scale=255 takes", 255),
    "integers of 16 bits": (
        PIXELS.astype(np.uint16) * 257,
        {},
        "uint16.*; scale=65535 takes 65535 as white",
        65535,
    ),
    "floats of 16 bits": (PIXELS * 257.0, {}, "scale=65535 takes", 65535),
    "-1 to 1": (normalised(HALF), {}, "mean=0.5,0.5,0.5 std=0.5,0.5,0.5 are", HALF),
    "ImageNet's": (normalised(IMAGENET), {}, "mean=0.485,.* are ImageNet's", IMAGENET),
    "ImageNet's, told others": (
        normalised(IMAGENET),
        {"mean": MEAN, "std": (0.3, 0.3, 0.3)},
        "std=0.229,0.224,0.225 are ImageNet's",
        IMAGENET,
    ),
    "somebody's": (NORMALISED * 3, {}, "mean=NUMBERS and std=NUMBERS, one", None),
}


@pytest.mark.parametrize("case", LEVELS)
def test_numbers_that_do_not_fit_are_refused_with_what_makes_them_fit(tmp_path, case):
    images, given, message, fitting = LEVELS[case]
    path = npz(tmp_path, images=images)
    given = {"mean": None, "std": None} | given
    with pytest.raises(InputError, match=message):
        read(path, **given)
    if isinstance(fitting, int):
        found = read(path, None, None, scale=fitting)
        np.testing.assert_array_equal(found.images, PIXELS)
    elif fitting is not None:
        found = read(path, *fitting)
        np.testing.assert_array_equal(found.images, PIXELS)


def test_images_of_two_levels_are_refused_or_stretched(tmp_path):
    bits = (PIXELS > 127).astype(np.uint8)
    path = npz(tmp_path, images=bits)
    with pytest.raises(InputError, match="are 0 or 1 of the .*; scale=1 takes uint8"):
        read(path)
    np.testing.assert_array_equal(read(path, scale=1).images, 255 * bits)
    np.testing.assert_array_equal(
        read(npz(tmp_path, images=bits > 0), scale=1).images, 255 * bits
    )
    with pytest.raises(InputError, match="are 0 or 1"):  # pixels told as levels
        read(npz(tmp_path, images=PIXELS / 255), None, None, scale=255)
    found = read(npz(tmp_path))
    assert found.notes == ("images are levels of 0..255: mean and std were not used",)
    assert read(npz(tmp_path), None, None).notes == ()


@pytest.mark.parametrize(
    "soft, kind, rows",
    [
        (0.99 * PROBABILITIES, "probabilities", "0.99"),
        (1.02 * PROBABILITIES, "probabilities", "1.02"),
        (100 * PROBABILITIES, "percent", "100"),
        (np.rint(100 * PROBABILITIES).astype(int), "percent", "99"),
        (np.log(PROBABILITIES) + 9, "logits", ""),
        (PROBABILITIES - 0.01, "probabilities", "0.97"),
    ],
)
def test_soft_labels_of_a_kind_that_is_not_plain_must_be_told(
    tmp_path, soft, kind, rows
):
    path = npz(tmp_path, soft_labels=soft)
    with pytest.raises(InputError, match=f"{rows}.*; label_kind=KIND names which"):
        read(path)
    if soft.min() < 0:  # neither: probabilities have none below 0
        with pytest.raises(InputError, match="probabilities have none below 0"):
            read(path, label_kind=kind)
        return
    found = read(path, label_kind=kind)
    atol = 0.011 if soft.dtype == int else 1e-5
    np.testing.assert_allclose(found.soft_labels, PROBABILITIES, atol=atol)
    assert f"taken as {kind}, as set by label_kind" in "".join(found.notes)
    others = {"probabilities", "percent"} - {kind}
    for other in others:
        with pytest.raises(InputError, match=f"{other} have none below 0, and rows"):
            read(path, label_kind=other)
    with pytest.raises(InputError, match="label_kind: found 'odds', allowed is one of"):
        read(path, label_kind="odds")


def test_soft_labels_that_contradict_the_classes_are_refused(tmp_path):
    shifted = np.roll(PROBABILITIES, 1, axis=1)
    arrays = {"images": PIXELS, "labels": LABELS, "soft_labels": shifted}
    path = npz(
        tmp_path,
        **{name: np.tile(a, (4,) + (1,) * (a.ndim - 1)) for name, a in arrays.items()},
    )
    message = (
        r"contradict the class of 24 of 24 images \(100.0%\); another order of the "
        r"classes explains it, with which 100.0% agree: 'cat' is 'dog', 'dog' is 'eel',"
        r" 'eel' is 'cat'; so it is where labels are shifted by 1; allowed are 50.0%; "
        "contradicting=1 accepts them"
    )
    with pytest.raises(InputError, match=message):
        read(path)
    path = npz(tmp_path, soft_labels=shifted)
    with pytest.raises(InputError, match=r"6 of 6 images \(100.0%\); allowed are 50"):
        read(path)
    found = read(path, contradicting=1.0)
    assert "contradict the class of 6 of 6 images" in "".join(found.notes)
    np.testing.assert_allclose(found.soft_labels, shifted, rtol=1e-5)
    # One that differs is a remark, one that does not decide is none.
    mixed = PROBABILITIES.copy()
    mixed[0], mixed[1] = mixed[5], 1 / 3
    notes = read(npz(tmp_path, soft_labels=mixed), None, None).notes
    assert notes == ("soft labels contradict the class of 1 of 6 images (16.7%)",)


def test_channels_may_come_first_with_a_remark(tmp_path):
    found = read(npz(tmp_path, images=PIXELS.transpose(0, 3, 1, 2)))
    np.testing.assert_array_equal(found.images, PIXELS)
    assert found.notes[0] == "images of shape [6, 3, 5, 4] taken as [M,K,H,W]"
    grey = npz(tmp_path, images=PIXELS[..., 0])
    found = read_image_set(grey, CLASSES, (5, 4, 1), None, None)
    np.testing.assert_array_equal(found.images, PIXELS[..., :1])


def test_soft_labels_are_distributions_or_become_such(tmp_path):
    order = np.array([5, 0, 3, 1, 2, 4])
    path = npz(
        tmp_path,
        images=PIXELS[order],
        labels=LABELS[order],
        soft_labels=PROBABILITIES[order].astype(np.float16),
    )
    found = read(path)
    np.testing.assert_allclose(
        found.soft_labels, PROBABILITIES[[0, 1, 3, 2, 5, 4]], atol=1e-3
    )
    np.testing.assert_array_equal(found.images, PIXELS[[0, 1, 3, 2, 5, 4]])
    assert found.soft_labels.dtype == np.float32 and len(found.notes) == 1
    found = read(npz(tmp_path, labels=SCORES))
    np.testing.assert_allclose(found.soft_labels, PROBABILITIES, rtol=1e-5)
    np.testing.assert_array_equal(found.labels, LABELS)
    assert "taken as scores before a softmax" in found.notes[1]
    assert "only soft labels: each image's class is the likeliest" in found.notes[2]


def test_class_names_of_the_file_decide_over_its_numbers(tmp_path):
    path = npz(tmp_path, class_names=["eel", "cat", "dog"], soft_labels=PROBABILITIES)
    found = read(path)
    np.testing.assert_array_equal(found.images, PIXELS[[2, 3, 4, 5, 0, 1]])
    np.testing.assert_allclose(
        found.soft_labels, PROBABILITIES[[2, 3, 4, 5, 0, 1]][:, [1, 2, 0]], rtol=1e-6
    )


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({"images": PIXELS[..., :2]}, r"\[6, 5, 4, 2\], expected .* K = 3 channels"),
        ({"images": PIXELS.astype(int)}, "dtype int64, expected uint8 or float"),
        (
            {"images": np.where(np.arange(6).reshape(6, 1, 1, 1) == 4, np.nan, PIXELS)},
            "1 of 6 images have values that are not finite, the first is at position 4",
        ),
        ({"images": PIXELS[:, :3]}, "another size: 6 of 3 x 4, expected 5 x 4 "),
        ({"labels": LABELS[:5]}, r"labels have shape \[5\], expected \[6\]: one for"),
        (
            {"labels": LABELS + 1},
            r"label 3 at position 4, .* 0\.\.2; these count from 1",
        ),
        ({"labels": LABELS / 2}, r"label 0.5 at position 2, allowed are the integers"),
        ({"labels": LABELS % 2}, "has no image of 1 of 3 classes: 'eel'"),
        ({"labels": SCORES[:, :2]}, r"have shape \[6, 2\] .* expected \[6, 3\] num"),
        ({"soft_labels": SCORES * np.inf}, "soft labels have values that are not fin"),
        ({"class_names": ["cat", "dog", "ant"]}, "class_names: found 'ant', which no"),
        ({"class_names": np.arange(3)}, "class_names has shape .* expected .C. string"),
        ({"class_names": np.array([], str)}, "label 0 at position 0, allowed"),
        ({"labels": np.array([None] * 6)}, "cannot be read: it has pickled Python obj"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, arrays, message):
    with np.errstate(invalid="ignore"), pytest.raises(InputError, match=message):
        read(npz(tmp_path, **arrays))


def test_damaged_and_other_npz_files_are_refused(tmp_path):
    path = npz(tmp_path)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(InputError, match="damaged, or not an .npz"):
        read(path)
    np.savez(path, x_train=PIXELS)
    with pytest.raises(
        InputError, match=r"found the arrays \['x_train'\], expected im"
    ):
        read(path)


def test_another_size_is_resized_where_that_is_accepted(tmp_path):
    path = npz(tmp_path, images=PIXELS.repeat(2, axis=1)[:, :8].repeat(2, axis=2))
    found = read_image_set(path, CLASSES, (4, 4, 3), None, None, resize=True)
    np.testing.assert_array_equal(found.images, PIXELS[:, :4])
    assert "(6 of 8 x 8) were brought to 4 x 4" in found.notes[0]


# Files of PyTorch: channels come first.
FIRST = NORMALISED.transpose(0, 3, 1, 2)


@pytest.fixture
def save(tmp_path):
    def save(name, value):
        torch_files.write(tmp_path / name, value)
        return tmp_path / name

    return save


def test_files_of_dc_and_dm_are_read(save):
    other = [FIRST + 1, LABELS]
    held = {"data": [other, [FIRST, LABELS]], "accs_all_exps": {"ConvNet": [0.5]}}
    path = save("res_DM_CIFAR10_ConvNet_2ipc.pt", held)
    found = read(path)
    np.testing.assert_array_equal(found.images, PIXELS)
    np.testing.assert_array_equal(found.labels, LABELS)
    assert "holds 2 image sets, the last was taken; '#0' to '#1'" in found.notes[0]
    found = read(f"{path}#0")
    expected = 255 * ((NORMALISED + 1) * STD + MEAN)
    np.testing.assert_allclose(found.images, expected, rtol=1e-5, atol=1e-3)
    assert "2 image sets, #0 was taken" in found.notes[0]
    with pytest.raises(
        InputError, match="found #2, but there are 2 image sets, .*0..1"
    ):
        read(f"{path}#2")


@pytest.mark.parametrize("given", ["images_best.pt", "images.pt", "images_20.pt", ""])
def test_files_of_mtt_datm_and_dd_ranking_are_read(save, tmp_path, given):
    name = given or "images_best.pt"
    save(name, FIRST)
    save(name.replace("images", "labels"), SCORES)
    save(name.replace("images", "lr"), np.array(0.01))
    found = read(tmp_path / given)
    assert found.learning_rate == pytest.approx(0.01)
    assert "learned learning rate of 0.01 is in lr" in found.notes[0]
    np.testing.assert_array_equal(found.images, PIXELS)
    np.testing.assert_array_equal(found.labels, LABELS)
    np.testing.assert_allclose(found.soft_labels, PROBABILITIES, rtol=1e-5)


def test_images_without_labels_are_taken_class_after_class(save):
    found = read(save("images.pt", FIRST))
    np.testing.assert_array_equal(found.labels, LABELS)
    assert "taken as class after class, 2 each" in found.notes[0]
    with pytest.raises(InputError, match=r"shape \[5, 3, 5, 4\] and no labels beside"):
        read(save("images.pt", FIRST[:5]))


def test_images_that_mtt_turned_back_from_zca_are_pixels(save):
    pixels = PIXELS.transpose(0, 3, 1, 2) / 255 * 1.17 - 0.083
    save("labels_20.pt", LABELS)
    found = read(save("images_zca_20.pt", pixels), clip=0.2)
    expected = (PIXELS / 255 * 1.17 - 0.083) * 255
    np.testing.assert_allclose(found.images, expected, rtol=1e-5, atol=1e-3)
    assert "taken as pixels" in found.notes[0]


def test_other_files_of_torch_are_refused(save, tmp_path):
    path = save("a.pt", {"images": FIRST})
    with pytest.raises(InputError, match="found a mapping with 'images', expected a t"):
        read(path)
    path = save("a.pt", {"data": [[FIRST]]})
    with pytest.raises(
        InputError, match="found a mapping with 'data', expected a tens"
    ):
        read(path)
    save("images_best.pt", FIRST)
    save("labels_best.pt", [LABELS])
    with pytest.raises(InputError, match="labels_best.pt: found list, not a tensor"):
        read(tmp_path)
    path.write_bytes(pickle.dumps({"data": open}, protocol=2))
    with pytest.raises(InputError, match="is refused, since it holds .*open, and read"):
        read(path)
    path.write_bytes(path.read_bytes()[:10])
    with pytest.raises(InputError, match="a.pt: is "):
        read(path)
