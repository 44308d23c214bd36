"""ResNetAP-10: its stems, its names, and what its blocks are."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddjax import models
from ddjax.errors import InputError
from ddjax.models.layers import Layers
from ddjax.models.resnet import Block


def _shapes(net):
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
    variables = _shapes(net)
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
    variables = _shapes(net)
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
        _shapes(net)["params"],
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
            block = Block(2 * 2**stage, stride, Layers("none"), average=True)
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


@pytest.mark.parametrize(
    ("size", "options", "message"),
    [
        (7, {}, r"^image_size: found 7, allowed is at least 8 px, since three stages"),
        (32, {"width": 0}, r"^width: found 0, allowed is an integer of at least 1"),
        (32, {"norm": "group", "width": 6}, r"^width: found 6, .*multiple of 4"),
        (32, {"dtype": "x"}, r"^dtype: found 'x', allowed: float32, bfloat16"),
        (32, {"stem": "small"}, r"^stem: .* no such option; .*: width, norm, dtype, "),
    ],
)
def test_resnet_ap10_refuses_a_wrong_option_by_name(size, options, message):
    with pytest.raises(InputError, match=message):
        models.create("resnet_ap10", 10, size, **options)
