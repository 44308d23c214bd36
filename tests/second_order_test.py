"""Derivatives of gradients, which methods that match gradients or trajectories need."""

import jax
import jax.numpy as jnp
import models_all_test as networks
import numpy as np
import pytest
from jax import lax

from ddjax import models
from ddjax.models import norm, swin
from ddjax.models.conv import conv
from ddjax.models.layers import average_pool

BATCH, SIDE, CHANNELS = 3, 7, 4


def plain_conv(x, kernel, stride, padding):
    """XLA's convolution, whose derivatives are JAX's own."""
    depthwise = kernel.shape[2] == 1
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        [(padding, padding)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[3] if depthwise else 1,
    )


def plain_pool(x):
    batch, height, width, channels = x.shape
    x = x[:, : height // 2 * 2, : width // 2 * 2]
    return x.reshape(batch, height // 2, 2, width // 2, 2, channels).mean((2, 4))


def plain_norm(x, scale, bias, groups):
    """Over image and group of channels; over batch and image if groups is 0."""
    shape = x.shape
    if groups:
        x, axes = x.reshape(*shape[:3], groups, -1), (1, 2, 4)
    else:
        axes = (0, 1, 2)
    mean = x.mean(axes, keepdims=True)
    var = jnp.square(x - mean).mean(axes, keepdims=True)
    y = ((x - mean) / jnp.sqrt(var + 1e-5)).reshape(shape)
    return y * scale.reshape(1, 1, 1, -1) + bias.reshape(1, 1, 1, -1)


def convolution(lowering, stride=1, depthwise=False):
    shape = (3, 3, 1 if depthwise else CHANNELS, CHANNELS)
    return (
        lambda x, kernel: conv(x, kernel, stride, 1, lowering),
        lambda x, kernel: plain_conv(x, kernel, stride, 1),
        (shape,),
    )


def normalisation(layer, groups, train=False):
    def ours(x, scale, bias):
        params = {"params": {"scale": scale, "bias": bias}}
        y = layer.apply(params, x, mutable=["batch_stats"])[0]
        return y

    return (
        ours,
        lambda x, scale, bias: plain_norm(x, scale, bias, groups),
        ((CHANNELS,), (CHANNELS,)),
    )


def fixed_norm():
    mean, var = np.float32([0.1, -0.2, 0.3, 0.0]), np.float32([0.5, 1.0, 2.0, 1.5])
    kept = {"mean": mean, "var": var, "count": np.int32(3)}

    def ours(x, scale, bias):
        params = {"params": {"scale": scale, "bias": bias}, "batch_stats": kept}
        return norm.BatchNorm(train=False).apply(params, x)

    def plain(x, scale, bias):
        gain = scale / np.sqrt(var.astype(float) + 1e-5)
        shift = bias - mean.astype(float) * gain
        return x * gain.reshape(1, 1, 1, -1) + shift.reshape(1, 1, 1, -1)

    return ours, plain, ((CHANNELS,), (CHANNELS,))


LAYERS = {
    "direct": convolution("direct"),
    "patches": convolution("patches"),
    "patches_stride": convolution("patches", stride=2),
    "winograd": convolution("winograd"),
    "auto": convolution("auto"),
    "depthwise": convolution("patches", depthwise=True),
    "depthwise_stride": convolution("patches", stride=2, depthwise=True),
    "depthwise_direct": convolution("direct", depthwise=True),
    "pool": (average_pool, plain_pool, ()),
    "instance": normalisation(norm.GroupNorm(None), CHANNELS),
    "group": normalisation(norm.GroupNorm(2), 2),
    "batch": normalisation(norm.BatchNorm(train=True), 0),
    "batch_fixed": fixed_norm(),
}


def second_derivatives(layer, inputs, directions):
    """Hessian of a smooth loss of a layer, times directions, computed both ways."""

    def gradients(*inputs):
        return jax.grad(lambda inputs: jnp.square(jnp.sin(layer(*inputs)) + 0.3).sum())(
            inputs
        )

    def product(inputs):
        found = zip(gradients(*inputs), directions, strict=True)
        return sum((g * d).sum() for g, d in found)

    forward = jax.jvp(gradients, inputs, directions)[1]
    return forward, jax.grad(product)(inputs)


@pytest.mark.parametrize("name", LAYERS)
def test_second_derivatives_of_a_layer_are_those_of_plain_jax(name):
    layer, plain, shapes = LAYERS[name]
    rng = np.random.default_rng(0)
    shapes = ((BATCH, SIDE, SIDE, CHANNELS), *shapes)
    inputs, directions = (
        tuple(rng.standard_normal(shape, np.float32) for shape in shapes)
        for _ in range(2)
    )
    compute = jax.jit(second_derivatives, static_argnums=0)
    forward, reverse = compute(layer, inputs, directions)
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda a: jnp.asarray(a, float), (inputs, directions))
        expected, _ = compute(plain, *wide)
    for found in (forward, reverse):
        for ours, theirs in zip(found, expected, strict=True):
            tolerance = 2e-5 * np.abs(theirs).max()
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)


