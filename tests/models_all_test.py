"""What holds for every network: vmap over weights, bfloat16, accelerators, names."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from golden.cases import LONG

from ddjax import models

pytestmark = pytest.mark.slow

ALL = sorted(models.MODELS)
# The smallest size that has all strides to go through; alexnet takes no less than 63.
SMALLEST = dict.fromkeys(ALL, 32) | {"alexnet": 64, "convnet_d6": 64}
# What the literature gives them; the others see 224 px.
LITERATURE = {
    "convnet_d1": 32,
    "convnet_d2": 32,
    "convnet_d3": 32,
    "convnet_d4": 64,
    "convnet_d5": 128,
    "convnet_d6": 256,
    "mlp": 32,
    "wide_resnet_16_2": 32,
}
NARROW = {
    **{f"convnet_d{depth}": {"width": 4} for depth in range(1, 7)},
    **{f"resnet{depth}": {"width": 4} for depth in (18, 34, 50, 101)},
    "resnet_ap10": {"width": 4},
    "densenet121": {"growth": 4},
}
# By default with batch norm.
NORMED = {
    *("resnet18", "resnet34", "resnet50", "resnet101", "wide_resnet_16_2"),
    *("mobilenet_v2", "efficientnet_b0", "shufflenet_v2_x0_5"),
    "densenet121",
}
MEMBERS, BATCH, CLASSES = 2, 3, 7
# Leaves with more numbers are those of all members, which saves gigabytes.
LARGEST = 2**21


def _network(name, **options):
    shape = (SMALLEST[name], SMALLEST[name], 3)
    return models.network(name, CLASSES, shape, **NARROW.get(name, {}), **options)


@functools.cache
def _shapes(name):
    return jax.eval_shape(_network(name).init, jax.random.key(0))


def _variables(name, seed):
    """Variables of the right shapes and sizes; much faster than compiling `init`."""
    own, common = np.random.default_rng(seed), np.random.default_rng(99)

    def draw(path, leaf):
        generator = common if leaf.size > LARGEST else own
        if leaf.ndim == 0:
            return np.zeros((), np.int32)
        if path[-1].key in ("scale", "var"):
            return generator.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
        scale = np.float32(np.sqrt(leaf.shape[-1] / leaf.size))
        return scale * generator.standard_normal(leaf.shape, np.float32)

    return jax.tree_util.tree_map_with_path(draw, _shapes(name))


def _images(net, batch=BATCH):
    shape = (batch, *net.image_shape)
    return np.random.default_rng(0).standard_normal(shape, np.float32)


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] * (n in LONG)) for n in ALL],
)
def test_vmap_over_weights_equals_each_alone(name):
    net = _network(name)
    members, images = [_variables(name, seed) for seed in range(MEMBERS)], _images(net)
    shared = jax.tree.map(lambda leaf: leaf.size > LARGEST, members[0])
    stacked = jax.tree.map(
        lambda s, *leaves: leaves[0] if s else np.stack(leaves), shared, *members
    )
    axes = jax.tree.map(lambda s: None if s else 0, shared)
    apply = lambda net, variables: net.apply(variables, images)[0]  # noqa: E731
    together = jax.jit(jax.vmap(functools.partial(apply, net), (axes,)))(stacked)
    # This lowering compiles faster, and has to agree with the default.
    direct = _network(name, lowering="direct")
    alone = jax.jit(functools.partial(apply, direct))
    for found, member in zip(together, members, strict=True):
        expected = alone(member)
        assert expected.shape == (BATCH, CLASSES)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * scale)
    assert np.abs(together[0] - together[1]).max() > 1e-2 * scale


def _quick(names, quick):
    """Names as parameters, marked as slow but for some."""
    return [
        pytest.param(name, marks=[] if name in quick else [pytest.mark.slow])
        for name in names
    ]


@pytest.mark.parametrize("name", _quick(ALL, {"convnet_d3", "resnet18"}))
def test_train_step_and_evaluation_lower_for_accelerators(name):
    size, batch, classes = LITERATURE.get(name, 224), 256, 1000
    options = {"dtype": "bfloat16", "lowering": "direct"}
    net = models.network(name, classes, (size, size, 3), **options)
    variables = jax.eval_shape(net.init, jax.random.key(0))
    assert {leaf.dtype for leaf in jax.tree.leaves(variables["params"])} == {
        jnp.dtype("float32")
    }

    def step(variables, images, labels, key):
        def loss(params):
            logits, updated = net.apply(
                {**variables, "params": params}, images, True, key
            )
            own = jax.nn.log_softmax(logits)[jnp.arange(batch), labels]
            return -own.mean(), updated

        (_, updated), grads = jax.value_and_grad(loss, has_aux=True)(
            variables["params"]
        )
        params = jax.tree.map(lambda a, g: a - 0.1 * g, variables["params"], grads)
        return {**updated, "params": params}

    def evaluate(variables, images):
        return net.module.apply(variables, images, features=True)

    images = jax.ShapeDtypeStruct((batch, size, size, 3), jnp.float32)
    labels = jax.ShapeDtypeStruct((batch,), jnp.int32)
    key = jax.eval_shape(lambda: jax.random.key(0))
    traced = jax.jit(lambda v, x, y, k: (step(v, x, y, k), evaluate(v, x))).trace(
        variables, images, labels, key
    )
    updated, (logits, features) = traced.out_info
    as_pair = lambda leaf: (leaf.shape, leaf.dtype)  # noqa: E731
    assert jax.tree.map(as_pair, updated) == jax.tree.map(as_pair, variables)
    assert as_pair(logits) == ((batch, classes), jnp.float32)
    # The head is the only layer with as many outputs as classes.
    kernels = traverse_util.flatten_dict(variables["params"])
    (inputs,) = {
        leaf.shape[0]
        for path, leaf in kernels.items()
        if path[-1] == "kernel" and leaf.shape[1:] == (classes,)
    }
    assert as_pair(features) == ((batch, inputs), jnp.float32)
    text = traced.lower(lowering_platforms=("tpu", "cuda")).as_text()
    assert "bf16" in text


@pytest.mark.parametrize("name", _quick(ALL, {"convnet_d3", "resnet18", "mlp"}))
def test_inspect_names_every_batch_norm(name):
    net = _network(name, lowering="direct")
    kept = jax.eval_shape(models.running_moments, _shapes(name))
    assert bool(kept) == (name in NORMED)
    images = jax.ShapeDtypeStruct((2, *net.image_shape), jnp.float32)
    inspect = functools.partial(net.inspect, measures={"norm": models.moments})
    _, found = jax.eval_shape(inspect, _shapes(name), images)
    assert jax.tree.map(jnp.shape, found) == jax.tree.map(jnp.shape, kept)


def test_inspected_moments_are_what_training_averages():
    net = _network("resnet18", lowering="direct")
    variables, images = _variables("resnet18", 0), _images(net, batch=8)

    @jax.jit
    def run(variables):
        _, updated = net.apply(variables, images, train=True)
        _, found = net.inspect(variables, images, {"norm": models.moments}, train=True)
        return updated, found

    updated, found = run(variables)
    old, new = models.running_moments(variables), models.running_moments(updated)
    for name, (mean, var) in found.items():
        np.testing.assert_allclose(
            new[name][0], 0.9 * old[name][0] + 0.1 * mean, rtol=1e-4, atol=1e-5
        )
        # The variance that is averaged is unbiased: that of n numbers is n / (n - 1)
        # times as large. Each stage but the first halves the 32 px.
        stage = int(name[5]) if name.startswith("layer") else 1
        numbers = len(images) * (32 // 2 ** (stage - 1)) ** 2
        unbiased = var * numbers / (numbers - 1)
        np.testing.assert_allclose(
            new[name][1], 0.9 * old[name][1] + 0.1 * unbiased, rtol=1e-4
        )
