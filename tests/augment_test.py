"""Augmentation against per-pixel NumPy references, and the rules of its draws."""

import collections
import dataclasses
import math
import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddjax.data import augment
from ddjax.data.augment import Draw, Dsa, Recipe
from ddjax.errors import InputError

HEIGHT, WIDTH = 8, 24
PAD = Recipe(pad=2, flip=True)
RESIZED = Recipe(resized_crop=(0.3, 1.0), flip=True)
FLIP = Recipe(flip=True)
# Compiling is what costs time: tests share shapes, and draws are made for all ids.
IDS = jnp.arange(20000) + 50


def _images(count=12, height=HEIGHT, width=WIDTH, channels=3, seed=0):
    shape = (count, height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@jax.jit(static_argnums=0)
def _views(recipe, seed, epochs, ids, images):
    lifted = jax.vmap(augment.view, in_axes=(None, None, 0, 0, 0))
    return lifted(recipe, seed, epochs, ids, images)


@jax.jit(static_argnums=0)
def _offsets(recipe, seed, epoch, ids):
    lifted = jax.vmap(augment.crop_offset, in_axes=(None, None, None, 0))
    return lifted(recipe, seed, epoch, ids)


@jax.jit
def _coins(seed, epoch, ids):
    return jax.vmap(augment.flip_coin, in_axes=(None, None, 0))(seed, epoch, ids)


@jax.jit(static_argnums=(0, 4, 5))
def _windows(recipe, seed, epoch, ids, height=HEIGHT, width=WIDTH):
    axes = (None, None, None, 0, None, None)
    lifted = jax.vmap(augment.resized_crop_window, in_axes=axes)
    return lifted(recipe, seed, epoch, ids, height, width)


_render = jax.jit(augment.render, static_argnums=0)


def _resized(image, y0, x0, height, width):
    """Bilinear, half-pixel centres, clamped to the window's edge; pixel by pixel."""
    full_height, full_width, channels = image.shape
    window = image[y0 : y0 + height, x0 : x0 + width].astype(np.float64)
    out = np.zeros(image.shape)
    for i in range(full_height):
        for j in range(full_width):
            y = min(max((i + 0.5) * height / full_height - 0.5, 0), height - 1)
            x = min(max((j + 0.5) * width / full_width - 0.5, 0), width - 1)
            top, left = math.floor(y), math.floor(x)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            for c in range(channels):
                upper = window[top, left, c] * (1 - x + left)
                upper += window[top, right, c] * (x - left)
                lower = window[bottom, left, c] * (1 - x + left)
                lower += window[bottom, right, c] * (x - left)
                out[i, j, c] = upper * (1 - y + top) + lower * (y - top)
    return out


def _shifted(image, y0, x0, pad):
    out = np.zeros(image.shape)
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            y, x = i + y0 - pad, j + x0 - pad
            if 0 <= y < image.shape[0] and 0 <= x < image.shape[1]:
                out[i, j] = image[y, x]
    return out


def _close(actual, expected):
    # 255 * a few float32 roundings of a position near 24.
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-3)


def _same_distribution(left, right):
    """Two samples of hashable outcomes, compared by a chi-square of their counts."""
    assert len(left) == len(right)
    counts, others = collections.Counter(left), collections.Counter(right)
    statistic, cells = 0.0, 0
    for outcome in counts.keys() | others.keys():
        a, b = counts[outcome], others[outcome]
        if a + b >= 20:
            statistic += (a - b) ** 2 / (a + b)
            cells += 1
    # Mean and standard deviation of a chi-square with as many degrees of freedom.
    assert statistic < cells + 4 * math.sqrt(2 * cells), (statistic, cells)


