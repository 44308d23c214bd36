"""Colour jitter and lighting against torchvision's rules by hand, and their draws."""

import colorsys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from ddjax.data import augment
from ddjax.data.augment import Draw, Recipe
from ddjax.data.augment.color import ColorDraw, apply_color, draw_color
from ddjax.errors import InputError
from ddjax.problem import open_problem
from ddjax.settings import from_config

HEIGHT, WIDTH = 4, 5
IDS = jnp.arange(20000) + 50
JITTER = Recipe(color_jitter=(0.4, 0.3, 0.2))
BOTH = Recipe(color_jitter=(0.4, 0.4, 0.4), lighting=0.1)
LUMA = np.array([0.299, 0.587, 0.114])

_apply = jax.jit(apply_color, static_argnums=0)
_view = jax.jit(augment.view, static_argnums=0)


@jax.jit(static_argnums=0)
def _draws(recipe, seed, epoch, ids):
    lifted = jax.vmap(draw_color, in_axes=(None, None, None, 0))
    return lifted(recipe, seed, epoch, ids)


def _image(seed=0, shape=(HEIGHT, WIDTH, 3)):
    return np.random.default_rng(seed).uniform(0, 255, shape).astype(np.float32)


def _blend(image, other, factor):
    return factor * image + (1 - factor) * other


def _grey(image):
    return np.broadcast_to((image @ LUMA)[..., None], image.shape)


STEPS = {
    "brightness": lambda image, factor: _blend(image, 0.0, factor),
    "contrast": lambda image, factor: _blend(image, _grey(image).mean(), factor),
    "saturation": lambda image, factor: _blend(image, _grey(image), factor),
}


@pytest.mark.parametrize(
    "order",
    [
        ("brightness", "contrast", "saturation"),
        ("saturation", "contrast", "brightness"),
        ("contrast", "saturation", "brightness"),
    ],
)
def test_jitter_is_three_blends_in_any_order(order):
    factors = dict(zip(STEPS, (1.3, 0.6, 1.4), strict=True))
    image = _image()
    expected = image.astype(np.float64)
    for name in order:
        expected = STEPS[name](expected, factors[name])
    drawn = ColorDraw(jnp.array([1.3, 0.6, 1.4]), jnp.full(3, 99.0))
    found = np.asarray(_apply(JITTER, drawn, image))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert np.abs(found - image).max() > 10


def test_saturation_zero_is_grey_and_keeps_the_luma():
    drawn = ColorDraw(jnp.array([1.0, 1.0, 0.0]), jnp.zeros(3))
    found = np.asarray(_apply(JITTER, drawn, _image()))
    for pixel, before in zip(
        found.reshape(-1, 3), _image().reshape(-1, 3), strict=True
    ):
        assert colorsys.rgb_to_hsv(*(pixel / 255))[1] < 1e-5
        assert pixel[0] == pytest.approx(before @ LUMA, abs=1e-3)


def test_a_grey_image_has_brightness_and_contrast():
    image = np.array([[10.0, 30.0]], np.float32).reshape(1, 2, 1)
    drawn = ColorDraw(jnp.array([2.0, 0.5, 0.0]), jnp.zeros(3))
    # Half of the distance from the mean, 20, then doubled.
    found = np.asarray(_apply(JITTER, drawn, image)).ravel()
    np.testing.assert_allclose(found, [30.0, 50.0], rtol=1e-6)


def test_lighting_adds_one_colour_to_all_pixels():
    recipe = Recipe(lighting=0.1)
    drawn = ColorDraw(jnp.full(3, 7.0), jnp.array([1.0, -2.0, 3.0]))
    found = np.asarray(_apply(recipe, drawn, _image()))
    np.testing.assert_allclose(
        found - _image(), np.broadcast_to([1, -2, 3], (4, 5, 3)), atol=1e-4
    )


def test_factors_are_uniform_around_one():
    factors = np.asarray(_draws(JITTER, 0, 0, IDS).factors)
    for column, reach in enumerate(JITTER.color_jitter):
        found = (factors[:, column] - 1) / reach
        assert -1 <= found.min() < -0.99 and 0.99 < found.max() <= 1
        # Mean and variance of a uniform number in (-1, 1), to four deviations.
        assert abs(found.mean()) < 4 / np.sqrt(3 * len(IDS))
        assert found.var() == pytest.approx(1 / 3, abs=0.01)
    assert np.abs(np.corrcoef(factors.T) - np.eye(3)).max() < 0.04
    assert (np.asarray(_draws(JITTER, 0, 0, IDS).shift) == 0).all()


