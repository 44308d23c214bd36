"""Learned image sets of others: by what they are known, and what is undone."""

import numpy as np
import pytest

from ddjax import data, torch_files
from ddjax.data import zca
from ddjax.data.image_sets import read_image_set, suffix
from ddjax.data.mosaics import GREY, decoded
from ddjax.errors import InputError
from ddjax.train.batches import normalise

RNG = np.random.default_rng(0)
CLASSES = ("cat", "dog")
SMOOTH = RNG.normal(size=(400, 8, 8, 3)).cumsum(axis=1).cumsum(axis=2)
REAL = np.clip(20 * SMOOTH + 120, 0, 255).astype(np.uint8)
CIFAR10 = np.float32([[0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]])
CIFAR100 = np.float32([[0.5071, 0.4866, 0.4409], [0.2673, 0.2564, 0.2762]])
# Learned images, normalised, partly outside of what pixels are: [M,K,H,W].
LEARNED = RNG.normal(size=(4, 3, 8, 8)).astype(np.float32)
LABELS = np.array([0, 0, 1, 1])
PARTS = slice(350), slice(350, 400)
TARGETS = np.float32([[0.5, -0.5], [0.3, -0.4], [-0.2, 0.3], [-0.6, 0.4]])


@pytest.fixture(scope="module")
def source():
    train, test = ((REAL[part], np.arange(400)[part] % 2) for part in PARTS)
    return data.from_arrays("own", CLASSES, train, test)


def read(path, source=None, **options):
    given = {"mean": None, "std": None} | options
    return read_image_set(path, CLASSES, (8, 8, 3), **given, source=source)


def pixels(images_MKHW, mean, std):
    """By hand: [M,H,W,K] on the scale 0..255."""
    return 255 * (images_MKHW.transpose(0, 2, 3, 1) * np.float64(std) + mean)


