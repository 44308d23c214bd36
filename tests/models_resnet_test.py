"""ResNet-18: its size, its stems, and its behaviour at a tiny width."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddjax import models
from ddjax.errors import InputError
from ddjax.models import resnet

TINY = {"width": 2}


def _random_variables(net, seed):
    """Variables of the right shapes; faster than compiling `init`."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: (
            rng.uniform(0.1, 0.5, leaf.shape)
            * (1 if leaf.ndim == 1 else rng.choice([-1, 1], leaf.shape))
        ).astype(np.float32),
        jax.eval_shape(net.init, jax.random.key(0)),
    )


def _images(net, batch, seed=0):
    shape = (batch, *net.image_shape)
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _reference(variables, images, large_stem, train=False):
    """Logits and features, in float64."""
    variables = jax.tree.map(lambda a: np.asarray(a, np.float64), variables)

    def conv_norm(x, params, stats, stride):
        kernel = params["conv"]["kernel"]
        size = len(kernel)
        pad = (size // 2, size // 2)
        x = np.pad(x, [(0, 0), pad, pad, (0, 0)])
        last = x.shape[1] - size + 1
        out = sum(
            x[:, i : i + last : stride, j : j + last : stride] @ kernel[i, j]
            for i in range(size)
            for j in range(size)
        )
        norm, stats = params["norm"], stats["norm"]
        if train:
            stats = {"mean": out.mean((0, 1, 2)), "var": out.var((0, 1, 2))}
        out = (out - stats["mean"]) / np.sqrt(stats["var"] + 1e-5)
        return out * norm["scale"] + norm["bias"]

    params, stats = variables["params"], variables["batch_stats"]
    x = np.asarray(images, np.float64)
    x = conv_norm(x, params["stem"], stats["stem"], 2 if large_stem else 1)
    x = np.maximum(x, 0)
    if large_stem:
        side = (x.shape[1] + 1) // 2
        x = np.pad(x, [(0, 0), (1, 2), (1, 2), (0, 0)])
        x = np.max(
            [
                x[:, i : i + 2 * side : 2, j : j + 2 * side : 2]
                for i in range(3)
                for j in range(3)
            ],
            axis=0,
        )
    for name in [f"stage{s}_block{b}" for s in range(4) for b in range(2)]:
        layers, old = params[name], stats[name]
        stride = 1 if name == "stage0_block0" or "shortcut" not in layers else 2
        y = conv_norm(x, layers["first"], old["first"], stride)
        y = conv_norm(np.maximum(y, 0), layers["second"], old["second"], 1)
        if "shortcut" in layers:
            x = conv_norm(x, layers["shortcut"], old["shortcut"], stride)
        x = np.maximum(x + y, 0)
    features = x.mean((1, 2))
    head = params["head"]
    return features @ head["kernel"] + head["bias"], features


def _count(*args, **options):
    net = models.network("resnet18", *args, **options)
    variables = jax.eval_shape(net.init, jax.random.key(0))
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def test_resnet18_has_the_parameters_of_torchvision():
    assert _count(1000, (224, 224, 3)) == 11_689_512
    # A 3x3 instead of a 7x7 stem, and 10 instead of 1000 classes.
    small = 11_689_512 - (49 - 9) * 3 * 64 - 990 * 513
    assert _count(10, (32, 32, 3)) == small
    assert _count(10, (64, 64, 3)) == small
    assert _count(10, (65, 65, 3)) == small + (49 - 9) * 3 * 64


@pytest.mark.parametrize(
    ("size", "stem", "sides"),
    [
        (224, "large", [112, 56, 28, 14, 7]),
        (32, "small", [32, 32, 16, 8, 4]),
        (33, "small", [33, 33, 17, 9, 5]),
    ],
)
def test_resnet18_maps_have_the_sides_of_torchvision(size, stem, sides):
    net = models.network("resnet18", 10, (size, size, 3), width=4)
    assert net.module.stem == stem
    images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    variables = jax.eval_shape(net.init, jax.random.key(0))
    _, state = jax.eval_shape(
        lambda v, x: net.module.apply(v, x, capture_intermediates=True),
        variables,
        images,
    )
    maps = state["intermediates"]
    names = ["stem", *(f"stage{s}_block1" for s in range(4))]
    assert [maps[name]["__call__"][0].shape[1] for name in names] == sides
    assert maps["stage3_block1"]["__call__"][0].shape[3] == 8 * 4


def test_resnet18_stem_can_be_forced():
    assert models.create("resnet18", 10, 32, stem="large").stem == "large"
    assert models.create("resnet18", 10, 224, stem="small").stem == "small"


def test_conv_norm_starts_as_kaiming_normal_without_bias():
    layer = resnet.ConvNorm(16, 3, 1, "batch", "auto")
    params = layer.init(jax.random.key(0), jnp.ones((1, 4, 4, 32)), False)["params"]
    assert set(params["conv"]) == {"kernel"}
    # 4608 normal draws: relative standard error of the standard deviation 1 %.
    expected = np.sqrt(2 / (3 * 3 * 16))
    np.testing.assert_allclose(params["conv"]["kernel"].std(), expected, rtol=0.05)
    np.testing.assert_array_equal(params["norm"]["scale"], np.ones(16))


def test_basic_block_with_zero_scales_is_a_rectified_shortcut():
    block = resnet.BasicBlock(2, 1, "instance", "auto")
    x = jnp.asarray(np.random.default_rng(1).normal(size=(2, 4, 4, 2)), jnp.float32)
    shapes = jax.eval_shape(lambda k: block.init(k, x, False), jax.random.key(0))
    zeros = jax.tree.map(jnp.zeros_like, shapes)
    assert set(zeros["params"]) == {"first", "second"}
    out = block.apply(zeros, x, False)
    np.testing.assert_array_equal(out, np.maximum(x, 0))


def test_resnet18_trains_members_under_vmap_as_each_alone():
    net = models.network("resnet18", 3, (8, 8, 3), **TINY)
    members = [_random_variables(net, seed) for seed in range(2)]
    images = _images(net, 4)
    stacked = jax.tree.map(lambda *a: np.stack(a), *members)
    run = jax.jit(jax.vmap(partial(net.apply, train=True), (0, None)))
    logits, updated = jax.device_get(run(stacked, images))
    for m, member in enumerate(members):
        # Norms over as few as 4 numbers magnify rounding from layer to layer.
        expected, _ = _reference(member, images, large_stem=False, train=True)
        np.testing.assert_allclose(logits[m], expected, rtol=1e-3, atol=1e-3)
    new, old = updated["batch_stats"], stacked["batch_stats"]
    assert len(jax.tree.leaves(new)) == 2 * 20
    jax.tree.map(lambda a, b: np.testing.assert_(np.all(a != b)), new, old)
    jax.tree.map(np.testing.assert_array_equal, updated["params"], stacked["params"])


@pytest.mark.parametrize(
    ("size", "stem", "lowering"),
    [(8, "small", "direct"), (17, "large", "patches")],
)
def test_resnet18_equals_a_reference_and_sees_each_image_alone(size, stem, lowering):
    net = models.network(
        "resnet18", 3, (size, size, 3), stem=stem, lowering=lowering, **TINY
    )
    variables, images = _random_variables(net, 3), _images(net, 3)
    run = jax.jit(partial(net.module.apply, features=True))
    found = jax.device_get(run(variables, images))
    # Twenty layers in float32; logits are of order one.
    close = {"rtol": 1e-4, "atol": 1e-4}
    for a, b in zip(found, _reference(variables, images, stem == "large"), strict=True):
        np.testing.assert_allclose(a, b, **close)
    logits, features = found
    assert logits.dtype == jnp.float32
    assert features.shape == (3, 8 * 2)
    order = np.asarray([2, 0, 1])
    np.testing.assert_allclose(run(variables, images[order])[0], logits[order], **close)


def test_basic_block_jit_equals_eager():
    block = resnet.BasicBlock(4, 2, "batch", "auto")
    rng = np.random.default_rng(2)
    x = jnp.asarray(rng.normal(size=(2, 5, 5, 2)), jnp.float32)
    shapes = jax.eval_shape(lambda k: block.init(k, x, False), jax.random.key(0))
    variables = jax.tree.map(
        lambda leaf: jnp.asarray(rng.uniform(size=leaf.shape), jnp.float32), shapes
    )
    assert set(variables["params"]) == {"first", "second", "shortcut"}
    run = partial(block.apply, train=False)
    eager = run(variables, x)
    assert eager.shape == (2, 3, 3, 4)
    np.testing.assert_allclose(jax.jit(run)(variables, x), eager, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stem": "tiny"}, r"^stem: found 'tiny', allowed: auto, small, large"),
        ({"width": 0}, r"^width: found 0, allowed is an integer of at least 1"),
        ({"norm": "group", "width": 6}, r"^width: found 6, .*multiple of 4"),
        ({"norm": "x"}, r"^norm: found 'x', allowed: instance"),
        ({"lowering": 1}, r"^lowering: found 1, allowed: auto"),
        ({"depth": 3}, r"^depth: .*resnet18 has no .*: width, stem, norm, lowering"),
    ],
)
def test_resnet18_refuses_a_wrong_option_by_name(options, message):
    with pytest.raises(InputError, match=message):
        models.create("resnet18", 10, 32, **options)


def test_resnet18_lowers_for_accelerators():
    net = models.network("resnet18", 1000, (224, 224, 3), lowering="direct")
    variables = jax.eval_shape(net.init, jax.random.key(0))
    images = jax.ShapeDtypeStruct((2, 224, 224, 3), jnp.float32)
    traced = jax.jit(net.apply, static_argnames="train").trace(variables, images, True)
    for platform in ("tpu", "cuda"):
        lowered = traced.lower(lowering_platforms=(platform,))
        assert "stablehlo.convolution" in lowered.as_text()
