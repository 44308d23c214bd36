"""DenseNet-121: its size, its stems, its blocks, and CV-DD's order of channels."""

import functools
import re

import jax
import jax.numpy as jnp
import mobile
import numpy as np
import pytest
from flax import linen as nn
from jax import lax

from ddjax import models
from ddjax.errors import InputError
from ddjax.models.densenet import DenseNet
from ddjax.models.layers import Conv, Layers
from ddjax.models.torch import _arguments

_trace = functools.partial(mobile.trace, "densenet121")
GROWTH, BLOCKS = 2, (1, 3, 2)


def _conv(x, layer, stride=1):
    pad = (layer["kernel"].shape[0] // 2,) * 2
    return lax.conv_general_dilated(
        x,
        layer["kernel"],
        (stride, stride),
        [pad, pad],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _norm_relu(x, layer, stats):
    image = lambda values: values.reshape(1, 1, 1, -1)  # noqa: E731
    x = (x - image(stats["mean"])) / jnp.sqrt(image(stats["var"]) + 1e-5)
    return jax.nn.relu(x * image(layer["scale"]) + image(layer["bias"]))


def _reference(variables, images, small):
    """Logits and features, layer by layer."""
    params, stats = variables["params"], variables["batch_stats"]
    norm = lambda x, name: _norm_relu(x, params[name], stats[name])  # noqa: E731
    x = _conv(images, params["features.conv0"], 1 if small else 2)
    if not small:
        x = nn.max_pool(norm(x, "features.norm0"), (3, 3), (2, 2), [(1, 1), (1, 1)])
    for block, count in enumerate(BLOCKS, 1):
        maps = [x]
        for i in range(1, count + 1):
            name = f"features.denseblock{block}.denselayer{i}"
            layers, old = params[name], stats[name]
            y = jnp.concatenate(maps, -1)
            y = _conv(_norm_relu(y, layers["norm1"], old["norm1"]), layers["conv1"])
            y = _conv(_norm_relu(y, layers["norm2"], old["norm2"]), layers["conv2"])
            maps.append(y)
        x = jnp.concatenate(maps, -1)
        if block < len(BLOCKS):
            name = f"features.transition{block}"
            x = _conv(norm(x, f"{name}.norm"), params[f"{name}.conv"])
            x = nn.avg_pool(x, (2, 2), (2, 2))
    features = norm(x, "features.norm5").mean((1, 2))
    head = params["classifier"]
    return features @ head["kernel"] + head["bias"][None], features


@pytest.mark.parametrize("small", [True, False])
def test_densenet_equals_its_layers_one_by_one(small):
    net = DenseNet(3, GROWTH, small, Layers(), BLOCKS)
    images = np.random.default_rng(1).normal(size=(2, 25, 25, 3)).astype(np.float32)
    start = functools.partial(net.init, jax.random.key(0))
    variables = mobile.random(jax.eval_shape(start, images), scale=0.3)
    run = functools.partial(net.apply, features=True)
    found = jax.jit(run)(variables, images)
    reference = functools.partial(_reference, small=small)
    for a, b in zip(found, jax.jit(reference)(variables, images), strict=True):
        assert b.std() > 0.1
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("size", "sides"), [(64, [64, 64, 32, 16, 8]), (65, [33, 17, 8, 4, 2])]
)
def test_densenet_divides_small_images_by_8_and_others_by_32(size, sides):
    _, logits, calls = _trace(size)
    last = zip(range(1, 5), (6, 12, 24, 16), strict=True)
    names = (f"features.denseblock{block}.denselayer{i}" for block, i in last)
    maps = [calls[name][1] for name in ("features.conv0", *names)]
    assert [shape[1] for shape in maps] == sides
    assert [shape[3] for shape in maps] == [64, 32, 32, 32, 32]
    wide = [calls[f"features.transition{i}.norm"][1][3] for i in (1, 2, 3)]
    assert [*wide, calls["features.norm5"][1][3]] == [256, 512, 1024, 1024]
    norms = [name for name in calls if "norm" in name]
    assert len(norms) == 2 * 58 + 3 + 1 + (size > 64)
    assert (logits.shape, logits.dtype) == ((2, 1000), jnp.float32)


def test_densenet_starts_as_torchvisions():
    layers = [layer for layer, *_ in _trace(64)[2].values()]
    layers = [layer for layer in layers if isinstance(layer, Conv)]
    assert len(layers) == 120
    # Kaiming normal by fan-in, 18, where other networks have it by fan-out.
    for init in {layer.kernel_init for layer in layers}:
        drawn = init(jax.random.key(0), (3, 3, 2, 4096))
        np.testing.assert_allclose(drawn.std(), 1 / 3, rtol=1e-2)
    (head,) = (layer for layer, *_ in _trace(64)[2].values() if type(layer) is nn.Dense)
    assert not head.bias_init(jax.random.key(0), (5,)).any()


@pytest.mark.parametrize(
    ("size", "options", "message"),
    [
        (7, {}, "image_size: found 7, allowed is at least 8 px with stem small"),
        (28, {"stem": "large"}, "found 28, allowed is at least 29 px with stem large"),
        (32, {"norm": "group", "growth": 6}, "growth: found 6, allowed is a multiple"),
    ],
)
def test_what_leaves_no_map_or_cannot_be_split_is_refused(size, options, message):
    with pytest.raises(InputError, match=message):
        models.create("densenet121", 10, size, **options)


@pytest.mark.parametrize(("size", "small"), [(8, True), (29, False)])
def test_the_smallest_images_leave_a_pixel(size, small):
    net = DenseNet(3, GROWTH, small, Layers(), (1, 1, 1, 1))
    for pixels, left in ((size, True), (size - 1, False)):
        images = np.ones((1, pixels, pixels, 3), np.float32)
        run = jax.jit(net.init_with_output)
        logits, _ = run(jax.random.key(0), images)
        assert np.isfinite(logits).all() == left


def test_weights_go_to_pytorch_and_back_without_being_told_anything():
    net = models.network("densenet121", 5, (64, 64, 1), growth=4)
    expected = _counted(jax.eval_shape(net.init, jax.random.key(0)))
    state = models.to_torch("densenet121", expected)
    assert "features.denseblock3.denselayer24.norm2.running_var" in state
    assert "features.norm0.weight" not in state
    # The names in torchvision's file, in which there are no counts of batches.
    counts = {key: array for key, array in state.items() if "num_batches" in key}
    assert len(counts) == 2 * 58 + 3 + 1
    pattern = r"(denselayer\d+\.(?:norm|conv))(\d)"
    old = {
        re.sub(pattern, r"\1.\2", key): array
        for key, array in state.items()
        if key not in counts
    }
    assert "features.denseblock3.denselayer24.norm.2.running_var" in old
    found = models.from_torch("densenet121", old)
    for layer, stats in models.to_torch("densenet121", found).items():
        np.testing.assert_array_equal(stats, 0 if layer in counts else state[layer])
    assert jax.tree.structure(found) == jax.tree.structure(expected)


def test_densenet_tells_its_stem_and_growth():
    def told(kernel):
        shapes = {"features.conv0.weight": kernel, "classifier.weight": (5, 8)}
        tensors = {key: np.zeros(shape) for key, shape in shapes.items()}
        return _arguments("densenet121", tensors, None, None, {})

    options = {"norm": "none", "growth": 3, "stem": "large"}
    assert told((6, 3, 7, 7)) == (5, (224, 224, 3), options)
    options |= {"growth": 4, "stem": "small"}
    assert told((8, 1, 3, 3)) == (5, (64, 64, 1), options)


def _counted(shapes):
    """Leaves that all differ."""
    start = iter(range(10**6))

    def draw(leaf):
        return (next(start) + np.arange(leaf.size).reshape(leaf.shape)).astype(
            leaf.dtype
        )

    return jax.tree.map(draw, shapes)


def test_cvdd_puts_new_channels_in_front():
    added, first = 2, 4
    # Of the input first, then of the first layer and of the second.
    ours = np.arange(first + 2 * added, dtype=np.float32)
    theirs = np.concatenate((ours[6:], ours[4:6], ours[:4]))
    state = {
        "conv1.weight": np.zeros((first, 3, 3, 3)),
        "dense1.0.bn1.weight": ours[:first],
        "dense1.0.conv2.weight": np.zeros((added, 4 * added, 3, 3)),
        "dense1.2.bn1.running_var": theirs,
        "dense1.2.bn1.num_batches_tracked": np.array(3),
        "dense1.2.conv1.weight": theirs.reshape(1, -1, 1, 1),
        "dense1.2.bn2.weight": theirs,
    }
    block = "features.denseblock1."
    expected = {
        "features.conv0.weight": state["conv1.weight"],
        f"{block}denselayer1.norm1.weight": ours[:first],
        f"{block}denselayer1.conv2.weight": state["dense1.0.conv2.weight"],
        f"{block}denselayer3.norm1.running_var": ours,
        f"{block}denselayer3.norm1.num_batches_tracked": np.array(3),
        f"{block}denselayer3.conv1.weight": ours.reshape(1, -1, 1, 1),
        f"{block}denselayer3.norm2.weight": theirs,
    }
    found = models.MODELS["densenet121"].state_dict.standard(state)
    assert list(found) == list(expected)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_cvdd_turns_all_that_reads_a_block():
    growth, first = 1, 2
    state = {
        "dense1.0.conv2.weight": np.zeros((growth, 4, 3, 3)),
        "trans1.bn.bias": np.arange(first + 6),
        "trans3.conv.weight": np.arange(first + 24).reshape(1, -1, 1, 1),
        "bn.running_mean": np.arange(first + 16),
        "linear.weight": np.arange(first + 16)[None],
        "linear.bias": np.arange(3),
    }
    found = models.MODELS["densenet121"].state_dict.standard(state)
    turned = {
        "features.transition1.norm.bias": [6, 7, 5, 4, 3, 2, 1, 0],
        "features.transition3.conv.weight": [24, 25, *range(23, -1, -1)],
        "features.norm5.running_mean": [16, 17, *range(15, -1, -1)],
        "classifier.weight": [16, 17, *range(15, -1, -1)],
        "classifier.bias": [0, 1, 2],
    }
    assert {key: found[key].ravel().tolist() for key in turned} == turned
