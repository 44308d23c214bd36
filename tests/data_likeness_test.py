"""Channels and levels that look other than the source's."""

import numpy as np
import pytest

from ddjax.data.checks import likeness as remarks

MEAN, STD = (0.49, 0.48, 0.44), (0.25, 0.24, 0.26)


def images(count=100, mean=MEAN, spread=0.25, seed=0):
    """Images with a brightness each, and pixels around it."""
    rng = np.random.default_rng(seed)
    bright = rng.normal(0, 0.1, (count, 1, 1, 1))
    values = np.asarray(mean) + bright + rng.normal(0, spread, (count, 8, 8, len(mean)))
    return (255 * values.clip(0, 1)).astype(np.uint8)


@pytest.mark.parametrize("seed", range(5))
def test_images_of_the_source_call_for_no_remark(seed):
    assert remarks(images(seed=seed), MEAN, STD) == ()
    assert remarks(images(12, seed=seed), MEAN, STD) == ()


def test_exchanged_channels_are_remarked_on():
    (note,) = remarks(images()[..., ::-1], MEAN, STD)
    assert note.startswith("red and blue look exchanged")
    assert remarks(images(4)[..., ::-1], MEAN, STD) == ()  # too few to say
    grey = (0.47, 0.47, 0.47)
    assert remarks(images(mean=grey)[..., ::-1], grey, STD) == ()


def test_inverted_and_dark_images_are_remarked_on():
    ink = images(mean=(0.13,), spread=0.05)
    assert remarks(ink, (0.13,), (0.3,)) == ()
    assert remarks(255 - ink, (0.13,), (0.3,))[0].startswith("black and white look ex")
    (note,) = remarks(images(mean=(0.02,) * 3, spread=0.02) // 4, MEAN, (0.1,) * 3)
    assert note.startswith("levels are far from the source's: means (0.0")