@pytest.mark.parametrize("recipe", [PAD, RESIZED])
@pytest.mark.parametrize("seed", range(3))
def test_view_equals_slow_reference(recipe, seed):
    images = _images(seed=seed)
    result = np.asarray(
        _views(recipe, seed, np.full(12, 5, np.int32), IDS[:12], images)
    )
    assert result.dtype == np.float32
    if recipe.pad:
        drawn = np.stack(_offsets(recipe, seed, 5, IDS), axis=1)
        expected = [_shifted(images[k], *drawn[k], recipe.pad) for k in range(12)]
    else:
        drawn = np.stack(_windows(recipe, seed, 5, IDS), axis=1)
        expected = [_resized(images[k], *drawn[k]) for k in range(12)]
    for k, coin in enumerate(np.asarray(_coins(seed, 5, IDS))[:12]):
        _close(result[k], expected[k][:, ::-1] if coin else expected[k])


def test_render_resized_crop_hand_worked():
    image = np.array([[9, 9, 9, 9], [0, 100, 9, 9]], np.uint8)[:, :, None]
    drawn = Draw((1, 0, 1, 2), None, None)
    result = _render(Recipe(resized_crop=(0.5, 1.0)), drawn, image)
    np.testing.assert_allclose(result[:, :, 0], [[0, 25, 75, 100]] * 2)


def test_render_pad_hand_worked():
    image = np.array([[1, 2], [3, 4]], np.uint8)[:, :, None]
    drawn = Draw((2, 0), True, None)
    result = _render(Recipe(pad=1), drawn, image)
    np.testing.assert_array_equal(result[:, :, 0], [[0, 3], [0, 0]])
    result = _render(Recipe(pad=1, flip=True), drawn, image)
    np.testing.assert_array_equal(result[:, :, 0], [[3, 0], [0, 0]])


def test_render_of_the_whole_window_is_the_image():
    image = _images(1)[0]
    drawn = Draw((0, 0, HEIGHT, WIDTH), None, None)
    result = _render(Recipe(resized_crop=(0.5, 1.0)), drawn, image)
    np.testing.assert_array_equal(result, image)


def test_view_identity_recipe_returns_the_image():
    image = _images(1)[0]
    result = augment.view(Recipe(), 3, 4, 5, image)
    assert result.dtype == jnp.float32
    np.testing.assert_array_equal(result, image)


def test_view_resized_crop_keeps_a_constant_image_and_the_range():
    epochs = jnp.arange(12)
    constant = np.full((12, HEIGHT, WIDTH, 3), 255, np.uint8)
    _close(_views(RESIZED, 1, epochs, IDS[:12], constant), constant)
    images = _images() // 2 + 50
    result = np.asarray(_views(RESIZED, 1, epochs, IDS[:12], images))
    assert (result >= images.min((1, 2), keepdims=True) - 1e-3).all()
    assert (result <= images.max((1, 2), keepdims=True) + 1e-3).all()


def test_view_flip_mirrors_by_the_coin_and_twice_is_the_image():
    images, zeros = _images(), jnp.zeros(12, int)
    once = np.asarray(_views(FLIP, 0, zeros, IDS[:12], images)).astype(np.uint8)
    coins = np.asarray(_coins(0, 0, IDS))[:12]
    assert 0 < coins.sum() < 12
    np.testing.assert_array_equal(once[coins], images[coins][:, :, ::-1])
    np.testing.assert_array_equal(once[~coins], images[~coins])
    np.testing.assert_array_equal(_views(FLIP, 0, zeros, IDS[:12], once), images)


@pytest.mark.parametrize("recipe", [PAD, RESIZED])
def test_view_does_not_depend_on_batch_or_order(recipe):
    images, ids, epochs = _images(), IDS[:12], jnp.arange(12) % 3
    together = np.asarray(_views(recipe, 1, epochs, ids, images))
    order = np.random.default_rng(0).permutation(12)
    shuffled = _views(recipe, 1, epochs[order], ids[order], images[order])
    _close(shuffled, together[order])
    if recipe == RESIZED:
        part = slice(3, 8)
        alone = _views(recipe, 1, epochs[part], ids[part], images[part])
        _close(alone, together[part])


@pytest.mark.parametrize("recipe", [PAD, RESIZED])
def test_view_vmap_and_jit_equal_an_eager_loop_over_float_images(recipe):
    images = _images()
    ids, epochs = IDS[:12].at[1].set(2**31 - 1), jnp.arange(12)
    lifted = np.asarray(_views(recipe, 2, epochs, ids, images))
    for k in range(2):
        image = images[k].astype(np.float32)
        _close(lifted[k], augment.view(recipe, 2, epochs[k], ids[k], image))


