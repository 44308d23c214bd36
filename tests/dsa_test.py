"""DSA against per-pixel NumPy on normalised images, and the rules of its draws."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from ddjax.data import augment
from ddjax.data.augment import DSA_OPERATIONS, Dsa, Recipe
from ddjax.data.augment.dsa import DsaDraw, apply_dsa, draw_dsa
from ddjax.errors import InputError
from ddjax.problem import open_problem
from ddjax.settings import from_config

HEIGHT, WIDTH = 9, 12  # an odd and an even side of the box that is cut out
MEAN, STD = (0.4, 0.5, 0.3), (0.2, 0.3, 0.25)
ALL = Dsa(DSA_OPERATIONS, MEAN, STD)
IDS = jnp.arange(20000) + 50
NEUTRAL = DsaDraw(
    jnp.eye(2), jnp.zeros(2), jnp.array([0.0, 1.0, 1.0]), jnp.zeros((2, 2), jnp.int32)
)

_apply = jax.jit(apply_dsa, static_argnums=0)


@jax.jit(static_argnums=0)
def _draws(dsa, seed, epoch, ids):
    axes = (None, None, None, 0, None, None)
    lifted = jax.vmap(draw_dsa, in_axes=axes)
    return lifted(dsa, seed, epoch, ids, HEIGHT, WIDTH)


@pytest.fixture(scope="module")
def draws():
    return jax.tree.map(np.asarray, _draws(ALL, 0, 0, IDS))


def _image(seed=0):
    shape = (HEIGHT, WIDTH, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def _chosen(draws):
    """The operation of each draw, as far as it shows, and "" where none does."""
    mirrors = draws.matrix[:, 1, 1] == -1
    turns = draws.matrix[:, 0, 1] != 0
    moved = (draws.matrix != np.eye(2)).any((1, 2))
    found = {
        "color": (draws.colour != [0, 1, 1]).any(1),
        "crop": (draws.shift != 0).any(1),
        "cutout": (draws.box != 0).any((1, 2)),
        "flip": mirrors,
        "rotate": turns,
        "scale": moved & ~turns & ~mirrors,
    }
    assert sum(found.values()).max() == 1
    return {name: np.flatnonzero(found[name]) for name in found}


def _normalised(image):
    return (image / 255.0 - np.array(MEAN)) / np.array(STD)


def _pixels(normalised):
    return 255 * (normalised * np.array(STD) + np.array(MEAN))


def _slow(image, draw):
    """The view pixel by pixel, on normalised pixels, with zeros around the image."""
    source = _normalised(image)
    brightness, saturation, contrast = (float(v) for v in draw.colour)
    source = source + brightness
    grey = source.mean(2, keepdims=True)
    source = (source - grey) * saturation + grey
    source = (source - source.mean()) * contrast + source.mean()

    def pixel(y, x):
        inside = 0 <= y < HEIGHT and 0 <= x < WIDTH
        return source[y, x] if inside else np.zeros(3)

    out = np.zeros(image.shape)
    middle = np.array([HEIGHT - 1, WIDTH - 1]) / 2
    matrix, shift = draw.matrix.astype(float), draw.shift.astype(float)
    (y0, y1), (x0, x1) = draw.box
    for i in range(HEIGHT):
        for j in range(WIDTH):
            y, x = matrix @ (np.array([i, j]) - middle) + shift + middle
            top, left = math.floor(y), math.floor(x)
            for row, down in ((top, 1 - y + top), (top + 1, y - top)):
                for column, right in ((left, 1 - x + left), (left + 1, x - left)):
                    out[i, j] += down * right * pixel(row, column)
            if y0 <= i < y1 and x0 <= j < x1:
                out[i, j] = 0
    return _pixels(out)


@pytest.mark.parametrize("name", DSA_OPERATIONS)
def test_apply_equals_slow_reference(name, draws):
    for k in _chosen(draws)[name][:4]:
        draw, image = jax.tree.map(lambda a, k=k: a[k], draws), _image(k)
        result = _apply(ALL, draw, image)
        assert result.dtype == jnp.float32
        np.testing.assert_allclose(result, _slow(image, draw), rtol=0, atol=2e-3)
        assert np.abs(result - image).max() > 1


@pytest.mark.parametrize("name", DSA_OPERATIONS)
def test_operations_that_were_not_drawn_change_no_value(name):
    image = _image()
    np.testing.assert_array_equal(_apply(ALL, NEUTRAL, image), image)
    alone = Dsa((name,), MEAN, STD)
    np.testing.assert_array_equal(_apply(alone, NEUTRAL, image), image)


def test_apply_hand_worked():
    image = np.array([[0, 100], [200, 40]], np.uint8)[:, :, None]
    dsa = Dsa(DSA_OPERATIONS, (0.2,), (0.1,))

    def shown(**changes):
        changes = {name: jnp.array(value) for name, value in changes.items()}
        return _apply(dsa, NEUTRAL._replace(**changes), image)[:, :, 0]

    flipped = [[100, 0], [40, 200]]
    assert shown(matrix=[[1.0, 0.0], [0.0, -1.0]]).tolist() == flipped
    # What comes from outside and what is cut out is 0.2 * 255 = 51.
    np.testing.assert_allclose(shown(shift=[1.0, 0.0]), [[200, 40], [51, 51]])
    box = [[0, 1], [1, 2]]
    np.testing.assert_allclose(shown(box=box), [[0, 51], [200, 40]])
    # A quarter turn, half a standard deviation, and a mean of 85.
    turned = shown(matrix=[[0.0, 1.0], [-1.0, 0.0]])
    np.testing.assert_allclose(turned, [[100, 40], [0, 200]], atol=1e-4)
    brighter = image[:, :, 0] + 12.75
    np.testing.assert_allclose(shown(colour=[0.5, 1.0, 1.0]), brighter, rtol=1e-5)
    flatter = 85 + 0.5 * (image[:, :, 0] - 85.0)
    np.testing.assert_allclose(shown(colour=[0.0, 0.0, 0.5]), flatter, rtol=1e-5)


def test_draw_makes_one_operation_each_as_often(draws):
    chosen = {name: len(found) for name, found in _chosen(draws).items()}
    share = len(IDS) / 6
    # A fair coin decides on a flip, and 1 of 9 shifts and 1 of 3 x 3 is none at all.
    hidden = {"flip": 1 / 2, "crop": 1 / 9}
    for name, count in chosen.items():
        expected = share * (1 - hidden.get(name, 0))
        assert abs(count - expected) < 4 * math.sqrt(expected), name


def test_draw_parameters_lie_in_their_ranges(draws):
    chosen = _chosen(draws)
    colours = draws.colour[chosen["color"]]
    ranges = [(-0.5, 0.5), (0, 2), (0.5, 1.5)]
    for values, (low, high) in zip(colours.T, ranges, strict=True):
        _fills(values, low, high)
    assert np.abs(np.corrcoef(colours.T) - np.eye(3)).max() < 0.08
    scales = draws.matrix[chosen["scale"]]
    for axis in (0, 1):
        _fills(scales[:, axis, axis], 1 / 1.2, 1.2)
    assert not scales[:, 0, 1].any() and not scales[:, 1, 0].any()
    turns = draws.matrix[chosen["rotate"]]
    angles = np.arctan2(turns[:, 0, 1], turns[:, 0, 0])
    _fills(np.degrees(angles), -15, 15)
    products = turns @ turns.transpose(0, 2, 1)
    np.testing.assert_allclose(products - np.eye(2), 0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.det(turns), 1, rtol=1e-6)
    # 9 / 8 + 1/2 and 12 / 8 + 1/2, rounded down.
    assert set(draws.shift[:, 0].tolist()) == {-1, 0, 1}
    assert set(draws.shift[:, 1].tolist()) == {-2, -1, 0, 1, 2}


def test_draw_cuts_out_half_of_each_side(draws):
    boxes = draws.box[_chosen(draws)["cutout"]]
    assert (boxes[:, 0, 1] - boxes[:, 0, 0] == 5).all()
    assert (boxes[:, 1, 1] - boxes[:, 1, 0] == 6).all()
    # The middle of an odd box is a pixel, that of an even one an edge between two.
    rows, columns = np.bincount(boxes[:, 0, 0] + 2), np.bincount(boxes[:, 1, 0] + 3)
    assert len(rows) == 9 and len(columns) == 13
    for counts in (rows, columns):
        expected = counts.sum() / len(counts)
        assert np.abs(counts - expected).max() < 5 * math.sqrt(expected)


def _fills(values, low, high):
    assert low <= values.min() and values.max() <= high
    room = 0.01 * (high - low)
    assert values.min() < low + room and high - room < values.max()
    assert abs(values.mean() - (low + high) / 2) < 2 * room


def test_draw_keeps_to_the_operations_that_are_asked_for():
    drawn = jax.tree.map(np.asarray, _draws(Dsa(("crop",), MEAN, STD), 0, 0, IDS))
    found = {name: len(found) for name, found in _chosen(drawn).items()}
    crops = found.pop("crop")
    assert not any(found.values())
    # 3 x 5 shifts, one of which is none.
    assert abs(crops - len(IDS) * 14 / 15) < 4 * math.sqrt(len(IDS) * 14) / 15


def test_view_is_a_function_of_seed_epoch_and_id_whatever_the_batch():
    recipe = Recipe(dsa=ALL, cutmix=1.0)
    images = np.broadcast_to(_image(), (12, HEIGHT, WIDTH, 3))
    lifted = jax.vmap(augment.view, in_axes=(None, None, 0, 0, 0))
    lifted = jax.jit(lifted, static_argnums=0)
    ones, numbers = jnp.ones(12, int), jnp.arange(12)
    by_id = np.asarray(lifted(recipe, 1, ones, numbers, images))
    order = np.random.default_rng(0).permutation(12)
    np.testing.assert_array_equal(
        lifted(recipe, 1, ones, numbers[order], images), by_id[order]
    )
    by_epoch = np.asarray(lifted(recipe, 1, numbers, ones, images))
    other_seed = np.asarray(lifted(recipe, 2, ones, numbers, images))
    for others in (by_epoch, other_seed):
        assert np.isclose(by_id, others).all(axis=(1, 2, 3)).sum() <= 3
    assert len(np.unique(by_id.reshape(12, -1), axis=0)) >= 8


def test_draws_do_not_change():
    # Teacher labels are stored for these draws: a change makes every store wrong.
    drawn = jax.tree.map(np.asarray, _draws(ALL, 11, 3, IDS))
    first = {name: int(found[0]) for name, found in _chosen(drawn).items()}
    assert first == {
        "color": 2,
        "crop": 0,
        "cutout": 10,
        "flip": 1,
        "rotate": 6,
        "scale": 7,
    }
    expected = [0.324045, 0.941826, 1.052084]
    np.testing.assert_allclose(drawn.colour[2], expected, atol=1e-6)
    assert drawn.shift[0].tolist() == [0, 2]
    assert drawn.box[10].tolist() == [[5, 10], [-1, 5]]
    expected = [[0.988565, 0.150793], [-0.150793, 0.988565]]
    np.testing.assert_allclose(drawn.matrix[6], expected, atol=1e-6)
    expected = [0.834758, 1.094448]
    np.testing.assert_allclose(np.diag(drawn.matrix[7]), expected, atol=1e-6)


@pytest.mark.parametrize("operations", [(), ("color", "color"), ("colour",)])
def test_dsa_refuses_wrong_operations(operations):
    with pytest.raises(InputError, match="augment.dsa: found .* allowed is"):
        Dsa(operations, MEAN, STD)


@pytest.mark.parametrize(
    "other",
    [{"pad": 1}, {"resized_crop": (0.5, 1.0)}, {"flip": True}, {"patch_shuffle": 2}],
)
def test_recipe_refuses_dsa_beside_other_augmentation(other):
    (name,) = other
    with pytest.raises(InputError, match=f"augment.dsa: .* augment.{name} = "):
        Recipe(dsa=ALL, **other)


def test_settings_give_dsa_the_source_s_moments(tmp_path):
    source = tiny.write(tmp_path / "tiny.npz")
    names = ["flip", "color"]
    context = open_problem(from_config(tiny.config(source, augment__dsa=names)))
    dsa = Dsa(("flip", "color"), context.source.mean, context.source.std)
    for regime in ("hard", "soft", "soft_kd"):
        assert context.recipe(regime) == Recipe(dsa=dsa)
    context = open_problem(from_config(tiny.config(source)))
    assert context.recipe("hard").dsa is None
