"""Patch shuffle against lists of strips, its draws, and its place in a view."""

import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from ddjax.data import augment
from ddjax.data.augment import Draw, Recipe, Strips, destination, draw_strips
from ddjax.errors import InputError
from ddjax.problem import open_problem
from ddjax.settings import from_config

HEIGHT, WIDTH = 8, 11  # three strips leave remainders of both
IDS = jnp.arange(6000) + 50

_render = jax.jit(augment.render, static_argnums=0)


@jax.jit(static_argnums=0)
def _strips(recipe, seed, epoch, ids):
    lifted = jax.vmap(draw_strips, in_axes=(None, None, None, 0))
    return lifted(recipe, seed, epoch, ids)


def _image(seed=0, shape=(HEIGHT, WIDTH, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def _shuffled(image, strips):
    """Columns and then rows, cut in a list and put together in the new order."""
    for axis, places in ((1, strips.columns), (0, strips.rows)):
        count = len(places)
        width = image.shape[axis] // count
        parts = np.split(image, [width * k for k in range(1, count)], axis)
        order = np.argsort(np.asarray(places))
        image = np.concatenate([parts[k] for k in order], axis)
    return image


@pytest.mark.parametrize("factor", [2, 3, 8])
def test_render_equals_lists_of_strips(factor):
    recipe = Recipe(patch_shuffle=factor)
    drawn = _strips(recipe, 0, 0, IDS)
    seen = set()
    for k in range(6):
        strips = Strips(drawn.rows[k], drawn.columns[k])
        image = _image(k)
        result = _render(recipe, Draw(None, None, None, strips), image)
        assert result.dtype == jnp.float32
        np.testing.assert_array_equal(result, _shuffled(image, strips))
        seen.add(tuple(strips.columns.tolist()))
    assert len(seen) > 1


def test_render_hand_worked():
    # 1 2 3 cut in 1 | 2 3; the wider strip goes to the front, the rows stay.
    image = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)[:, :, None]
    strips = Strips(np.array([0, 1]), np.array([1, 0]))
    assert destination(strips.columns, 3).tolist() == [2, 0, 1]
    result = _render(Recipe(patch_shuffle=2), Draw(None, None, None, strips), image)
    assert result[:, :, 0].tolist() == [[2, 3, 1], [5, 6, 4]]
    strips = Strips(np.array([1, 0]), np.array([0, 1]))
    result = _render(Recipe(patch_shuffle=2), Draw(None, None, None, strips), image)
    assert result[:, :, 0].tolist() == [[4, 5, 6], [1, 2, 3]]


@pytest.mark.parametrize(
    ("changes", "window"),
    [
        ({"pad": 2, "flip": True}, (0, 3)),
        ({"pad": 2}, (4, 1)),
        ({"flip": True}, None),
        ({"resized_crop": (0.3, 1.0), "flip": True}, (1, 2, 6, 7)),
    ],
)
def test_render_shuffles_before_it_crops_and_mirrors(changes, window):
    image = _image()
    strips = Strips(np.array([2, 0, 1]), np.array([1, 2, 0]))
    drawn = Draw(window, True, None, strips)
    result = _render(Recipe(patch_shuffle=3, **changes), drawn, image)
    shuffled = _shuffled(image, strips)
    expected = _render(Recipe(**changes), drawn._replace(strips=None), shuffled)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-3)
    if "resized_crop" not in changes:
        np.testing.assert_array_equal(result, expected)


def test_view_draws_and_renders_the_same_for_any_batch():
    recipe = Recipe(patch_shuffle=3)
    images = np.stack([_image(k) for k in range(5)])
    lifted = jax.vmap(augment.view, in_axes=(None, None, None, 0, 0))
    together = jax.jit(lifted, static_argnums=0)(recipe, 4, 2, IDS[:5], images)
    alone = jax.jit(augment.view, static_argnums=0)(recipe, 4, 2, IDS[3], images[3])
    np.testing.assert_array_equal(together[3], alone)
    drawn = _strips(recipe, 4, 2, IDS)
    for k in range(5):
        strips = Strips(drawn.rows[k], drawn.columns[k])
        np.testing.assert_array_equal(together[k], _shuffled(images[k], strips))


def test_draw_strips_is_uniform_over_pairs_of_permutations():
    drawn = _strips(Recipe(patch_shuffle=3), 0, 0, IDS)
    pairs = np.concatenate([drawn.rows, drawn.columns], axis=1)
    counts = collections.Counter(map(tuple, pairs.tolist()))
    assert len(counts) == 36
    for pair in counts:
        assert sorted(pair[:3]) == sorted(pair[3:]) == [0, 1, 2]
    # 167 expected of each, standard deviation 13.
    assert 110 < min(counts.values()) and max(counts.values()) < 225


def test_the_other_draws_stay_what_they_are_without_it():
    recipe, other = Recipe(pad=2, flip=True), Recipe(2, None, True, patch_shuffle=2)
    draw = jax.jit(augment.draw, static_argnums=(0, 4, 5))
    drawn = draw(recipe, 1, 2, 3, HEIGHT, WIDTH)
    assert drawn.strips is None
    assert draw(other, 1, 2, 3, HEIGHT, WIDTH)[:3] == drawn[:3]


def test_draws_do_not_change():
    # Teacher labels are stored for these draws: a change makes every store wrong.
    drawn = _strips(Recipe(patch_shuffle=3), 11, 3, IDS)
    assert drawn.rows[:3].tolist() == [[2, 0, 1], [1, 2, 0], [1, 0, 2]]
    assert drawn.columns[:3].tolist() == [[2, 1, 0], [0, 2, 1], [0, 1, 2]]


@pytest.mark.parametrize("value", [-2, 1, 1.5, "2"])
def test_recipe_refuses_a_wrong_value(value):
    with pytest.raises(InputError, match=f"^augment.patch_shuffle: found {value!r}"):
        Recipe(patch_shuffle=value)


def test_draw_refuses_more_strips_than_pixels():
    message = "augment.patch_shuffle: found 9, allowed is at most .* 8 x 11 pixels"
    with pytest.raises(InputError, match=message):
        augment.draw(Recipe(patch_shuffle=9), 0, 0, 0, HEIGHT, WIDTH)


def test_settings_name_the_regimes_that_are_shuffled(tmp_path):
    source = tiny.write(tmp_path / "tiny.npz")
    context = open_problem(from_config(tiny.config(source, augment__patch_shuffle=2)))
    assert context.recipe("soft_kd") == Recipe(patch_shuffle=2)
    assert context.recipe("hard") == Recipe()
    regimes = ("hard", "soft")
    config = tiny.config(
        source, augment__patch_shuffle=2, augment__patch_shuffle_regimes=regimes
    )
    context = open_problem(from_config(config))
    assert context.recipe("hard") == Recipe(patch_shuffle=2)
    assert context.recipe("soft_kd") == Recipe()
    config = tiny.config(source, augment__patch_shuffle_regimes=("kd",))
    with pytest.raises(InputError, match="augment.patch_shuffle_regimes: found 'kd'"):
        from_config(config)
    context = open_problem(from_config(tiny.config(source, augment__patch_shuffle=99)))
    with pytest.raises(InputError, match="augment.patch_shuffle: found 99"):
        context.recipe("soft_kd")