def test_shifts_have_the_covariance_of_imagenets_directions():
    found = _draws(Recipe(lighting=0.1), 0, 0, IDS)
    assert (np.asarray(found.factors) == 1).all()
    # Almost all of it lies along the first direction, which is nearly grey:
    # 255 * 0.1 * 0.2175 = 5.546 pixels.
    shift = np.asarray(found.shift)
    values, vectors = np.linalg.eigh(np.cov(shift.T))
    deviations = np.sqrt(values[::-1])
    expected = 25.5 * np.array([0.2175, 0.0188, 0.0045])
    np.testing.assert_allclose(deviations, expected, rtol=0.03)
    first = vectors[:, 2] * -np.sign(vectors[0, 2])
    np.testing.assert_allclose(first, [-0.5675, -0.5808, -0.5836], atol=0.005)
    second = vectors[:, 1] * np.sign(vectors[0, 1])
    np.testing.assert_allclose(second, [0.7192, -0.0045, -0.6948], atol=0.02)
    np.testing.assert_allclose(shift.mean(axis=0), 0, atol=4 * 3.2 / np.sqrt(len(IDS)))


def test_draws_are_functions_of_seed_epoch_and_id():
    found = _draws(BOTH, 3, 4, IDS[:4])
    for other in ((2, 4), (3, 5)):
        again = _draws(BOTH, *other, IDS[:4])
        for a, b in zip(found, again, strict=True):
            assert (np.asarray(a) != np.asarray(b)).all()
    turned = _draws(BOTH, 3, 4, IDS[:4][::-1])
    for a, b in zip(found, turned, strict=True):
        np.testing.assert_array_equal(a, b[::-1])


def test_draws_do_not_change():
    # Teacher labels are stored for these draws: a change makes every store wrong.
    recipe = Recipe(color_jitter=(0.4, 0.3, 0.2), lighting=0.1)
    drawn = draw_color(recipe, 11, 3, 50)
    np.testing.assert_allclose(drawn.factors, [0.7183, 1.0517, 1.0564], atol=1e-4)
    np.testing.assert_allclose(drawn.shift, [-2.710, -2.727, -2.389], atol=1e-3)


def test_colours_change_after_the_crop_and_leave_other_draws_alone():
    recipe = Recipe(resized_crop=(0.3, 0.5), flip=True)
    colored = Recipe(0, (0.3, 0.5), True, color_jitter=(0.9, 0.9, 0.9), lighting=0.1)
    image = _image(shape=(8, 8, 3))
    placed = np.asarray(_view(recipe, 0, 1, 2, image))
    drawn = draw_color(colored, 0, 1, 2)
    # The mean grey is that of what is shown.
    expected = _apply(colored, drawn, placed)
    found = _view(colored, 0, 1, 2, image)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3)
    assert np.abs(found - placed).max() > 1


def test_neutral_numbers_change_nothing():
    drawn = ColorDraw(jnp.ones(3), jnp.zeros(3))
    found = augment.render(BOTH, Draw(None, None, None, color=drawn), _image())
    np.testing.assert_array_equal(found, _image())


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"color_jitter": (0.4, 0.4)}, "augment.color_jitter: found .* saturation.$"),
        ({"color_jitter": (0.4, 0.4, 1.5)}, "augment.color_jitter: found .*1.5"),
        ({"lighting": -0.1}, "augment.lighting: found -0.1, allowed is a number"),
    ],
)
def test_recipes_that_cannot_be_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        Recipe(**changes)


def test_colours_that_are_not_there_are_refused():
    grey = _image(shape=(HEIGHT, WIDTH, 1))
    with pytest.raises(InputError, match="augment.lighting: found 0.1 .* 1 channels"):
        augment.view(BOTH, 0, 0, 0, grey)
    two = _image(shape=(HEIGHT, WIDTH, 2))
    with pytest.raises(InputError, match="augment.color_jitter: .* 2 channels"):
        augment.view(JITTER, 0, 0, 0, two)


def test_later_fields_are_told_only_where_they_are_on():
    before = Recipe(flip=True).used()
    assert not {"color_jitter", "lighting"} & before.keys()
    on = {"color_jitter": (0.4, 0.3, 0.2), "lighting": 0.1}
    assert Recipe(flip=True, **on).used() == before | on


def test_settings_reach_the_recipe(tmp_path):
    source = tiny.write(tmp_path / "tiny.npz")
    config = tiny.config(source, augment__color_jitter=(0.4, 0.3, 0.2))
    context = open_problem(from_config(config))
    assert context.recipe("hard") == JITTER
    assert context.recipe("soft_kd").color_jitter == JITTER.color_jitter
    config.augment.lighting = 0.1  # the source is grey
    context = open_problem(from_config(config))
    with pytest.raises(InputError, match="augment.lighting: found 0.1"):
        context.recipe("hard")
    config.augment.color_jitter = (0.4,)
    with pytest.raises(InputError, match="augment.color_jitter: found"):
        from_config(config)
