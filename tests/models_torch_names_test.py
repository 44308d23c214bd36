"""Names of tensors in other libraries, by hand and against those installed."""

import re

import numpy as np
import pytest
from ddjax.models.torch_names import family, standard

from ddjax import models
from ddjax.errors import InputError


def renamed(name, *keys):
    """Our names of tensors that another library calls by these keys."""
    return list(standard(name, dict.fromkeys(keys, np.zeros(1))))


@pytest.mark.parametrize(
    "name, key, expected",
    [
        ("resnet18", "layer2.0.shortcut.0.weight", "layer2.0.downsample.0.weight"),
        ("resnet18", "linear.bias", "fc.bias"),
        ("resnet50", "classifier.weight", "fc.weight"),
        ("vgg11", "pre_logits.fc2.bias", "classifier.3.bias"),
        ("vgg11", "head.fc.weight", "classifier.6.weight"),
        ("mobilenet_v2", "conv_stem.weight", "features.0.0.weight"),
        ("mobilenet_v2", "bn1.running_var", "features.0.1.running_var"),
        ("mobilenet_v2", "blocks.0.0.conv_dw.weight", "features.1.conv.0.0.weight"),
        ("mobilenet_v2", "blocks.0.0.bn2.bias", "features.1.conv.2.bias"),
        ("mobilenet_v2", "blocks.1.0.bn2.bias", "features.2.conv.1.1.bias"),
        ("mobilenet_v2", "blocks.3.3.conv_pwl.weight", "features.10.conv.2.weight"),
        ("mobilenet_v2", "blocks.2.0.bn3.bias", "features.4.conv.3.bias"),
        ("mobilenet_v2", "blocks.4.0.bn3.bias", "features.11.conv.3.bias"),
        ("mobilenet_v2", "blocks.5.0.bn3.bias", "features.14.conv.3.bias"),
        ("mobilenet_v2", "blocks.6.0.bn3.weight", "features.17.conv.3.weight"),
        ("mobilenet_v2", "conv_head.weight", "features.18.0.weight"),
        ("mobilenet_v2", "classifier.bias", "classifier.1.bias"),
        (
            "efficientnet_b0",
            "blocks.0.0.se.conv_expand.bias",
            "features.1.0.block.1.fc2.bias",
        ),
        (
            "efficientnet_b0",
            "blocks.4.2.se.conv_reduce.weight",
            "features.5.2.block.2.fc1.weight",
        ),
        (
            "efficientnet_b0",
            "blocks.0.0.conv_pw.weight",
            "features.1.0.block.2.0.weight",
        ),
        (
            "efficientnet_b0",
            "blocks.6.0.conv_dw.weight",
            "features.7.0.block.1.0.weight",
        ),
        ("efficientnet_b0", "bn2.weight", "features.8.1.weight"),
        ("vit_b_16", "pos_embed", "encoder.pos_embedding"),
        (
            "vit_b_16",
            "blocks.11.attn.qkv.weight",
            "encoder.layers.encoder_layer_11.self_attention.in_proj_weight",
        ),
        ("vit_b_16", "blocks.0.norm2.bias", "encoder.layers.encoder_layer_0.ln_2.bias"),
        ("vit_b_16", "norm.bias", "encoder.ln.bias"),
        ("swin_v2_t", "layers.0.blocks.1.norm1.bias", "features.1.1.norm1.bias"),
        ("swin_v2_t", "layers.3.downsample.norm.bias", "features.6.norm.bias"),
        ("swin_v2_t", "layers.2.blocks.5.mlp.fc2.bias", "features.5.5.mlp.3.bias"),
        ("swin_v2_t", "norm.weight", "norm.weight"),
    ],
)
def test_names_of_other_libraries_become_ours(name, key, expected):
    assert renamed(name, key) == [expected]
    assert renamed(name, expected) == [expected]


def test_idc_convnets_count_norms_apart():
    keys = ["layers.conv.2.bias", "layers.norm.2.bias", "classifier.bias"]
    found = renamed("convnet_d3", *keys)
    assert found == ["features.8.bias", "features.9.bias", "classifier.bias"]
    # Without norms a block has three layers.
    assert renamed("convnet_d3", keys[0], keys[2]) == ["features.6.bias", keys[2]]


def test_two_tensors_of_one_name_are_refused():
    with pytest.raises(InputError, match="linear.bias: found two .* called fc.bias"):
        renamed("resnet18", "fc.bias", "linear.bias")
    layer = "features.1.0.attn."
    with pytest.raises(InputError, match="found two .* called .*attn.qkv.bias here"):
        renamed("swin_v2_t", *(f"{layer}{part}bias" for part in ("qkv.", "q_", "v_")))


def test_dense_layers_and_biases_of_timm_get_our_shapes():
    weight = np.arange(24.0).reshape(2, 3, 2, 2)
    found = standard("vgg11", {"pre_logits.fc1.weight": weight})
    np.testing.assert_array_equal(found["classifier.0.weight"], weight.reshape(2, 12))
    biases = {"attn.q_bias": np.array([1.0, 2.0]), "attn.v_bias": np.array([3.0, 4.0])}
    found = standard("swin_v2_t", biases)
    np.testing.assert_array_equal(found.pop("attn.qkv.bias"), [1, 2, 0, 0, 3, 4])
    assert not found


def test_every_network_has_a_family():
    assert all(family(name).stem for name in models.MODELS)
    assert family("resnet_ap10").stem != family("resnet18").stem


# Without VGG, which takes minutes to build.
TIMM = {
    "mobilenet_v2": ("mobilenetv2_100", 64),
    "efficientnet_b0": ("efficientnet_b0", 64),
    "vit_b_16": ("vit_base_patch16_224", 224),
    "swin_v2_t": ("swinv2_tiny_window8_256", 256),
    "resnet50": ("resnet50", 64),
}


@pytest.mark.parametrize("name", TIMM)
def test_timm_weights_under_our_names_are_the_same_function(name):
    torch = pytest.importorskip("torch")
    timm = pytest.importorskip("timm")
    torchvision = pytest.importorskip("torchvision")
    theirs, size = TIMM[name]
    torch.manual_seed(0)
    source = timm.create_model(theirs, pretrained=False, num_classes=5).eval()
    with torch.no_grad():
        for key, tensor in source.state_dict().items():
            if re.search(r"(bias|mean|norm\d?\.weight|bn\d\.weight|embed)$", key):
                tensor.uniform_(0.1, 0.9)
    state = {key: tensor.numpy() for key, tensor in source.state_dict().items()}
    with torch.device("meta"):
        target = getattr(torchvision.models, name)(num_classes=5).eval()
    found = {k: torch.from_numpy(v) for k, v in standard(name, state).items()}
    if name == "swin_v2_t":  # The constants that timm does not write.
        whole = torchvision.models.swin_v2_t(num_classes=5).state_dict()
        found |= {key: v for key, v in whole.items() if "relative_" in key}
    target.load_state_dict(found, strict=True, assign=True)
    images = torch.randn(2, 3, size, size)
    with torch.no_grad():
        expected, logits = source(images), target(images)
    assert (logits - expected).abs().max() < 1e-4 * expected.abs().max()
