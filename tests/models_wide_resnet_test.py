"""WRN-16-2 against a plain float64 reference."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from ddjax import models


def _random_variables(net, seed):
    """Variables of the right shapes; the numbers stay of order one in all layers."""
    rng = np.random.default_rng(seed)

    def draw(leaf):
        if leaf.ndim < 2:
            return rng.uniform(0.5, 1.5, leaf.shape).astype(leaf.dtype)
        spread = np.sqrt(2 / np.prod(leaf.shape[:-1]))
        return rng.normal(0, spread, leaf.shape).astype(leaf.dtype)

    return jax.tree.map(draw, jax.eval_shape(net.init, jax.random.key(0)))


def _conv(x, layer, stride=1):
    kernel = layer["kernel"]
    pad = (len(kernel) // 2,) * 2
    x = np.pad(x, [(0, 0), pad, pad, (0, 0)])
    last = x.shape[1] - len(kernel) + 1
    return sum(
        x[:, i : i + last : stride, j : j + last : stride] @ kernel[i, j]
        for i in range(len(kernel))
        for j in range(len(kernel))
    )


def _norm_relu(x, layer, stats, train):
    if train:
        stats = {"mean": x.mean((0, 1, 2)), "var": x.var((0, 1, 2))}
    x = (x - stats["mean"]) / np.sqrt(stats["var"] + 1e-5)
    return np.maximum(x * layer["scale"] + layer["bias"], 0)


def _reference(variables, images, train):
    """Logits and features, in float64."""
    variables = jax.tree.map(lambda a: np.asarray(a, np.float64), variables)
    params, stats = variables["params"], variables["batch_stats"]
    x = _conv(np.asarray(images, np.float64), params["conv1"])
    for stage in (1, 2, 3):
        for block in (0, 1):
            name = f"block{stage}.layer.{block}"
            layers, old = params[name], stats[name]
            stride = 2 if stage > 1 and block == 0 else 1
            y = _norm_relu(x, layers["bn1"], old["bn1"], train)
            if block == 0:
                x = _conv(y, layers["convShortcut"], stride)
            y = _conv(y, layers["conv1"], stride)
            y = _norm_relu(y, layers["bn2"], old["bn2"], train)
            x = x + _conv(y, layers["conv2"])
    x = _norm_relu(x, params["bn1"], stats["bn1"], train)
    features = x.mean((1, 2))
    head = params["fc"]
    return features @ head["kernel"] + head["bias"], features


def test_wide_resnet_equals_a_reference():
    net = models.network("wide_resnet_16_2", 3, (13, 13, 3))
    variables = _random_variables(net, 0)
    images = np.random.default_rng(1).normal(size=(2, 13, 13, 3))
    found = jax.jit(partial(net.module.apply, features=True))(
        variables, images.astype(np.float32)
    )
    # Sixteen layers in float32.
    for a, b in zip(found, _reference(variables, images, train=False), strict=True):
        assert b.std() > 0.1
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_wide_resnet_trains_with_the_moments_of_the_batch():
    net = models.network("wide_resnet_16_2", 3, (8, 8, 3))
    variables = _random_variables(net, 2)
    images = np.random.default_rng(3).normal(size=(4, 8, 8, 3))
    run = jax.jit(partial(net.apply, train=True))
    logits, updated = run(variables, images.astype(np.float32))
    expected, _ = _reference(variables, images, train=True)
    # Norms over 16 numbers magnify rounding from layer to layer.
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-3)
    jax.tree.map(
        lambda a, b: np.testing.assert_(np.all(a != b)),
        updated["batch_stats"],
        variables["batch_stats"],
    )


def test_wide_resnet_has_the_parameters_of_repdistiller():
    net = models.network("wide_resnet_16_2", 100, (32, 32, 3))
    variables = jax.eval_shape(net.init, jax.random.key(0))
    # RepDistiller's table of models for CIFAR-100 says 0.70 million.
    assert sum(a.size for a in jax.tree.leaves(variables["params"])) == 703_284
    assert len(jax.tree.leaves(variables["batch_stats"])) == 3 * 13
    images = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    assert jax.eval_shape(net.features, variables, images).shape == (2, 128)


def test_wide_resnet_starts_as_repdistiller():
    net = models.network("wide_resnet_16_2", 10, (8, 8, 3))

    @jax.jit
    def start(key):
        params = net.init(key)["params"]
        return params["block3.layer.0"]["convShortcut"]["kernel"], params["fc"]

    kernel, head = start(jax.random.key(0))
    # 8192 draws: relative standard error of the standard deviation below 1 %.
    np.testing.assert_allclose(kernel.std(), np.sqrt(2 / 128), rtol=0.04)
    np.testing.assert_array_equal(head["bias"], np.zeros(10))
    bound = 1 / np.sqrt(128)
    assert 0.95 * bound < np.abs(head["kernel"]).max() <= bound