@pytest.mark.parametrize("recipe", [PAD, RESIZED])
def test_view_differs_with_seed_epoch_and_id(recipe):
    images = np.broadcast_to(_images(1), (12, HEIGHT, WIDTH, 3))
    numbers, ones = jnp.arange(12), jnp.ones(12, int)
    by_id = np.asarray(_views(recipe, 1, ones, numbers, images))
    by_epoch = np.asarray(_views(recipe, 1, numbers, ones, images))
    other_seed = np.asarray(_views(recipe, 2, ones, numbers, images))
    np.testing.assert_array_equal(by_id[1], by_epoch[1])
    for views in (by_id, by_epoch):
        # Drawn from 50 views or more.
        assert len(np.unique(views.reshape(12, -1), axis=0)) >= 8
    for others in (by_epoch, other_seed):
        assert np.isclose(by_id, others).all(axis=(1, 2, 3)).sum() <= 3


def test_draw_holds_what_the_recipe_asks_for_and_render_shows_it():
    image, numbers = _images(1)[0].astype(np.float32), (2, 3, 55)
    assert augment.draw(Recipe(), *numbers, HEIGHT, WIDTH) == (None,) * 8
    recipe = Recipe(pad=2, cutmix=1.0)
    drawn = augment.draw(recipe, *numbers, HEIGHT, WIDTH)
    assert drawn.window == augment.crop_offset(recipe, *numbers)
    assert drawn.flip is None
    assert drawn.box == augment.cutmix_box(recipe, *numbers, HEIGHT, WIDTH)
    # CutMix is no part of a view.
    rendered = augment.render(recipe, drawn, image)
    view = augment.view(Recipe(pad=2), *numbers, image)
    np.testing.assert_array_equal(rendered, view)


def test_draws_do_not_change():
    # Teacher labels are stored for these draws: a change makes every store wrong.
    offsets, windows = _offsets(PAD, 11, 3, IDS), _windows(RESIZED, 11, 3, IDS)
    first_six = [np.stack(v)[:, :6].tolist() for v in (offsets, windows)]
    assert first_six == [
        [[1, 3, 1, 3, 4, 0], [4, 0, 2, 2, 0, 3]],
        [
            [1, 0, 0, 0, 0, 1],
            [2, 6, 0, 6, 1, 3],
            [7, 8, 7, 8, 8, 7],
            [9, 11, 9, 11, 8, 8],
        ],
    ]
    assert _coins(11, 3, IDS)[:6].tolist() == [False, True, False, True, True, True]


def test_draws_do_not_depend_on_the_default_generator():
    expected = augment.crop_offset(PAD, 0, 0, 7), augment.flip_coin(0, 0, 7)
    with jax.default_prng_impl("rbg"):
        found = augment.crop_offset(PAD, 0, 0, 7), augment.flip_coin(0, 0, 7)
    assert found == expected


def test_crop_offset_and_flip_coin_are_uniform_and_independent():
    y, x = (np.asarray(v) for v in _offsets(PAD, 0, 0, IDS))
    coins = np.asarray(_coins(0, 0, IDS))
    assert y.dtype == x.dtype == np.int32
    assert y.min() == x.min() == 0 and y.max() == x.max() == 4
    cells = np.bincount((y * 5 + x) * 2 + coins)
    # 400 expected in each cell, standard deviation 20.
    assert len(cells) == 50
    assert 310 < cells.min() and cells.max() < 490


