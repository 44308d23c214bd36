"""ResNets and ResNetAP-10: sizes, stems, names, behaviour at a tiny width."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddjax import models
from ddjax.models import resnet
from ddjax.models.layers import Layers

TINY = {"width": 2}
# Twenty layers in float32; logits are of order one.
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


def _random_variables(shapes, seed):
    """Variables of these shapes; faster than compiling `init`."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: (
            rng.uniform(0.1, 0.5, leaf.shape)
            * (1 if leaf.ndim < 2 else rng.choice([-1, 1], leaf.shape))
        ).astype(leaf.dtype),
        shapes,
    )


def _variables(net, seed):
    return _random_variables(jax.eval_shape(net.init, jax.random.key(0)), seed)


def _images(net, batch, seed=0):
    shape = (batch, *net.image_shape)
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _conv(x, kernel, stride):
    size = len(kernel)
    pad = (size // 2, size // 2)
    x = np.pad(x, [(0, 0), pad, pad, (0, 0)])
    last = x.shape[1] - size + 1
    return sum(
        x[:, i : i + last : stride, j : j + last : stride] @ kernel[i, j]
        for i in range(size)
        for j in range(size)
    )


def _halve(x):
    b, h, w, c = x.shape
    x = x[:, : h // 2 * 2, : w // 2 * 2]
    return x.reshape(b, h // 2, 2, w // 2, 2, c).mean((2, 4))


def _layer(x, params, stats, i, stride, train, average=False, norm="bn{}"):
    """A convolution and its norm, before which the shortcut is pooled."""
    prefix = "conv" if norm == "bn{}" else "downsample."
    out = _conv(x, params[f"{prefix}{i}"]["kernel"], 1 if average else stride)
    if average and stride == 2 and prefix == "downsample.":
        out = _halve(out)
    layer, moments = params[norm.format(i)], stats[norm.format(i)]
    if train:
        moments = {"mean": out.mean((0, 1, 2)), "var": out.var((0, 1, 2))}
    out = (out - moments["mean"]) / np.sqrt(moments["var"] + 1e-5)
    return out * layer["scale"] + layer["bias"]


def _block(x, params, stats, stride, average, train=False):
    count = 3 if "conv3" in params else 2
    y = x
    for i in range(1, count + 1):
        step = stride if i == count - 1 else 1
        y = _layer(y, params, stats, i, step, train, average)
        if i < count:
            y = np.maximum(y, 0)
            y = _halve(y) if average and step == 2 else y
    if "downsample.0" in params:
        name = "downsample.2" if average else "downsample.1"
        x = _layer(x, params, stats, 0, stride, train, average, name)
    return np.maximum(x + y, 0)


def _reference(module, variables, images, train=False):
    """Logits and features, in float64."""
    variables = jax.tree.map(lambda a: np.asarray(a, np.float64), variables)
    params, stats = variables["params"], variables["batch_stats"]
    large = module.stem == "large"
    x = np.asarray(images, np.float64)
    x = np.maximum(_layer(x, params, stats, 1, 2 if large else 1, train), 0)
    if large:
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
    for stage in range(4):
        for block in range(module.blocks[stage]):
            name = f"layer{stage + 1}.{block}"
            stride = 2 if stage and not block else 1
            x = _block(x, params[name], stats[name], stride, module.average, train)
    features = x.mean((1, 2))
    if module.average:
        features = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
    head = params["fc"]
    return features @ head["kernel"] + head["bias"], features


def _count(name, *args, **options):
    net = models.network(name, *args, **options)
    variables = jax.eval_shape(net.init, jax.random.key(0))
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def test_resnet18_has_the_parameters_of_its_stem_and_of_its_features():
    # A 3x3 instead of a 7x7 stem, and 10 instead of 1000 classes.
    small = 11_689_512 - (49 - 9) * 3 * 64 - 990 * 513
    count = partial(_count, "resnet18", 10)
    assert count((64, 64, 3)) == small
    # DC reads maps of 4x4, or 3x3 from one channel of 28 px.
    assert count((32, 32, 3), downsample="average") == small + 15 * 512 * 10
    digits = count((28, 28, 1), downsample="average")
    assert digits == small - 2 * 9 * 64 + 8 * 512 * 10


@pytest.mark.parametrize(
    ("size", "options", "sides"),
    [
        (224, {}, [112, 56, 28, 14, 7]),
        (33, {}, [33, 33, 17, 9, 5]),
        (33, {"downsample": "average"}, [33, 33, 16, 8, 4]),
        (65, {"downsample": "average"}, [65, 65, 32, 16, 8]),
    ],
)
def test_resnet18_maps_have_the_sides_of_the_source(size, options, sides):
    options = options | {"width": 4, "dtype": "bfloat16"}
    net = models.network("resnet18", 10, (size, size, 3), **options)
    images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    (logits, features), state = jax.eval_shape(
        lambda v, x: net.module.apply(v, x, features=True, capture_intermediates=True),
        jax.eval_shape(net.init, jax.random.key(0)),
        images,
    )
    names = ["bn1", *(f"layer{s}.1" for s in range(1, 5))]
    maps = [state["intermediates"][name]["__call__"][0] for name in names]
    assert [x.shape[1] for x in maps] == sides
    assert maps[-1].shape[3] == 8 * 4
    assert {x.dtype for x in maps} == {jnp.dtype("bfloat16")}
    assert {logits.dtype, features.dtype} == {jnp.dtype("float32")}


def test_resnet18_stem_depends_on_the_size_and_can_be_forced():
    assert models.create("resnet18", 10, 64).stem == "small"
    assert models.create("resnet18", 10, 65).stem == "large"
    assert models.create("resnet18", 10, 32, stem="large").stem == "large"
    assert models.create("resnet18", 10, 224, stem="small").stem == "small"


@pytest.mark.parametrize(
    ("bottleneck", "average", "stride"),
    [(False, False, 2), (True, False, 2), (False, True, 2), (True, True, 1)],
)
def test_block_equals_a_reference(bottleneck, average, stride):
    block = resnet.Block(2, stride, Layers(), bottleneck, average)
    x = np.random.default_rng(1).normal(size=(2, 5, 5, 2)).astype(np.float32)
    run = partial(block.apply, train=False)
    shapes = jax.eval_shape(lambda k: block.init(k, x, False), jax.random.key(0))
    variables = _random_variables(shapes, 2)
    assert "downsample.0" in variables["params"]
    expected = _block(x, variables["params"], variables["batch_stats"], stride, average)
    assert expected.std() > 0.1
    np.testing.assert_allclose(jax.jit(run)(variables, x), expected, **CLOSE)


@pytest.mark.parametrize(
    ("size", "options"),
    [(17, {"stem": "large"}), (16, {"downsample": "average", "lowering": "direct"})],
)
def test_resnet18_equals_a_reference_and_sees_each_image_alone(size, options):
    net = models.network("resnet18", 3, (size, size, 3), **options, **TINY)
    variables, images = _variables(net, 3), _images(net, 3)
    run = jax.jit(partial(net.module.apply, features=True))
    found = jax.device_get(run(variables, images))
    expected = _reference(net.module, variables, images)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, **CLOSE)
    order = np.asarray([2, 0, 1])
    permuted = run(variables, images[order])[0]
    np.testing.assert_allclose(permuted, found[0][order], **CLOSE)


def test_resnet18_trains_members_under_vmap_as_each_alone():
    net = models.network("resnet18", 3, (8, 8, 3), **TINY)
    members = [_variables(net, seed) for seed in range(2)]
    images = _images(net, 4)
    stacked = jax.tree.map(lambda *a: np.stack(a), *members)
    run = jax.jit(jax.vmap(partial(net.apply, train=True), (0, None)))
    logits, updated = jax.device_get(run(stacked, images))
    for m, member in enumerate(members):
        # Norms over as few as 4 numbers magnify rounding from layer to layer.
        expected, _ = _reference(net.module, member, images, train=True)
        np.testing.assert_allclose(logits[m], expected, rtol=1e-3, atol=1e-3)
    new, old = updated["batch_stats"], stacked["batch_stats"]
    # Mean, variance and count of each norm.
    assert len(jax.tree.leaves(new)) == 3 * 20
    jax.tree.map(lambda a, b: np.testing.assert_(np.all(a != b)), new, old)
    jax.tree.map(np.testing.assert_array_equal, updated["params"], stacked["params"])


@pytest.mark.parametrize("downsample", ["stride", "average"])
def test_resnet18_starts_as_its_source(downsample):
    net = models.network("resnet18", 3, (8, 8, 3), width=32, downsample=downsample)

    @jax.jit
    def spreads(key):
        params = net.init(key)["params"]
        layers = params["conv1"], params["layer2.0"]["downsample.0"]
        return [layer["kernel"].std() for layer in layers]

    # Of 3x3 from 3 to 32 channels, and of 1x1 from 32 to 64: Kaiming normal by
    # fan-out, and uniform on +-1/sqrt(fan_in).
    variances = {
        "stride": [2 / (9 * 32), 2 / 64],
        "average": [1 / (3 * 27), 1 / (3 * 32)],
    }
    found = spreads(jax.random.key(0))
    # At least 864 draws: relative standard error of the standard deviation 2.4 %.
    np.testing.assert_allclose(found, np.sqrt(variances[downsample]), rtol=0.1)


def test_block_has_biases_only_without_norm():
    x = jax.ShapeDtypeStruct((2, 4, 4, 2), jnp.float32)
    biases = {}
    for norm in ("none", "instance"):
        block = resnet.Block(4, 2, Layers(norm))
        init = lambda key, x, block=block: block.init(key, x, False)  # noqa: E731
        params = jax.eval_shape(init, jax.random.key(0), x)["params"]
        biases[norm] = {name for name, layer in params.items() if "bias" in layer}
    assert biases["none"] == {"conv1", "conv2", "downsample.0"}
    assert biases["instance"] == {"bn1", "bn2", "downsample.1"}


def _ap_shapes(net):
    return jax.eval_shape(net.init, jax.random.key(0))


@pytest.mark.parametrize(
    ("size", "kernel", "sides"),
    [
        (28, 3, [28, 28, 14, 7, 3]),
        (64, 3, [64, 64, 32, 16, 8]),
        (65, 3, [65, 32, 16, 8, 4]),
        (128, 3, [128, 64, 32, 16, 8]),
        (129, 7, [129, 32, 16, 8, 4]),
    ],
)
def test_resnet_ap10_has_the_stem_and_the_maps_of_idc(size, kernel, sides):
    net = models.network("resnet_ap10", 10, (size, size, 3), width=4)
    images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    variables = _ap_shapes(net)
    (_, features), state = jax.eval_shape(
        lambda v, x: net.module.apply(v, x, features=True, capture_intermediates=True),
        variables,
        images,
    )
    names = ["layer0.bn1", *(f"layer{s}.0" for s in range(1, 5))]
    maps = [state["intermediates"][name]["__call__"][0] for name in names]
    assert [x.shape[1] for x in maps] == sides
    assert variables["params"]["layer0.conv1"]["kernel"].shape[0] == kernel
    assert features.shape == (1, 8 * 4)


def test_resnet_ap10_has_the_parameters_and_the_norm_of_idc():
    net = models.network("resnet_ap10", 10, (224, 224, 3))
    variables = _ap_shapes(net)
    assert set(variables) == {"params"}
    # 3x3 and 1x1 kernels, two numbers a channel for each norm, and the linear layer.
    stages, inputs = 0, 64
    for outputs in (64, 128, 256, 512):
        stages += 9 * (inputs + outputs) * outputs + 2 * 2 * outputs
        if inputs != outputs:
            stages += inputs * outputs + 2 * outputs
        inputs = outputs
    expected = 49 * 3 * 64 + 2 * 64 + stages + 513 * 10
    assert sum(a.size for a in jax.tree.leaves(variables)) == expected
    names = {"conv1", "bn1", "conv2", "bn2"}
    assert set(variables["params"]["layer1.0"]) == names
    for stage in (2, 3, 4):
        found = set(variables["params"][f"layer{stage}.0"])
        assert found == names | {"downsample.0", "downsample.2"}


def test_resnet_ap10_is_its_stem_its_blocks_and_a_mean():
    net = models.network("resnet_ap10", 3, (132, 132, 1), width=2, norm="none")
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda leaf: rng.normal(size=leaf.shape).astype(np.float32) / 2,
        _ap_shapes(net)["params"],
    )
    images = rng.normal(size=(2, 132, 132, 1)).astype(np.float32)

    def expected(params, images):
        stem = params["layer0.conv1"]
        x = jax.lax.conv_general_dilated(
            images,
            stem["kernel"],
            (1, 1),
            ((3, 3), (3, 3)),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        x = jnp.maximum(x + stem["bias"].reshape(1, 1, 1, -1), 0)
        x = x.reshape(2, 33, 4, 33, 4, 2).mean((2, 4))
        for stage in range(4):
            stride = 2 if stage else 1
            block = resnet.Block(2 * 2**stage, stride, Layers("none"), average=True)
            x = block.apply({"params": params[f"layer{stage + 1}.0"]}, x, False)
        head = params["fc"]
        features = x.mean((1, 2))
        return features @ head["kernel"] + head["bias"].reshape(1, -1), features

    found = jax.jit(partial(net.module.apply, features=True))(
        {"params": params}, images
    )
    for a, b in zip(found, jax.jit(expected)(params, images), strict=True):
        # Ten layers in float32, each of which may double the numbers.
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * np.abs(b).max())
