"""What all networks share: dropout, flattening, the form of an answer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from ddjax.errors import InputError
from ddjax.models.layers import Dropout, Layers, answer, check_layers, flatten

KEY = {"dropout": jax.random.key(0)}


def _dropped(x, rate=0.25, dims=None, rngs=KEY):
    return np.asarray(Dropout(rate, True, dims).apply({}, x, rngs=rngs))


@pytest.mark.parametrize(
    ("layer", "rngs"),
    [
        (Dropout(0.5, train=False), KEY),
        (Dropout(0.5, train=True), None),
        (Dropout(0.0, train=True), KEY),
    ],
)
def test_dropout_is_the_identity_outside_training_without_a_key_and_at_rate_0(
    layer, rngs
):
    x = jnp.arange(100.0).reshape(4, 25)
    np.testing.assert_array_equal(layer.apply({}, x, rngs=rngs), x)


def test_dropout_zeroes_its_rate_and_keeps_the_mean():
    out = _dropped(jnp.full((100, 10, 10), 3.0))
    np.testing.assert_allclose(np.unique(out), [0, 4])
    # 10,000 draws: standard error 0.0043.
    np.testing.assert_allclose((out == 0).mean(), 0.25, atol=0.015)
    # Each number is drawn for by itself.
    assert 0 < (out[0] == 0).sum() < 100


def test_dropout_of_examples_drops_whole_ones():
    x = jnp.arange(1.0, 1001.0).reshape(1000, 1, 1, 1) * jnp.ones((1, 2, 3, 2))
    out = _dropped(x, dims=1)
    kept = out[:, 0, 0, 0] != 0
    np.testing.assert_allclose(kept.mean(), 0.75, atol=0.05)
    np.testing.assert_array_equal(out[~kept], 0)
    np.testing.assert_allclose(out[kept], np.asarray(x)[kept] / 0.75, rtol=1e-6)


def test_dropout_repeats_for_a_key_and_keeps_bfloat16():
    x = jnp.ones((8, 8), jnp.bfloat16)
    first, again = _dropped(x), _dropped(x)
    other = _dropped(x, rngs={"dropout": jax.random.key(1)})
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.dtype == jnp.bfloat16


def test_flatten_puts_channels_outermost_as_pytorch_does():
    x = jnp.arange(24.0).reshape(1, 2, 3, 4)
    # Rows, columns and channels count 12, 4 and 1 of these numbers.
    expected = [
        12 * h + 4 * w + c for c in range(4) for h in range(2) for w in range(3)
    ]
    np.testing.assert_array_equal(flatten(x), [expected])


def test_answer_is_float32_with_and_without_features():
    logits, features = jnp.ones((2, 3), jnp.bfloat16), jnp.ones((2, 5), jnp.bfloat16)
    alone = answer(logits, features, False)
    both = answer(logits, features, True)
    assert alone.dtype == jnp.float32 and alone.shape == (2, 3)
    assert [(a.dtype, a.shape) for a in both] == [
        (jnp.float32, (2, 3)),
        (jnp.float32, (2, 5)),
    ]


def test_layers_compute_in_their_dtype_from_float32_parameters():
    class Two(nn.Module):
        layers: Layers

        @nn.compact
        def __call__(self, x):
            x = self.layers.conv(4, 3, "features.0", stride=2)(x)
            x = self.layers.normalise(False, "features.1")(x)
            return x, self.layers.dense(5, 16, "head")(flatten(x))

    layers = check_layers("batch", 4, "bfloat16", "patches")
    run = lambda key: Two(layers).init_with_output(key, jnp.ones((1, 4, 4, 1)))  # noqa: E731
    outputs, variables = jax.eval_shape(run, jax.random.key(0))
    assert [(a.dtype, a.shape) for a in outputs] == [
        (jnp.bfloat16, (1, 2, 2, 4)),
        (jnp.bfloat16, (1, 5)),
    ]
    params = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype.name), variables)
    assert params["params"] == {
        "features.0": {"kernel": ((3, 3, 1, 4), "float32")},
        "features.1": {"scale": ((4,), "float32"), "bias": ((4,), "float32")},
        "head": {"kernel": ((16, 5), "float32"), "bias": ((5,), "float32")},
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("layer", 4, "float32", "auto"), r"^norm: found 'layer', allowed: instance"),
        (("group", 6, "float32", "auto"), r"^width: found 6, .*multiple of 4"),
        (("batch", 4, "float16", "auto"),
         r"^dtype: found 'float16', allowed: float32, bfloat16$"),
        (("batch", 4, "float32", "fast"),
         r"^lowering: found 'fast', allowed: auto, winograd, patches, direct$"),
    ],
)  # fmt: skip
def test_check_layers_refuses_a_wrong_option_by_name(options, message):
    with pytest.raises(InputError, match=message):
        check_layers(*options)