def save(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    torch_files.write(path, value)
    return path


DC = {"data": [[LEARNED, LABELS]], "accs_all_exps": {"ConvNet": []}}
# Where constants are known from, and which they are.
NAMED = {
    "res_DC_CIFAR10_ConvNet_2ipc.pt": ("CIFAR10", CIFAR10),
    "res_DataDAM_CIFAR100_ConvNet_2ipc_.pt": ("CIFAR100", CIFAR100),
    "CIFAR100/IPC2/images_best.pt": ("CIFAR100", CIFAR10),
    "DM/CIFAR10/IPC2/random_images.pt": ("CIFAR10", CIFAR10),
}


@pytest.mark.parametrize("name", NAMED)
def test_normalisation_is_that_of_the_data_set_in_the_name(tmp_path, name, source):
    value = DC if "res" in name else LEARNED
    path = save(tmp_path / name, value)
    if value is LEARNED:
        save(path.with_name(path.name.replace("images", "labels")), LABELS)
    dataset, constants = NAMED[name]
    found = read(path, source)
    assert found.images.dtype == np.float32
    expected = pixels(LEARNED, *constants)
    np.testing.assert_allclose(found.images, expected, rtol=1e-5, atol=1e-3)
    np.testing.assert_array_equal(found.labels, LABELS)
    assert f"the constants of {dataset}" in found.notes[0]
    # What authors trained on: the test images are normalised alike.
    again = normalise(found.images, *constants)
    np.testing.assert_allclose(again, LEARNED.transpose(0, 2, 3, 1), atol=1e-5)
    # Numbers that are given decide.
    found = read(path, source, mean=(0.5,) * 3, std=(0.25,) * 3)
    expected = pixels(LEARNED, 0.5, 0.25)
    np.testing.assert_allclose(found.images, expected, rtol=1e-5, atol=1e-3)


def test_without_a_name_it_is_that_of_the_source(tmp_path, source):
    # "tiny" is a word of many paths, "Tiny" is MTT's.
    path = save(tmp_path / "tiny" / "res.pt", DC)
    found = read(path, source)
    assert "the moments of own" in found.notes[0]
    again = normalise(found.images, np.float32(source.mean), np.float32(source.std))
    np.testing.assert_allclose(again, LEARNED.transpose(0, 2, 3, 1), atol=1e-5)
    of_mtt = save(tmp_path / "Tiny" / "images_best.pt", LEARNED)
    assert "the constants of Tiny" in "".join(read(of_mtt, source).notes)
    levels = save(tmp_path / "levels.pt", {"data": [[REAL[:4], LABELS]]})
    assert read(levels, source).notes == (
        "images of shape [4, 8, 8, 3] taken as [M,H,W,K]",
    )
    with pytest.raises(InputError, match="taken as pixels.*lie outside.*mean=NUMBERS"):
        read(path)


def test_what_fits_no_normalisation_is_refused_with_all_names(tmp_path, source):
    far = {"data": [[100 * LEARNED, LABELS]]}
    path = save(tmp_path / "res_DC_CIFAR10_ConvNet_2ipc.pt", far)
    message = (
        r"fit neither the constants of CIFAR10 \(mean \(0.4914, 0.4822, 0.4465\), st.*"
        r"\) nor the moments of own \(mean .*more than 50 % of their values lie outside"
    )
    with pytest.raises(InputError, match=message):
        read(path, source)
    # A grey data set has no constants for images of three channels.
    path = save(tmp_path / "res_DC_FashionMNIST_ConvNet_2ipc.pt", DC)
    assert "the moments of own" in read(path, source).notes[0]
    odd = LEARNED.copy()
    odd[2, 0, 0, 0] = np.nan
    path = save(tmp_path / "odd_CIFAR10.pt", {"data": [[odd, LABELS]]})
    with pytest.raises(InputError, match="1 of 4 images .* not finite, .* position 2"):
        read(path, source)


def test_datms_logits_and_learned_rate(tmp_path, source):
    save(tmp_path / "images_best.pt", LEARNED)
    save(tmp_path / "labels_best.pt", 3 * TARGETS)
    save(tmp_path / "lr_best.pt", np.array(0.02, np.float32))
    found = read(tmp_path, source)
    expected = np.exp(3 * TARGETS) / np.exp(3 * TARGETS).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.soft_labels, expected, rtol=1e-5)
    assert found.learning_rate == pytest.approx(0.02)
    for wrong, shown in ((-0.1, "-0.1"), (np.nan, "nan"), ([1.0, 2.0], r"\[2\]")):
        save(tmp_path / "lr_best.pt", np.array(wrong))
        with pytest.raises(InputError, match=rf"lr_best.pt: found {shown}.*above 0"):
            read(tmp_path, source)


def test_parts_are_put_together(tmp_path, source):
    for part in range(4):
        save(tmp_path / f"images_best_{part}.pt", LEARNED[part : part + 1])
        save(tmp_path / f"labels_best_{part}.pt", LABELS[part : part + 1])
    whole = read(save(tmp_path / "whole" / "res.pt", DC), source)
    for path in (tmp_path, tmp_path / "images_best_0.pt"):
        found = read(path, source)
        np.testing.assert_array_equal(found.images, whole.images)
        np.testing.assert_array_equal(found.labels, LABELS)
        assert "4 parts were put together" in found.notes[0]
    save(tmp_path / "images_best_2.pt", LEARNED[:1, :, :4])
    with pytest.raises(InputError, match=r"shapes .*\[1, 3, 4, 8\], .*the same in all"):
        read(tmp_path, source)


