"""AutoAugment and RandAugment: operations against Pillow and loops, and their draws."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from ddjax.data import augment
from ddjax.data.augment import Recipe, policy
from ddjax.data.augment.policy import OPERATIONS, PolicyDraw
from ddjax.errors import InputError

SIDE = 24
IDS = jnp.arange(20000)
RNG = np.random.default_rng(0)
# Few values, many of them alike: what stretches and equalises has something to do.
COLOR = (RNG.integers(40, 150, (SIDE, SIDE, 3)) // 7 * 7).astype(np.uint8)
_apply = jax.jit(policy.apply_policy)
_views = jax.jit(
    jax.vmap(augment.view, in_axes=(None, None, None, 0, None)), static_argnums=0
)


def applied(name, magnitude=0.0, image=COLOR):
    drawn = PolicyDraw(
        jnp.array([OPERATIONS.index(name)]), jnp.array([magnitude], jnp.float32)
    )
    found = np.asarray(_apply(drawn, image.astype(np.float32)))
    assert found.dtype == np.float32 and found.shape == image.shape
    return found


PILLOW = {
    ("brightness", 0.4): lambda i: ImageEnhance.Brightness(i).enhance(1.4),
    ("brightness", -0.3): lambda i: ImageEnhance.Brightness(i).enhance(0.7),
    ("color", -0.6): lambda i: ImageEnhance.Color(i).enhance(0.4),
    ("contrast", 0.8): lambda i: ImageEnhance.Contrast(i).enhance(1.8),
    ("sharpness", 0.9): lambda i: ImageEnhance.Sharpness(i).enhance(1.9),
    ("posterize", 5.0): lambda i: ImageOps.posterize(i, 5),
    ("solarize", 90.0): lambda i: ImageOps.solarize(i, 90),
    ("autocontrast", 0.0): ImageOps.autocontrast,
    ("equalize", 0.0): ImageOps.equalize,
    ("invert", 0.0): ImageOps.invert,
    ("identity", 0.0): lambda i: i,
}


@pytest.mark.parametrize(("name", "magnitude"), PILLOW)
def test_changes_of_values_are_pillows(name, magnitude):
    expected = np.asarray(PILLOW[name, magnitude](Image.fromarray(COLOR)), int)
    found = applied(name, magnitude)
    # Pillow rounds where torchvision cuts off, and greys have whole levels there.
    blends = ("brightness", "color", "contrast", "sharpness")
    loose = 3 if name in blends else name == "autocontrast"
    assert np.abs(found - expected).max() <= loose
    assert np.abs(found - COLOR).max() > 3 or name == "identity"


def nearest(source):
    """The image by its pixels' sources (y, x), black from outside."""
    expected = np.zeros(COLOR.shape)
    for y in range(SIDE):
        for x in range(SIDE):
            at = tuple(math.floor(place) for place in source(y + 0.5, x + 0.5))
            if 0 <= min(at) and max(at) < SIDE:
                expected[y, x] = COLOR[at]
    return expected


def turned(y, x):
    half, angle = SIDE / 2, math.radians(20)
    y, x = y - half, x - half
    cos, sin = math.cos(angle), math.sin(angle)
    return cos * y + sin * x + half, cos * x - sin * y + half


MOVES = {
    ("shear_x", 0.23): lambda y, x: (y, x + 0.23 * y),
    ("shear_y", -0.23): lambda y, x: (y - 0.23 * x, x),
    ("translate_x", 5.0): lambda y, x: (y, x - 5),
    ("translate_y", -3.0): lambda y, x: (y + 3, x),
    ("rotate", 20.0): turned,
}


@pytest.mark.parametrize(("name", "magnitude"), MOVES)
def test_moves_take_the_nearest_pixel(name, magnitude):
    expected = nearest(MOVES[name, magnitude])
    np.testing.assert_array_equal(applied(name, magnitude), expected)
    assert (expected == 0).any() and (expected != COLOR).any()


def test_a_turn_of_a_right_angle_is_numpys():
    np.testing.assert_array_equal(applied("rotate", 90.0), np.rot90(COLOR))


