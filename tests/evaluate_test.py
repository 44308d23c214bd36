"""Questions about many images: blocks and devices change nothing."""

import jax
import numpy as np
import pytest

from ddjax.models import network
from ddjax.train import evaluate

NET = network("convnet_d1", 3, (8, 8, 1), width=4, norm="batch")
MEAN, STD = np.full(1, 0.4, np.float32), np.full(1, 0.3, np.float32)


@pytest.fixture(scope="module")
def asked():
    images = np.random.default_rng(0).integers(0, 256, (37, 8, 8, 1), np.uint8)
    variables = NET.init(jax.random.key(0))
    return images, variables


@pytest.mark.parametrize("most", [1024, 16, 5])
def test_blocks_change_nothing(asked, monkeypatch, most):
    images, variables = asked
    monkeypatch.setattr(evaluate, "_ON_A_DEVICE", most)
    logits, features = evaluate.represent(NET, variables, images, MEAN, STD, "")
    shown = evaluate.normalise(images, MEAN, STD)
    wanted, _ = NET.apply(variables, shown)
    np.testing.assert_allclose(logits, wanted, atol=1e-5)
    np.testing.assert_allclose(features, NET.features(variables, shown, ""), atol=1e-5)


def test_features_are_left_out_where_nobody_asks(asked):
    images, variables = asked
    (logits,) = evaluate.represent(NET, variables, images, MEAN, STD)
    assert logits.shape == (37, 3)


@pytest.mark.parametrize(
    "size, own", [(8, slice(0, 8)), (8, slice(4, 8)), (40, slice(9))]
)
def test_blocks_are_filled_up_with_the_last_row(size, own):
    numbers = np.arange(11)
    for first, (block,) in evaluate.blocks(size, own, numbers):
        wanted = np.minimum(np.arange(first, first + size), 10)[own]
        np.testing.assert_array_equal(block, wanted)
    assert first == (8 if size == 8 else 0)
