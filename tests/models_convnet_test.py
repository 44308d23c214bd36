"""ConvNet-Dn against a plain float64 reference."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddjax import models


def _random_variables(net, seed):
    """Variables of the right shapes; faster than compiling `init`."""
    rng = np.random.default_rng(seed)
    # Variances must be positive, and any parameter may be.
    return jax.tree.map(
        lambda leaf: (
            rng.uniform(0.1, 0.5, leaf.shape)
            * (1 if leaf.ndim < 2 else rng.choice([-1, 1], leaf.shape))
        ).astype(leaf.dtype),
        jax.eval_shape(net.init, jax.random.key(0)),
    )


def _images(net, seed, batch=3):
    shape = (batch, *net.image_shape)
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _conv(x, kernel, bias, padding):
    x = np.pad(x, [(0, 0), (padding,) * 2, (padding,) * 2, (0, 0)])
    out = np.zeros((len(x), x.shape[1] - 2, x.shape[2] - 2, kernel.shape[3]))
    for i in range(out.shape[1]):
        for j in range(out.shape[2]):
            window = x[:, i : i + 3, j : j + 3]
            out[:, i, j] = np.tensordot(window, kernel, 3) + bias
    return out


def _norm(kind, x, layer, stats, train):
    """Returns the normalised maps and the new running statistics."""
    if kind == "none":
        return x, None
    b, h, w, c = x.shape
    if kind == "batch":
        mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
        numbers = b * h * w
        new = {
            "mean": 0.9 * stats["mean"] + 0.1 * mean,
            "var": 0.9 * stats["var"] + 0.1 * var * numbers / (numbers - 1),
            "count": stats["count"] + 1,
        }
        if not train:
            mean, var, new = stats["mean"], stats["var"], stats
    else:
        new = None
        groups = 4 if kind == "group" else c
        split = x.reshape(b, h, w, groups, c // groups)
        mean, var = (
            np.broadcast_to(m, split.shape).reshape(x.shape)
            for m in (
                split.mean((1, 2, 4), keepdims=True),
                split.var((1, 2, 4), keepdims=True),
            )
        )
    normal = (x - mean) / np.sqrt(var + 1e-5)
    return normal * layer["scale"] + layer["bias"], new


def _reference(net, variables, images, train):
    """Returns logits, features and new running statistics, in float64."""
    module = net.module
    variables = jax.tree.map(lambda a: np.asarray(a, np.float64), variables)
    params, stats = variables["params"], variables.get("batch_stats", {})
    x, new_stats = np.asarray(images, np.float64), {}
    norm = module.layers.norm
    # As PyTorch numbers convolution, norm if there is one, ReLU and pooling.
    numbers = iter(range(100))

    def normalised(x):
        name = "" if norm == "none" else f"features.{next(numbers)}"
        x, new_stats[name] = _norm(norm, x, params.get(name), stats.get(name), train)
        return x

    for i in range(module.depth):
        padding = module.padding if i == 0 else 1
        if i and module.norm_first:
            x = normalised(x)
        x = _conv(x, **params[f"features.{next(numbers)}"], padding=padding)
        if not module.norm_first:
            x = normalised(x)
        next(numbers), next(numbers)
        x = np.maximum(x, 0)
        x = np.stack(
            [
                [
                    x[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean((1, 2))
                    for j in range(x.shape[2] // 2)
                ]
                for i in range(x.shape[1] // 2)
            ]
        ).transpose(2, 0, 1, 3)
    features = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
    head = params["classifier"]
    return features @ head["kernel"] + head["bias"], features, new_stats


@pytest.mark.parametrize(
    ("norm", "size", "channels", "depth"),
    [
        ("instance", 6, 3, 2),
        ("batch", 6, 1, 2),
        ("group", 7, 2, 2),
        ("none", 6, 3, 1),
        ("instance", 28, 1, 1),
    ],
)
def test_convnet_equals_a_slow_reference(norm, size, channels, depth):
    net = models.network(
        f"convnet_d{depth}", 4, (size, size, channels), width=8, norm=norm
    )
    variables, images = _random_variables(net, 0), _images(net, 1)
    # About 72 products a pixel and unit variance after each norm.
    close = {"rtol": 1e-4, "atol": 1e-4}
    logits, features = jax.jit(partial(net.module.apply, features=True))(
        variables, images
    )
    expected = _reference(net, variables, images, train=False)
    np.testing.assert_allclose(logits, expected[0], **close)
    np.testing.assert_allclose(features, expected[1], **close)


def test_convnet_of_frepo_equals_a_slow_reference():
    options = {"doubling": True, "norm_first": True, "first_padding": 3}
    net = models.network("convnet_d2", 4, (6, 6, 1), width=4, norm="batch", **options)
    variables, images = _random_variables(net, 0), _images(net, 1)
    shapes = jax.tree.map(np.shape, variables["params"])
    assert shapes["features.0"]["kernel"] == (3, 3, 1, 4)
    assert shapes["features.3"] == {"scale": (4,), "bias": (4,)}
    assert shapes["features.4"]["kernel"] == (3, 3, 4, 8)
    assert shapes["classifier"]["kernel"] == (2 * 2 * 8, 4)
    logits, updated = jax.jit(partial(net.apply, train=True))(variables, images)
    expected, _, stats = _reference(net, variables, images, train=True)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
        updated["batch_stats"],
        stats,
    )


def test_convnet_starts_as_flax_does():
    net = models.network("convnet_d1", 200, (32, 32, 3), width=64, start="lecun")
    params = net.init(jax.random.key(0))["params"]
    for name, inputs in (("features.0", 27), ("classifier", 64 * 16 * 16)):
        layer = params[name]
        assert not layer["bias"].any()
        deviation = float(layer["kernel"].std()) * np.sqrt(inputs)
        np.testing.assert_allclose(deviation, 1, rtol=0.05)
        largest = float(np.abs(layer["kernel"]).max()) * np.sqrt(inputs)
        assert 2.2 < largest <= 2 / 0.8796256610342398 + 1e-4


def test_convnet_of_frepo_is_read_from_pytorch():
    options = {"doubling": True, "norm_first": True, "first_padding": 3}
    net = models.network("convnet_d2", 3, (12, 12, 1), width=2, norm="batch", **options)
    variables = _random_variables(net, 0)
    again = models.from_torch(
        "convnet_d2", models.to_torch("convnet_d2", variables), **options
    )
    jax.tree.map(np.testing.assert_array_equal, again, variables)


def test_convnet_training_uses_and_averages_the_moments_of_the_batch():
    net = models.network("convnet_d2", 4, (6, 6, 1), width=8, norm="batch")
    variables, images = _random_variables(net, 0), _images(net, 1)
    logits, updated = jax.jit(partial(net.apply, train=True))(variables, images)
    expected, _, stats = _reference(net, variables, images, train=True)
    close = {"rtol": 1e-4, "atol": 1e-4}
    np.testing.assert_allclose(logits, expected, **close)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, **close),
        updated,
        {"params": variables["params"], "batch_stats": stats},
    )


def test_convnet_parameter_counts_are_those_of_the_literature():
    def count(depth, *args, **kwargs):
        net = models.network(f"convnet_d{depth}", *args, **kwargs)
        params = jax.eval_shape(net.init, jax.random.key(0))["params"]
        return sum(leaf.size for leaf in jax.tree.leaves(params))

    assert count(3, 10, (32, 32, 3)) == 320_010
    # Two input channels fewer in the first 3x3 convolution; again 4 * 4 * 128 features.
    assert count(3, 10, (28, 28, 1)) == 320_010 - 2 * 9 * 128
    assert count(4, 200, (64, 64, 3)) == (
        27 * 128 + 3 * 9 * 128 * 128 + 4 * 3 * 128 + 2048 * 200 + 200
    )
    assert count(3, 10, (32, 32, 3), norm="none") == 320_010 - 3 * 2 * 128


@pytest.mark.parametrize(
    ("size", "depth", "maps"),
    [(28, 3, 4), (28, 5, 1), (32, 1, 16), (32, 5, 1), (30, 2, 7), (64, 6, 1)],
)
def test_convnet_feature_maps_have_the_documented_size(size, depth, maps):
    net = models.network(f"convnet_d{depth}", 10, (size, size, 1), width=4)
    variables = jax.eval_shape(net.init, jax.random.key(0))
    images = jax.ShapeDtypeStruct((2, size, size, 1), jnp.float32)
    features = jax.eval_shape(net.features, variables, images)
    assert features.shape == (2, maps * maps * 4)


def test_convnet_lowerings_agree_in_values_and_gradients():
    def run(lowering):
        net = models.network("convnet_d2", 3, (8, 8, 3), width=4, lowering=lowering)
        variables, images = _random_variables(net, 2), _images(net, 3)
        loss = lambda v: (net.apply(v, images, train=True)[0] ** 2).mean()  # noqa: E731
        return jax.jit(jax.value_and_grad(loss))(variables)

    # Gradients here are of order one; the lowerings only add in another order.
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
        run("patches"),
        run("direct"),
    )


def test_convnet_vmap_over_weights_equals_a_loop():
    net = models.network("convnet_d2", 3, (8, 8, 1), width=4, norm="batch")
    members = [_random_variables(net, seed) for seed in range(3)]
    images = _images(net, 4)
    step = lambda v: net.apply(v, images, train=True)  # noqa: E731
    stacked = jax.tree.map(lambda *a: np.stack(a), *members)
    together = jax.device_get(jax.jit(jax.vmap(step))(stacked))
    alone = jax.jit(step)
    for m, member in enumerate(members):
        jax.tree.map(
            lambda a, b, m=m: np.testing.assert_allclose(a[m], b, rtol=1e-4, atol=1e-5),
            together,
            alone(member),
        )


def test_convnet_permuted_batch_permutes_logits_and_jit_equals_eager():
    net = models.network("convnet_d1", 3, (8, 8, 1), width=4, norm="batch")
    variables, images = _random_variables(net, 5), _images(net, 6, batch=5)
    order = np.asarray([3, 0, 4, 1, 2])
    logits, same = net.apply(variables, images)  # eager
    assert same is variables
    assert logits.dtype == jnp.float32
    jitted = jax.jit(net.apply)
    close = {"rtol": 1e-5, "atol": 1e-5}
    np.testing.assert_allclose(jitted(variables, images)[0], logits, **close)
    permuted = jitted(variables, images[order])[0]
    np.testing.assert_allclose(permuted, np.asarray(logits)[order], **close)


def test_convnet_lowers_its_patches_for_accelerators():
    net = models.network("convnet_d3", 10, (32, 32, 3))
    variables = jax.eval_shape(net.init, jax.random.key(0))
    images = jax.ShapeDtypeStruct((4, 32, 32, 3), jnp.float32)
    traced = jax.jit(net.apply, static_argnames="train").trace(variables, images, True)
    text = traced.lower(lowering_platforms=("tpu", "cuda")).as_text()
    assert "stablehlo.convolution" not in text
