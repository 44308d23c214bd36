"""Crops against torchvision's rule pixel by pixel, and the choice of the best."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddjax import models
from ddjax.distill import crops

SIDE, SIZE, CROPS, AREA = 8, 4, 3, np.float32([0.08, 1.0])
MEAN, STD = np.float32([0.4]), np.float32([0.3])
KEY = jax.random.key(7)
IDS = np.arange(20000, dtype=np.int32) + 50
NETWORK = models.network("convnet_d1", 3, (SIDE, SIDE, 1), width=4, norm="batch")
VARIABLES = jax.jit(NETWORK.init)(jax.random.key(3))

windows_of = jax.jit(
    lambda key, ids, area: jax.vmap(
        lambda i: crops.random_windows(key, i, CROPS, SIDE, area)
    )(ids)
)
apply = jax.jit(NETWORK.apply)
resized = jax.jit(crops.resized, static_argnums=2)
cut_out = jax.jit(crops.cut_out, static_argnums=0)
best_crops = jax.jit(crops.best_crops, static_argnums=tuple(range(5)))


def images_of(count=10, seed=0, channels=1):
    shape = (count, SIDE, SIDE, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def slow_resized(image, window, size):
    """A triangle around each target's centre, over the pixels of the window only."""
    y0, x0, length = (int(v) for v in window)
    crop = image[y0 : y0 + length, x0 : x0 + length].astype(np.float64)
    step = length / size
    width = max(step, 1.0)
    result = np.zeros((size, size, image.shape[2]))
    for i in range(size):
        for j in range(size):
            total = 0.0
            for y in range(length):
                for x in range(length):
                    dy = abs(y + 0.5 - (i + 0.5) * step) / width
                    dx = abs(x + 0.5 - (j + 0.5) * step) / width
                    weight = max(0, 1 - dy) * max(0, 1 - dx)
                    result[i, j] += weight * crop[y, x]
                    total += weight
            result[i, j] /= total
    return result


def slow_loss(patch, label):
    """The teacher's cross-entropy of one patch in the middle of zeros."""
    before = (SIDE - SIZE) // 2
    shown = np.zeros((1, SIDE, SIDE, 1), np.float32)
    middle = slice(before, before + SIZE)
    shown[0, middle, middle] = (patch / 255 - MEAN) / STD
    logits = np.float64(apply(VARIABLES, shown)[0])[0]
    return np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[label]


@pytest.mark.parametrize(
    "window, size",
    [((0, 0, 8), 4), ((1, 2, 3), 4), ((2, 0, 6), 4), ((3, 5, 1), 4), ((0, 1, 7), 5)],
)
def test_resized_equals_the_rule_pixel_by_pixel(window, size):
    image = images_of(1, channels=3)[0]
    found = resized(image, np.int32(window), size)
    np.testing.assert_allclose(found, slow_resized(image, window, size), atol=1e-3)


def test_resized_hand_worked():
    # Two to one: a triangle gives 3/4, 3/4 and 1/4, made to add up to 1: 3, 3, 1 of 7.
    column = np.float32([0, 70, 140, 210])
    image = np.tile(column[:, None, None], (1, 4, 1))
    found = resized(image, np.int32([0, 0, 4]), 2)
    np.testing.assert_allclose(found[:, 0, 0], [50, 160], rtol=1e-6)
    # A whole image at its own size is itself, exactly; a window is a cut.
    image = images_of(1)[0]
    np.testing.assert_array_equal(resized(image, np.int32([0, 0, SIDE]), SIDE), image)
    cut = resized(image, np.int32([3, 1, 4]), 4)
    np.testing.assert_array_equal(cut, image[3:7, 1:5])


