"""Cutout against a loop over pixels, and its draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from ddjax import presets
from ddjax.data import augment
from ddjax.data.augment import Cutout, Draw, Recipe
from ddjax.data.augment.cutout import draw_cutout
from ddjax.errors import InputError
from ddjax.problem import open_problem
from ddjax.settings import from_config

MEAN = (0.1, 0.5, 0.9)
CUT = Recipe(cutout=Cutout(4, MEAN))
IMAGE = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
_render = jax.jit(augment.render, static_argnums=0)
_view = jax.jit(augment.view, static_argnums=0)


@pytest.mark.parametrize(
    "box", [((1, 5), (2, 6)), ((-2, 2), (7, 11)), ((6, 10), (0, 4))]
)
def test_a_square_has_the_mean_colour(box):
    found = np.asarray(
        _render(CUT, Draw(None, None, None, cutout=jnp.array(box)), IMAGE)
    )
    (y0, y1), (x0, x1) = box
    expected = IMAGE.astype(np.float32)
    for y in range(max(y0, 0), min(y1, 6)):
        for x in range(max(x0, 0), min(x1, 9)):
            expected[y, x] = 255 * np.float32(MEAN)
    np.testing.assert_allclose(found, expected)


def test_centres_are_uniform_over_the_pixels():
    ids = jnp.arange(20000)
    draws = jax.vmap(lambda i: draw_cutout(CUT.cutout, 0, 0, i, 6, 9))
    boxes = np.asarray(jax.jit(draws)(ids))
    assert (boxes[..., 1] - boxes[..., 0] == 4).all()
    centres = boxes[..., 0] + 2
    for column, side in enumerate((6, 9)):
        counts = np.bincount(centres[:, column], minlength=side)
        assert len(counts) == side
        share = 1 / side
        deviation = np.sqrt(len(ids) * share * (1 - share))
        assert (abs(counts - len(ids) * share) < 5 * deviation).all()
    assert abs(np.corrcoef(centres.T)[0, 1]) < 0.04


def test_what_is_cut_out_comes_last_and_is_replayed():
    recipe = Recipe(pad=2, flip=True, color_jitter=(0.4, 0.4, 0.4), cutout=CUT.cutout)
    before = Recipe(pad=2, flip=True, color_jitter=(0.4, 0.4, 0.4))
    found, without = (_view(each, 3, 4, 5, IMAGE) for each in (recipe, before))
    (y0, y1), (x0, x1) = np.asarray(draw_cutout(CUT.cutout, 3, 4, 5, 6, 9))
    expected = np.array(without)
    expected[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = 255 * np.float32(MEAN)
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-5, atol=1e-3)


def test_a_recipe_without_it_keeps_its_address():
    assert "cutout" not in Recipe(pad=2).used() and CUT.used()["cutout"]["side"] == 4


def test_wrong_sides_and_dsa_beside_it_are_refused():
    with pytest.raises(InputError, match="augment.cutout: found 1, allowed"):
        Recipe(cutout=Cutout(1, MEAN))
    dsa = augment.Dsa(("crop",), MEAN, MEAN)
    with pytest.raises(InputError, match="augment.dsa: .* beside augment.cutout"):
        Recipe(dsa=dsa, cutout=CUT.cutout)


def test_settings_become_views_of_the_same_network(tmp_path):
    config = tiny.config(tiny.write(tmp_path / "tiny.npz"), augment__pad=1)
    entry = presets.add_views(config, "cut", cutout=4)
    presets.add_views(config, "again", "cut")
    entry.batch_size = 3
    problem = open_problem(from_config(config))
    own, cut, again = (problem.networks()[name] for name in ("", "cut", "again"))
    assert own.recipe("hard") == Recipe(pad=1)
    assert cut.recipe("hard") == Recipe(cutout=Cutout(4, problem.source.mean))
    assert again.recipe("hard") == Recipe()
    networks = {p.settings.student.network for p in (own, cut, again)}
    assert len(networks) == 1 and config.augment.pad == 1
    assert (cut.settings.student.batch_size, own.settings.student.batch_size) == (3, 6)
