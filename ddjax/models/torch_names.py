"""The names of tensors in PyTorch: ours, and those other libraries use for them.

Ours are torchvision's, or those of the paper's code for networks it does not have.
"""

import dataclasses
import re

import numpy as np

from ddjax.errors import InputError

# A pattern, and what takes its place.
Alias = tuple[str, str]


@dataclasses.dataclass(frozen=True)
class Family:
    """What networks of one kind call their tensors.

    Attributes:
      stem: name of the first layer, which sees the image.
      head: name of the last one, which gives the logits; * stands for a number, the
        largest there is.
      aliases: replaced one after the other in a name of another library; none fits a
        name of ours.
    """

    stem: str
    head: str
    aliases: tuple[Alias, ...] = ()


def standard(name: str, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Gives tensors of other libraries our names, and our shapes where they differ.

    Known are DC, IDC and CIFAR networks that end in "classifier" or "linear" or have a
    "shortcut", and timm's vgg11, mobilenetv2_100, efficientnet_b0,
    vit_base_patch16_224 and swinv2_tiny_window8_256; its resnets have our names.

    Args:
      name: of the network.
      tensors: name -> array in PyTorch's layout.

    Returns:
      The same under our names; names that are not known stay what they are.

    Raises:
      InputError: two tensors would have the same name.
    """
    aliases = [(re.compile(p), r) for p, r in family(name).aliases]
    if name.startswith("convnet"):
        aliases = _idc_convnet(tensors)
    found = {}
    for key, array in tensors.items():
        ours = key
        for pattern, replacement in aliases:
            ours = pattern.sub(replacement, ours)
        _put(found, ours, array, key)
    if name == "vgg11":
        # timm's dense layers are convolutions that see their whole map at once.
        for key in ("classifier.0.weight", "classifier.3.weight"):
            if key in found:
                found[key] = found[key].reshape(len(found[key]), -1)
    if name == "swin_v2_t":
        _join_biases(found)
    return found


def _put(found, key, array, original):
    if key in found:
        raise InputError(
            f"{original}: found two tensors that are called {key} here, allowed is one"
        )
    found[key] = array


def _join_biases(found):
    """Makes one bias of timm's for queries and for values; that of keys is zero."""
    for key in [key for key in found if key.endswith(".q_bias")]:
        layer = key.removesuffix("q_bias")
        if layer + "v_bias" in found:
            query, value = found.pop(key), found.pop(layer + "v_bias")
            joined = np.concatenate([query, np.zeros_like(query), value])
            _put(found, layer + "qkv.bias", joined, key)


def _idc_convnet(tensors):
    """IDC and RDED count convolutions and norms apart, DC every layer in a row."""
    step = 4 if any(key.startswith("layers.norm.") for key in tensors) else 3
    return [
        (re.compile(rf"^layers\.{kind}\.{i}\."), f"features.{step * i + offset}.")
        for i in range(6)
        for kind, offset in (("conv", 0), ("norm", 1))
    ]


_RESIDUAL = ((r"^(classifier|linear)\.", "fc."), (r"\.shortcut\.", ".downsample."))
_TIMM_VGG = (
    (r"^pre_logits\.fc1\.", "classifier.0."),
    (r"^pre_logits\.fc2\.", "classifier.3."),
    (r"^head\.fc\.", "classifier.6."),
)
_TIMM_ENDS = (
    (r"^conv_stem\.", "features.0.0."),
    (r"^bn1\.", "features.0.1."),
    (r"^classifier\.(weight|bias)$", r"classifier.1.\1"),
)
# timm counts the blocks of each stage, torchvision all in a row; before the first block
# are none, after it 1, and so on.
_MOBILENET_BLOCKS = (0, 1, 3, 6, 10, 13, 16)
_TIMM_MOBILENET = (
    *_TIMM_ENDS,
    (r"^conv_head\.", "features.18.0."),
    (r"^bn2\.", "features.18.1."),
    *(
        (rf"^blocks\.{stage}\.{i}\.", f"features.{before + i + 1}.")
        for stage, before in enumerate(_MOBILENET_BLOCKS)
        for i in range(4)
    ),
    # The first block does not widen.
    (r"^features\.1\.conv_dw\.", "features.1.conv.0.0."),
    (r"^features\.1\.bn1\.", "features.1.conv.0.1."),
    (r"^features\.1\.conv_pw\.", "features.1.conv.1."),
    (r"^features\.1\.bn2\.", "features.1.conv.2."),
    (r"\.conv_pw\.", ".conv.0.0."),
    (r"\.bn1\.", ".conv.0.1."),
    (r"\.conv_dw\.", ".conv.1.0."),
    (r"\.bn2\.", ".conv.1.1."),
    (r"\.conv_pwl\.", ".conv.2."),
    (r"\.bn3\.", ".conv.3."),
)
_TIMM_EFFICIENTNET = (
    *_TIMM_ENDS,
    (r"^conv_head\.", "features.8.0."),
    (r"^bn2\.", "features.8.1."),
    *((rf"^blocks\.{i}\.(\d+)\.", rf"features.{i + 1}.\1.block.") for i in range(7)),
    # The first block does not widen.
    (r"^(features\.1\.0\.block)\.conv_dw\.", r"\1.0.0."),
    (r"^(features\.1\.0\.block)\.bn1\.", r"\1.0.1."),
    (r"^(features\.1\.0\.block)\.se\.", r"\1.1."),
    (r"^(features\.1\.0\.block)\.conv_pw\.", r"\1.2.0."),
    (r"^(features\.1\.0\.block)\.bn2\.", r"\1.2.1."),
    (r"\.conv_pw\.", ".0.0."),
    (r"\.bn1\.", ".0.1."),
    (r"\.conv_dw\.", ".1.0."),
    (r"\.bn2\.", ".1.1."),
    (r"\.se\.", ".2."),
    (r"\.conv_reduce\.", ".fc1."),
    (r"\.conv_expand\.", ".fc2."),
    (r"\.conv_pwl\.", ".3.0."),
    (r"\.bn3\.", ".3.1."),
)
_TIMM_VIT = (
    (r"^cls_token$", "class_token"),
    (r"^pos_embed$", "encoder.pos_embedding"),
    (r"^patch_embed\.proj\.", "conv_proj."),
    (r"^blocks\.", "encoder.layers.encoder_layer_"),
    (r"\.norm(1|2)\.", r".ln_\1."),
    (r"\.attn\.qkv\.", ".self_attention.in_proj_"),
    (r"\.attn\.proj\.", ".self_attention.out_proj."),
    (r"\.mlp\.fc1\.", ".mlp.0."),
    (r"\.mlp\.fc2\.", ".mlp.3."),
    (r"^norm\.", "encoder.ln."),
    (r"^head\.", "heads.head."),
    # torchvision's own names of old.
    (r"\.mlp\.linear_1\.", ".mlp.0."),
    (r"\.mlp\.linear_2\.", ".mlp.3."),
)
_TIMM_SWIN = (
    (r"^patch_embed\.proj\.", "features.0.0."),
    (r"^patch_embed\.norm\.", "features.0.2."),
    *((rf"^layers\.{i}\.blocks\.", f"features.{2 * i + 1}.") for i in range(4)),
    *((rf"^layers\.{i}\.downsample\.", f"features.{2 * i}.") for i in range(1, 4)),
    (r"\.mlp\.fc1\.", ".mlp.0."),
    (r"\.mlp\.fc2\.", ".mlp.3."),
    (r"^head\.fc\.", "head."),
)

# By how the network's name begins; the first that fits counts.
_FAMILIES = {
    "alexnet": Family("features.0", "classifier.6"),
    "convnet": Family("features.0", "classifier"),
    "efficientnet": Family("features.0.0", "classifier.1", _TIMM_EFFICIENTNET),
    "mlp": Family("fc_1", "fc_*"),
    "mobilenet": Family("features.0.0", "classifier.1", _TIMM_MOBILENET),
    "resnet_ap": Family("layer0.conv1", "fc", _RESIDUAL),
    "resnet": Family("conv1", "fc", _RESIDUAL),
    "shufflenet": Family("conv1.0", "fc"),
    "swin": Family("features.0.0", "head", _TIMM_SWIN),
    "vgg": Family("features.0", "classifier.6", _TIMM_VGG),
    "vit": Family("conv_proj", "heads.head", _TIMM_VIT),
    "wide_resnet": Family("conv1", "fc"),
}


def family(name: str) -> Family:
    """Returns the family of a network in `MODELS`."""
    return next(f for start, f in _FAMILIES.items() if name.startswith(start))