def test_windows_follow_their_distribution():
    y0, x0, length = np.asarray(windows_of(KEY, IDS, AREA)).reshape(-1, 3).T
    assert (y0 >= 0).all() and (x0 >= 0).all()
    assert (y0 + length <= SIDE).all() and (x0 + length <= SIDE).all()
    # P(length) is the area between the squares of length -+ 1/2.
    for value in range(2, SIDE + 1):
        low = max(((value - 0.5) / SIDE) ** 2, AREA[0])
        high = min(((value + 0.5) / SIDE) ** 2, 1)
        expected = (high - low) / (AREA[1] - AREA[0])
        assert np.mean(length == value) == pytest.approx(expected, abs=0.01)
        places = SIDE - value + 1
        for start in (y0, x0):
            counts = np.bincount(start[length == value], minlength=places)
            assert len(counts) == places
            shares = counts / counts.sum()
            np.testing.assert_allclose(shares, 1 / places, atol=0.04)
    assert abs(np.corrcoef(y0[length == 4], x0[length == 4])[0, 1]) < 0.05


def test_windows_are_never_empty_and_can_be_whole():
    tiny = windows_of(KEY, IDS[:50], np.float32([1e-6, 1e-6]))
    np.testing.assert_array_equal(tiny[..., 2], 1)
    whole = windows_of(KEY, IDS[:50], np.float32([1, 1]))
    np.testing.assert_array_equal(whole, np.tile([0, 0, SIDE], (50, CROPS, 1)))


@pytest.mark.parametrize("keep, better", [("lowest", min), ("highest", max)])
def test_best_crops_equal_a_slow_search(keep, better):
    images, ids = images_of(), IDS[:10]
    labels = np.arange(10, dtype=np.int32) % 3
    losses, windows = best_crops(
        *(NETWORK, CROPS, SIZE, keep, 5, VARIABLES, KEY, AREA, MEAN, STD),
        *(images, labels, ids),
    )
    for i, drawn in enumerate(np.asarray(windows_of(KEY, ids, AREA))):
        found = [
            slow_loss(slow_resized(images[i], window, SIZE), labels[i])
            for window in drawn
        ]
        assert max(found) - min(found) > 1e-4, "the crops do not differ"
        best = found.index(better(found))
        np.testing.assert_array_equal(windows[i], drawn[best])
        assert losses[i] == pytest.approx(found[best], abs=1e-5)


def test_best_crops_depend_on_neither_batch_nor_order():
    images, ids = images_of(seed=1), IDS[:10]
    labels = np.arange(10, dtype=np.int32) % 3

    def found(batch_size, order):
        losses, windows = best_crops(
            *(NETWORK, CROPS, SIZE, "lowest", batch_size, VARIABLES, KEY, AREA),
            *(MEAN, STD, images[order], labels[order], ids[order]),
        )
        return np.asarray(losses), np.asarray(windows)

    whole = found(5, np.arange(10))
    order = np.random.default_rng(1).permutation(10)
    losses, windows = found(4, order)  # which leaves a rest of two
    np.testing.assert_allclose(losses, whole[0][order], rtol=1e-5)
    np.testing.assert_array_equal(windows, whole[1][order])


def test_patches_lie_in_the_middle_of_the_mean_colour():
    patches = jnp.ones((1, 3, 3, 1))
    found = np.asarray(crops.centred(patches, 8))[0, :, :, 0]
    expected = np.zeros((8, 8))
    expected[2:5, 2:5] = 1  # five pixels to share: two before, three after
    np.testing.assert_array_equal(found, expected)


def test_cut_out_rounds_once():
    image = np.zeros((1, 4, 4, 1), np.uint8)
    image[0, 0] = 3  # of which the rows below take 3/7, which is 1.29, and nothing
    whole = np.int32([[0, 0, 4]])
    found = cut_out(2, image, whole)
    assert found.dtype == jnp.uint8
    np.testing.assert_array_equal(found[0, :, :, 0], [[1, 1], [0, 0]])
    image[0, :, 0] = 254  # of which 3/7 are 108.86
    assert cut_out(2, image, whole)[0, 1, 0, 0] == 109