def hessian_products(network, train, params, kept, images, directions):
    """Hessian of a network's loss over weights and images, times directions."""

    def loss(params, images):
        logits, _ = network.apply(kept | {"params": params}, images, train)
        labels = jnp.arange(len(images)) % logits.shape[1]
        log_probs = jax.nn.log_softmax(logits)
        return -log_probs[jnp.arange(len(images)), labels].mean()

    return jax.jvp(jax.grad(loss, argnums=(0, 1)), (params, images), directions)[1]


hessian_products = jax.jit(hessian_products, static_argnums=(0, 1))
QUICK = {"convnet_d1", "convnet_d3", "mlp"}
# With XLA's convolution, which compiles faster; the others are tested layer by layer.
DEEP = {"resnet34", "resnet50", "resnet101", "efficientnet_b0", "mobilenet_v2"}
DEEP |= {"shufflenet_v2_x0_5", "densenet121"}


@pytest.mark.parametrize("name", networks._quick(networks.ALL, QUICK))
def test_forward_over_reverse_is_symmetric_in_every_network(name):
    options = {"lowering": "direct"} if name in DEEP else {}
    network = networks._network(name, **options)
    variables = networks._variables(name, 0)
    params = variables.pop("params")
    images = networks._images(network, batch=4)
    rng = np.random.default_rng(1)

    def direction():
        def draw(leaf):
            scale = np.float32(np.abs(leaf).mean() + 1e-3)
            return scale * rng.standard_normal(leaf.shape, np.float32)

        return jax.tree.map(draw, (params, images))

    def product(first, second):
        pairs = jax.tree.leaves(jax.tree.map(np.vdot, first, second))
        return float(sum(pairs))

    first, second = direction(), direction()
    bent = [
        hessian_products(network, True, params, variables, images, d)
        for d in (first, second)
    ]
    found, expected = product(second, bent[0]), product(first, bent[1])
    size = np.sqrt(product(first, first) * product(bent[1], bent[1]))
    assert abs(expected) > 0
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * size)


CASES = [("instance", True), ("batch", True), ("batch", False), ("group", True)]
CASES = [pytest.param(*case, marks=pytest.mark.slow) for case in CASES[2:]] + CASES[:2]
CASES += [pytest.param("none", True, marks=pytest.mark.slow)]


@pytest.mark.parametrize(("kind", "train"), CASES)
def test_second_derivatives_are_finite_where_a_network_is_flat(kind, train):
    network = models.network("convnet_d1", 3, (8, 8, 1), width=4, norm=kind)
    start = network.init(jax.random.key(0))
    noise = jax.random.normal(jax.random.key(1), (BATCH, *network.image_shape))

    @jax.jit
    def both(variables, images):
        def loss(params, images):
            logits, _ = network.apply(variables | {"params": params}, images, train)
            return -jax.nn.log_softmax(logits)[:, 0].mean()

        def squared(images):
            grads = jax.grad(loss)(variables["params"], images)
            return 0.5 * sum(jnp.square(g).sum() for g in jax.tree.leaves(grads))

        def inputs(params):
            return jax.grad(loss, argnums=1)(params, images)

        params = variables["params"]
        direction = jax.grad(loss)(params, images)
        return jax.grad(squared)(images), jax.jvp(inputs, (params,), (direction,))[1]

    def changed(layer, leaf, value):
        params = start["params"]
        fresh = params[layer] | {leaf: jnp.full_like(params[layer][leaf], value)}
        return start | {"params": params | {layer: fresh}}

    dead = ("features.0", "bias") if kind == "none" else ("features.1", "bias")
    points = {
        "anywhere": (start, noise),
        "zero images": (start, jnp.zeros_like(noise)),
        "constant images": (start, jnp.ones_like(noise)),
        "equal images": (start, jnp.broadcast_to(noise[:1], noise.shape)),
        "zero gradients of features": (changed("classifier", "kernel", 0.0), noise),
        "constant maps": (changed("features.0", "kernel", 0.0), noise),
        "dead units": (changed(*dead, -100.0), noise),
    }
    for name, point in points.items():
        reverse, forward = both(*point)
        assert np.isfinite(reverse).all(), name
        scale = max(np.abs(reverse).max(), 1e-3)
        np.testing.assert_allclose(
            forward, reverse, rtol=0, atol=1e-4 * scale, err_msg=name
        )
    assert np.abs(both(*points["anywhere"])[0]).max() > 1e-4


def test_second_derivatives_of_swin_are_finite_at_the_zero_keys_of_its_padding():
    keys, direction = jnp.zeros((2, 3)), jnp.ones((2, 3))

    def gradient(keys):
        return jax.grad(lambda keys: (swin._unit(keys) * direction).sum())(keys)

    @jax.jit
    def both(keys):
        forward = jax.jvp(gradient, (keys,), (direction,))[1]
        return forward, jax.grad(lambda keys: gradient(keys).sum())(keys)

    np.testing.assert_array_equal(both(keys), np.zeros((2, 2, 3)))