def test_flat_and_grey_images_stay_what_they_are():
    flat = np.full_like(COLOR, 77)
    for name in ("autocontrast", "equalize", "sharpness", "contrast"):
        assert (applied(name, 0.5 * (name[0] != "a"), flat) == 77).all(), name
    grey = COLOR[..., :1]
    np.testing.assert_array_equal(applied("color", 0.9, grey), grey)


def test_pixels_become_whole_and_stay_in_their_range():
    image = np.array([[-20.0, 0.7, 254.9, 300.0]]).reshape(1, 4, 1)
    assert applied("identity", image=image).ravel().tolist() == [0, 0, 254, 255]


@pytest.mark.parametrize("name", augment.POLICIES)
def test_draws_are_as_likely_as_they_are_to_be(name):
    draw = jax.vmap(lambda i: policy.draw_policy(name, 0, 0, i, 32, 32))
    operations, magnitudes = map(np.asarray, jax.jit(draw)(IDS))
    shares = {
        own: (operations == place).mean(axis=0) for place, own in enumerate(OPERATIONS)
    }
    error = 4 * math.sqrt(0.25 / len(IDS))
    own = magnitudes[operations == OPERATIONS.index("shear_y")]
    assert abs((own < 0).mean() - 0.5) < 8 * error
    if name == "randaugment":
        assert operations.shape == (len(IDS), 1) and shares["invert"] == 0
        for each in OPERATIONS[:-1]:
            assert abs(shares[each] - 1 / 14) < error, each
        np.testing.assert_allclose(abs(own), 0.3 * 9 / 30, rtol=1e-5)
        bits = magnitudes[operations == OPERATIONS.index("posterize")]
        assert set(bits) == {7.0}  # 8 - round(9 / 30 * 4)
        shifts = magnitudes[operations == OPERATIONS.index("translate_x")]
        assert set(shifts) == {-4.0, 4.0}  # of 150 / 331 * 32 * 9 / 30 = 4.35
    else:
        # Each of the two is in one of the 25 pairs.
        assert operations.shape == (len(IDS), 2)
        np.testing.assert_allclose(shares["posterize"], [0, 0.3 / 25], atol=error)
        np.testing.assert_allclose(shares["rotate"], [0.7 / 25, 0], atol=error)
        found = np.unique(np.abs(own).round(4))
        np.testing.assert_allclose(found, [0.3 * 7 / 9, 0.3 * 8 / 9], atol=1e-4)


def test_a_view_is_the_drawn_operations_in_their_order():
    ids = IDS[:30]
    found = np.asarray(_views(Recipe(policy="autoaugment"), 1, 2, ids, COLOR))
    draw = jax.vmap(lambda i: policy.draw_policy("autoaugment", 1, 2, i, SIDE, SIDE))
    operations, magnitudes = map(np.asarray, jax.jit(draw)(ids))
    for place, view in enumerate(found):
        image = COLOR
        for operation, magnitude in zip(
            operations[place], magnitudes[place], strict=True
        ):
            image = applied(OPERATIONS[operation], magnitude, image)
        np.testing.assert_allclose(view, image, atol=1)
    assert (np.abs(found - COLOR) > 1).any(axis=(1, 2, 3)).mean() > 0.5


def test_a_recipe_without_it_keeps_its_address():
    assert "policy" not in Recipe(pad=2).used()
    assert Recipe(policy="randaugment").used()["policy"] == "randaugment"


def test_wrong_names_channels_and_dsa_beside_it_are_refused():
    with pytest.raises(InputError, match="augment.policy: found 'rand', allowed"):
        Recipe(policy="rand")
    with pytest.raises(InputError, match="augment.policy: .* images of 2 channels"):
        Recipe(policy="randaugment").check(8, 8, 2)
    dsa = augment.Dsa(("crop",), (0.5,), (0.5,))
    with pytest.raises(InputError, match="augment.dsa: .* beside augment.policy"):
        Recipe(dsa=dsa, policy="randaugment")