def test_whitened_images_become_pixels(tmp_path, source):
    white = zca.fit(source.train.images).whiten(REAL[:4] + np.float32(0.3))
    path = save(tmp_path / "images_best.pt", white.transpose(0, 3, 1, 2).copy())
    save(tmp_path / "labels_best.pt", LABELS)
    for given in (f"{path}#zca", f"{tmp_path}#zca"):
        found = read(given, source)
        np.testing.assert_allclose(found.images, REAL[:4] + 0.3, atol=1e-3)
        note = next(note for note in found.notes if "ZCA" in note)
        assert "those of MTT" in note or "that of MTT" in note
        assert zca.fit(source.train.images).digest in note
    with pytest.raises(InputError, match="whitened, .* source=SOURCE gives them"):
        read(f"{path}#zca")
    levels = save(tmp_path / "b" / "images_best.pt", REAL[:4].transpose(0, 3, 1, 2))
    with pytest.raises(InputError, match="dtype uint8, expected floats, as ZCA"):
        read(f"{levels}#zca", source)
    small = save(tmp_path / "c" / "images_best.pt", LEARNED[:, :, :4])
    with pytest.raises(InputError, match=r"have shape \[4, 8, 3\], expected .* \[8, 8"):
        read(f"{small}#zca", source)
    turned = save(tmp_path / "images_zca_20.pt", LEARNED)
    with pytest.raises(InputError, match="found #zca, but MTT has turned images"):
        read(f"{turned}#zca", source)


def test_whitened_images_that_are_not_named_so_are_remarked(tmp_path, source):
    white = zca.fit(source.train.images).whiten(REAL[::4]).transpose(0, 3, 1, 2)
    labels = np.arange(100) % 2
    path = save(tmp_path / "white.pt", {"data": [[white, labels]]})
    notes = " ".join(read(path, source).notes)
    assert "nearer to ZCA-whitened images of the source" in notes and "'#zca'" in notes
    normal = (REAL[::4] / 255 - source.mean) / source.std + 0.01
    for images in (normal.transpose(0, 3, 1, 2), LEARNED[np.arange(100) % 4]):
        path = save(tmp_path / "other.pt", {"data": [[images, labels]]})
        assert "ZCA" not in " ".join(read(path, source).notes)


def test_idcs_mosaics_are_expanded(tmp_path, source):
    stored = RNG.uniform(size=(4, 3, 8, 8)).astype(np.float32)
    path = save(tmp_path / "data.pt", [stored, LABELS])
    found = read(path, source)
    expected = pixels(stored, 0, 1)
    np.testing.assert_allclose(found.images, expected, rtol=1e-5)
    assert "taken as pixels" in found.notes[0]
    found = read(f"{tmp_path}#factor=2", source)
    assert found.images.shape == (16, 8, 8, 3)
    np.testing.assert_array_equal(found.labels, [0] * 8 + [1] * 8)
    assert "divided into 4 of its size" in found.notes[-1]
    # Class after class, the tiles of an image, then the next image's.
    first = decoded(expected[:2], 2, GREY)
    np.testing.assert_allclose(found.images[:8], first, rtol=1e-5)
    cim = {"dataset": "cifar10", "data": 1.2 * stored - 0.1, "label": LABELS}
    found = read(save(tmp_path / "data.pt", cim), source)
    np.testing.assert_allclose(found.images, 1.2 * expected - 25.5, atol=1e-3)
    assert found.notes[0] == "the file names the data set 'cifar10'"


def test_mosaics_by_hand():
    image = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    found = np.asarray(decoded(image, 2, GREY))
    assert found.shape == (4, 4, 4, 1) and found.dtype == np.float32
    # The first tile is [[0, 1], [4, 5]]; a row of it is enlarged to 0, .25, .75, 1.
    row = np.array([0, 0.25, 0.75, 1])
    np.testing.assert_allclose(found[0, ..., 0], 4 * row[:, None] + row)
    np.testing.assert_allclose(found[1, ..., 0] - found[0, ..., 0], 2)
    np.testing.assert_allclose(found[2, ..., 0] - found[0, ..., 0], 8)
    np.testing.assert_array_equal(decoded(image, 1, GREY), image)
    # What the factor does not divide is padded by grey: the last of 2 x 2 pixels.
    last = decoded(np.full((1, 3, 3, 1), 27.5, np.float32), 2, GREY)[3, ..., 0]
    np.testing.assert_allclose(last[0, 0], 27.5)
    np.testing.assert_allclose(last[2, 2], 127.5)


def test_a_factor_beyond_the_image_is_refused(tmp_path, source):
    stored = RNG.uniform(size=(4, 3, 5, 5)).astype(np.float32)
    save(tmp_path / "data.pt", [stored, LABELS])
    with pytest.raises(InputError, match="factor: found 6, allowed is at most 5"):
        read(f"{tmp_path}#factor=6", source)