def test_resized_crop_window_follows_the_ten_tries_rule():
    generator = random.Random(0)

    def draw():
        for _ in range(10):
            area = HEIGHT * WIDTH * generator.uniform(0.3, 1)
            ratio = math.exp(generator.uniform(math.log(3 / 4), math.log(4 / 3)))
            h, w = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
            if 0 < h <= HEIGHT and 0 < w <= WIDTH:
                y, x = generator.randint(0, HEIGHT - h), generator.randint(0, WIDTH - w)
                return y, x, h, w
        return 0, 6, 8, 11

    windows = np.stack(_windows(RESIZED, 1, 0, IDS), axis=1)
    windows = [tuple(window) for window in windows.tolist()]
    expected = [draw() for _ in windows]
    # The fallback is common here, and so the number of tries visible.
    fallbacks = expected.count((0, 6, 8, 11))
    share = fallbacks / len(expected)
    assert 0.1 < share < 0.9
    spread = math.sqrt(2 * len(expected) * share * (1 - share))
    assert abs(windows.count((0, 6, 8, 11)) - fallbacks) < 4 * spread
    _same_distribution(windows, expected)


def test_resized_crop_window_lies_inside_with_its_area_and_ratio():
    y0, x0, h, w = (np.asarray(v) for v in _windows(RESIZED, 0, 0, IDS))
    assert y0.dtype == x0.dtype == h.dtype == w.dtype == np.int32
    assert y0.min() == x0.min() == 0
    assert (y0 + h).max() == HEIGHT and (x0 + w).max() == WIDTH
    # The exact sides are within half a pixel of the rounded ones.
    assert ((h + 0.5) * (w + 0.5) / (HEIGHT * WIDTH) > 0.3).all()
    assert ((w - 0.5) / (h + 0.5) < 4 / 3).all()
    assert ((w + 0.5) / (h - 0.5) > 3 / 4).all()


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((4, 64), (0, 29, 4, 5)), ((50, 3), (23, 0, 4, 3)), ((9, 9), (0, 0, 9, 9))],
)
def test_resized_crop_window_falls_back_to_the_central_one(shape, expected):
    # The whole area at an aspect ratio near 1 fits none but the square, as a whole.
    recipe = Recipe(resized_crop=(1.0, 1.0))
    for example_id in range(3):
        window = augment.resized_crop_window(recipe, 0, 0, example_id, *shape)
        assert tuple(int(v) for v in window) == expected


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("pad", -1),
        ("pad", 1.5),
        ("resized_crop", (0.0, 1.0)),
        ("resized_crop", (0.5, 0.4)),
        ("resized_crop", (0.5, 1.1)),
        ("resized_crop", (0.5, math.nan)),
        ("resized_crop", (0.5,)),
        ("resized_crop", 0.5),
        ("resized_crop", ("0.5", "1")),
        ("resized_crop", ()),
        ("cutmix", -0.1),
        ("cutmix", math.nan),
        ("cutmix", math.inf),
        ("cutmix", "1"),
    ],
)
def test_recipe_refuses_a_wrong_value(field, value):
    # Of a tuple, the number that is wrong.
    with pytest.raises(InputError, match=f"^augment.{field}: found .*, allowed is "):
        Recipe(**{field: value})


def test_recipe_refuses_two_crops():
    with pytest.raises(InputError, match="augment.resized_crop: .* augment.pad = 2"):
        Recipe(pad=2, resized_crop=(0.5, 1.0))


def test_recipe_is_hashable_from_a_list():
    recipe = Recipe(resized_crop=[0.5, 1.0])
    assert recipe == Recipe(resized_crop=(0.5, 1.0))
    assert hash(recipe) == hash(Recipe(resized_crop=(0.5, 1.0)))


def test_recipe_used_tells_later_fields_only_where_they_are_on():
    # Artifacts' addresses are made of it: those of older runs must stay.
    old = {"pad": 2, "resized_crop": None, "flip": True, "cutmix": 1.0}
    recipe = Recipe(pad=2, flip=True, cutmix=1.0)
    assert recipe.used() == old
    shuffled = dataclasses.replace(recipe, patch_shuffle=2)
    assert shuffled.used() == old | {"patch_shuffle": 2}
    dsa = {"operations": ("crop",), "mean": (0.5,), "std": (0.2,)}
    off = {"pad": 0, "resized_crop": None, "flip": False, "cutmix": 0.0}
    assert Recipe(dsa=Dsa(**dsa)).used() == off | {"dsa": dsa}
