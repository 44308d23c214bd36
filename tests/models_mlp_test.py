"""The multi-layer perceptron."""

import jax
import jax.numpy as jnp
import numpy as np

from ddjax import models


def _members(net, count):
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(net.init, jax.random.key(0))
    return jax.tree.map(
        lambda leaf: rng.normal(size=(count, *leaf.shape)).astype(np.float32),
        shapes,
    )


def test_mlp_equals_a_reference_alone_and_under_vmap():
    net = models.network("mlp", 3, (4, 4, 2), hidden=(7, 5))
    members = _members(net, 2)
    images = np.random.default_rng(1).normal(size=(6, 4, 4, 2)).astype(np.float32)
    together, unchanged = jax.jit(jax.vmap(net.apply, (0, None)))(members, images)
    features = jax.jit(jax.vmap(net.features, (0, None)))(members, images)
    jax.tree.map(np.testing.assert_array_equal, unchanged, members)
    # Sums of at most 32 products of order one in float32.
    close = {"rtol": 1e-4, "atol": 1e-4}
    for m in range(2):
        member = jax.tree.map(lambda leaf, m=m: leaf[m], members)
        x = images.transpose(0, 3, 1, 2).reshape(6, -1).astype(np.float64)
        for name in ("fc_1", "fc_2"):
            layer = member["params"][name]
            x = np.maximum(x @ np.asarray(layer["kernel"]) + layer["bias"], 0)
        head = member["params"]["fc_3"]
        expected = x @ np.asarray(head["kernel"]) + np.asarray(head["bias"])
        np.testing.assert_allclose(together[m], expected, **close)
        np.testing.assert_allclose(features[m], x, **close)
        alone, _ = net.apply(member, images)
        np.testing.assert_allclose(alone, expected, **close)


def test_mlp_without_hidden_layers_is_linear_in_the_pixels():
    net = models.network("mlp", 2, (2, 2, 1), hidden=())
    kernel = jnp.asarray([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0], [4.0, 1.0]])
    variables = {"params": {"fc_1": {"kernel": kernel, "bias": jnp.asarray([0.5, 0])}}}
    images = jnp.asarray([1.0, 0.0, 2.0, -1.0]).reshape(1, 2, 2, 1)
    logits, _ = net.apply(variables, images)
    np.testing.assert_array_equal(logits, [[1.0 + 6.0 - 4.0 + 0.5, -1.0]])
    features = net.features(variables, images)
    np.testing.assert_array_equal(features, images.reshape(1, 4))


def test_mlp_default_has_two_hidden_layers_of_128_and_permutes_with_its_batch():
    net = models.network("mlp", 10, (8, 8, 1))
    assert net.module.hidden == (128, 128)
    variables = jax.tree.map(lambda leaf: leaf[0], _members(net, 1))
    images = np.random.default_rng(2).normal(size=(4, 8, 8, 1)).astype(np.float32)
    logits = net.apply(variables, images)[0]
    permuted = net.apply(variables, images[::-1])[0]
    # Logits of random weights are of order 1000.
    np.testing.assert_allclose(permuted, logits[::-1], rtol=1e-4, atol=1e-2)