@pytest.mark.slow
def test_mosaics_are_those_of_idc():
    torch = pytest.importorskip("torch")
    images = RNG.uniform(size=(2, 7, 7, 3)).astype(np.float32)
    first = torch.tensor(images.transpose(0, 3, 1, 2))
    padded = torch.nn.functional.pad(first, (0, 2, 0, 2), value=0.5)
    tiles = torch.cat(
        [padded[:, :, i : i + 3, j : j + 3] for i in (0, 3, 6) for j in (0, 3, 6)]
    )
    expected = torch.nn.Upsample(size=7, mode="bilinear")(tiles).numpy()
    found = np.asarray(decoded(255 * images, 3, GREY)) / 255
    # Theirs are all images' first tiles, then their second ones.
    found = found.reshape(2, 9, 7, 7, 3).swapaxes(0, 1).reshape(-1, 7, 7, 3)
    np.testing.assert_allclose(found.transpose(0, 3, 1, 2), expected, atol=1e-5)


def test_frepos_targets_take_a_temperature(tmp_path, source):
    path = tmp_path / "step000100.npz"
    white = zca.fit(
        source.train.images, zca.FREPO, source.mean, source.std, relative=True
    ).whiten(REAL[:4] + np.float32(0.3))
    np.savez(path, image=white, label=TARGETS)
    with pytest.raises(InputError, match="targets of a regression.*temperature"):
        read(path, source)
    found = read(f"{path}#temperature=0.5", source)
    expected = np.exp(2 * TARGETS) / np.exp(2 * TARGETS).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.soft_labels, expected, rtol=1e-5)
    np.testing.assert_allclose(found.images, REAL[:4] + 0.3, atol=1e-3)
    assert any("FRePo's, of normalised images" in note for note in found.notes)
    found = read(f"{path}#temperature=0", source)
    assert found.soft_labels is None
    np.testing.assert_array_equal(found.labels, LABELS)
    with pytest.raises(InputError, match="source=SOURCE"):
        read(f"{path}#temperature=1")
    # Grey images are standardised alone.
    grey = (REAL[..., :1], np.arange(400) % 2)
    other = data.from_arrays("grey", CLASSES, grey, grey)
    np.savez(path, image=LEARNED[:, :1].transpose(0, 2, 3, 1), label=TARGETS)
    found = read_image_set(
        f"{path}#temperature=1", CLASSES, (8, 8, 1), None, None, source=other
    )
    expected = pixels(LEARNED[:, :1], other.mean, other.std)
    np.testing.assert_allclose(found.images, expected, rtol=1e-4, atol=1e-3)


def test_suffixes_are_checked(tmp_path, source):
    path = save(tmp_path / "res.pt", DC)
    for text in ("1.5", "zc", "factor=0", "factor=9", "factor=", "zca=1", "", "0,,zca"):
        with pytest.raises(InputError, match="after '#', allowed is a number from 0"):
            read(f"{path}#{text}", source)
    with pytest.raises(InputError, match="found factor twice after '#'"):
        read(f"{path}#factor=2,factor=2", source)
    with pytest.raises(InputError, match="#temperature was given as 1.0, which does"):
        read(f"{path}#temperature=1", source)
    plain = save(tmp_path / "data.pt", [LEARNED, LABELS])
    with pytest.raises(InputError, match="#experiment was given as 0, which does not"):
        read(f"{plain}#0", source)
    data.write_image_set(REAL[:4], LABELS, CLASSES, tmp_path / "set")
    with pytest.raises(InputError, match="set: #zca was given as True, which does not"):
        read(f"{tmp_path / 'set'}#zca", source)
    # A path that is there as it is has no suffix.
    named = save(tmp_path / "a#1" / "res.pt", DC)
    assert suffix.split(named) == (named, suffix.Suffix())
    data.write_image_set(REAL[:4], LABELS, CLASSES, tmp_path / "set#zca")
    np.testing.assert_array_equal(read(tmp_path / "set#zca", source).images, REAL[:4])
