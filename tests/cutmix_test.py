"""CutMix: the rule of its boxes, and which pixels and weights they mix."""

import importlib
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddjax.data import augment
from ddjax.data.augment import Box, Recipe
from ddjax.errors import InputError

# The package has the function in the place of the file that it is from.
MODULE = importlib.import_module("ddjax.data.augment.cutmix")

HEIGHT, WIDTH = 8, 24
# Compiling is what costs time: draws are made for all ids.
IDS = jnp.arange(20000) + 50


@jax.jit(static_argnums=0)
def _cutmix_draws(recipe, seed, epoch, ids):
    axes = (None, None, None, 0, None, None)
    return jax.vmap(augment.cutmix_draw, in_axes=axes)(recipe, seed, epoch, ids, 6, 7)


@jax.jit(static_argnums=0)
def _boxes(recipe, seed, epoch, ids):
    axes = (None, None, None, 0, None, None)
    return jax.vmap(augment.cutmix_box, in_axes=axes)(recipe, seed, epoch, ids, 6, 7)


def test_cutmix_box_equals_slow_reference():
    draws = _cutmix_draws(Recipe(cutmix=1.0), 0, 2, IDS)
    boxes = _boxes(Recipe(cutmix=1.0), 0, 2, IDS)
    assert all(v.dtype == jnp.int32 for v in boxes[:4])
    assert boxes.keep.dtype == jnp.float32
    boxes = np.stack(boxes[:4], axis=1)
    for k, (lam, y, x) in enumerate(zip(*map(np.asarray, draws), strict=True)):
        cut = np.sqrt(np.float32(1) - lam)
        half_y, half_x = int(6 * cut) // 2, int(7 * cut) // 2
        rows = max(y - half_y, 0), min(y + half_y, 6)
        assert (*rows, max(x - half_x, 0), min(x + half_x, 7)) == tuple(boxes[k])


@pytest.mark.parametrize("alpha", [0.4, 1.0])
def test_cutmix_draw_is_beta_and_uniform(alpha):
    draws = _cutmix_draws(Recipe(cutmix=alpha), 0, 0, IDS)
    lam, y, x = (np.asarray(v) for v in draws)
    assert lam.min() >= 0 and lam.max() <= 1
    # Beta(a, a): mean 1/2, variance 1 / (4 (2a + 1)).
    variance = 1 / (4 * (2 * alpha + 1))
    assert abs(lam.mean() - 0.5) < 4 * math.sqrt(variance / len(lam))
    np.testing.assert_allclose(lam.var(), variance, rtol=0.03)
    cells = np.bincount((y * 7 + x) * 2 + (lam < 0.5))
    # 238 expected in each cell, standard deviation 15.
    assert len(cells) == 84
    assert 170 < cells.min() and cells.max() < 310


def test_cutmix_box_hand_worked(monkeypatch):
    draws = jnp.float32(0.75), jnp.int32(0), jnp.int32(7)
    monkeypatch.setattr(MODULE, "cutmix_draw", lambda *_: draws)
    box = augment.cutmix_box(Recipe(cutmix=1.0), 0, 0, 0, 8, 8)
    assert [int(v) for v in box[:4]] == [0, 2, 5, 8]
    assert float(box.keep) == 58 / 64


def test_cutmix_box_keeps_exactly_all_or_nothing(monkeypatch):
    # 1 / 60 and 1 / 62 round so that 60 / 60 or 62 / 62 may miss 1 when compiled.
    monkeypatch.setattr(MODULE, "cutmix_draw", lambda *numbers: numbers[1:4])

    @jax.jit(static_argnums=(3, 4))
    def keep(lam, y, x, height, width):
        recipe = Recipe(cutmix=1.0)
        return augment.cutmix_box(recipe, lam, y, x, height, width).keep

    for height, width in ((2, 94), (10, 6), (2, 82), (6, 10)):
        assert keep(1.0, 1, 1, height, width) == 1.0
    for size in (2, 6, 10, 14):
        assert keep(0.0, size // 2, size // 2, size, size) == 0.0


def test_cutmix_keeps_the_fraction_it_says():
    boxes = _boxes(Recipe(cutmix=1.0), 0, 0, IDS)
    ones = jnp.ones((len(IDS), 6, 7, 1))
    mixed = jax.vmap(augment.cutmix)(boxes, ones, jnp.zeros_like(ones))
    np.testing.assert_allclose(mixed.mean((1, 2, 3)), boxes.keep, atol=1e-6)
    assert boxes.keep.min() < 0.5 and boxes.keep.max() == 1


def test_cutmix_pastes_pixel_by_pixel():
    rng = np.random.default_rng(0)
    image, partner = rng.integers(0, 256, (2, HEIGHT, WIDTH, 3)).astype(np.float32)
    mixed = np.asarray(augment.cutmix(Box(1, 4, 2, 7, 0.0), image, partner))
    for i in range(HEIGHT):
        for j in range(WIDTH):
            source = partner if 1 <= i < 4 and 2 <= j < 7 else image
            np.testing.assert_array_equal(mixed[i, j], source[i, j])
    empty = augment.cutmix(Box(3, 3, 2, 7, 1.0), image, partner)
    np.testing.assert_array_equal(empty, image)


def test_cutmix_box_vmap_and_jit_equal_an_eager_loop():
    recipe = Recipe(cutmix=1.0)
    boxes = _boxes(recipe, 3, 1, IDS)
    for k in range(3):
        box = augment.cutmix_box(recipe, 3, 1, IDS[k], 6, 7)
        np.testing.assert_allclose([v[k] for v in boxes], list(box), rtol=1e-6)


def test_cutmix_box_needs_cutmix():
    with pytest.raises(InputError, match="augment.cutmix: found 0"):
        augment.cutmix_box(Recipe(), 0, 0, 0, 8, 8)


def test_cutmix_boxes_do_not_change():
    # Teacher labels are stored for these draws: a change makes every store wrong.
    boxes = _boxes(Recipe(cutmix=1.0), 11, 3, IDS)
    assert np.stack(boxes[:4])[:, :6].tolist() == [
        [0, 2, 0, 2, 2, 2],
        [0, 6, 0, 6, 6, 2],
        [2, 0, 3, 0, 0, 0],
        [2, 2, 3, 3, 3, 1],
    ]
