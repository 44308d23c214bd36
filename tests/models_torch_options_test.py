"""What the tensors of a `state_dict` tell about their network."""

import numpy as np
import pytest
from ddjax.models.torch_options import arguments

from ddjax.errors import InputError


def tensors(**shapes):
    """Tensors of these shapes, without their memory; _ stands for a dot."""
    return {
        key.replace("__", "."): np.broadcast_to(np.float32(0), shape)
        for key, shape in shapes.items()
    }


RESNET = tensors(
    conv1__weight=(8, 3, 7, 7),
    bn1__weight=(8,),
    bn1__running_mean=(8,),
    layer4__0__conv1__weight=(64, 32, 3, 3),
    layer4__0__conv2__weight=(64, 64, 3, 3),
    fc__weight=(5, 64),
)
BATCH = {"norm": "batch", "width": 8}


def told(name, found, size=None, **options):
    found = arguments(name, found, None, size, options)
    return found.num_classes, found.image_shape, found.options


def test_a_resnet_tells_its_stem_width_and_norm():
    large = BATCH | {"stem": "large", "downsample": "stride"}
    assert told("resnet18", RESNET) == (5, (224, 224, 3), large)
    assert told("resnet18", RESNET, 96)[1] == (96, 96, 3)
    small = RESNET | tensors(conv1__weight=(8, 1, 3, 3))
    expected = large | {"stem": "small"}
    assert told("resnet18", small) == (5, (64, 64, 1), expected)
    assert told("resnet18", small, norm="group")[2] == expected | {"norm": "group"}
    del small["bn1.running_mean"]
    assert told("resnet18", small)[2] == expected | {"norm": "instance"}
    del small["bn1.weight"]
    assert told("resnet18", small)[2] == expected | {"norm": "none"}


def test_a_resnet_with_pooling_tells_its_image_size():
    found = RESNET | tensors(
        conv1__weight=(8, 3, 3, 3),
        layer2__0__downsample__2__weight=(16,),
        fc__weight=(5, 64 * 4 * 4),
    )
    options = BATCH | {"stem": "small", "downsample": "average"}
    assert told("resnet18", found) == (5, (32, 32, 3), options)


@pytest.mark.parametrize(
    "inputs, size, expected",
    [
        (32 * 32 * 3, None, (32, 32, 3)),
        (28 * 28, None, (28, 28, 1)),
        (16 * 16 * 2, 16, (16, 16, 2)),
    ],
)
def test_an_mlp_tells_its_images_and_layers(inputs, size, expected):
    layers = {f"fc_{i + 1}__weight": (2 + i, 2) for i in range(11)}
    found = tensors(**layers | {"fc_1__weight": (2, inputs)})
    options = {"hidden": tuple(range(2, 12))}
    assert told("mlp", found, size) == (12, expected, options)


def test_an_mlp_on_no_square_must_be_told():
    found = tensors(fc_1__weight=(5, 7))
    with pytest.raises(InputError, match="found none, but the first layer has 7 inp"):
        told("mlp", found)


@pytest.mark.parametrize(
    "name, stem, head, size",
    [
        ("convnet_d3", (16, 1, 3, 3), (2, 16 * 8 * 8), 64),
        ("convnet_d1", (16, 1, 3, 3), (2, 16 * 6 * 6), 12),
    ],
)
def test_a_convnet_tells_its_image_size(name, stem, head, size):
    found = tensors(features__0__weight=stem, classifier__weight=head)
    options = {"width": 16, "norm": "none"}
    assert told(name, found) == (2, (size, size, 1), options)


def test_a_vision_transformer_tells_its_image_size():
    found = tensors(
        conv_proj__weight=(768, 3, 16, 16),
        encoder__pos_embedding=(1, 26, 768),
        heads__head__weight=(9, 768),
    )
    assert told("vit_b_16", found) == (9, (80, 80, 3), {})


def test_missing_ends_and_other_classes_are_refused():
    with pytest.raises(InputError, match="no conv1.0.weight with 4 axes among the 6"):
        told("shufflenet_v2_x0_5", RESNET)
    with pytest.raises(InputError, match="no fc.weight with 2 axes among the 6 tensor"):
        told("resnet18", RESNET | tensors(fc__weight=(5, 64, 1)))
    with pytest.raises(InputError, match="num_classes: found 10, but .* 5 classes"):
        arguments("resnet18", RESNET, 10, None, {})
