"""Vision transformers as torchvision builds them.

Letters: B batch, H W image, C channels, T tokens, D width, N heads, E width of a head,
Q K tokens of queries and keys.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
from flax import linen as nn

from ddjax.declare import setting
from ddjax.declare.walk import require
from ddjax.models.layers import Dropout, Layers, Outputs, normal, outputs, uniform
from ddjax.models.model import Model, Size, StateDict, renamed, side

_PATCH = 16


@dataclasses.dataclass(frozen=True)
class Options:
    """Vision transformer B/16 as torchvision builds it."""

    dropout: float = setting(
        0.0,
        "Probability of zero of the embedded tokens, after each attention and after "
        "each dense layer of a block.",
        "[0, 1)",
    )


def _build(num_classes, image_size, options, layers):
    allowed = f"a multiple of {_PATCH} px, the side of a patch"
    require(image_size % _PATCH == 0, "image_size", image_size, allowed)
    return VisionTransformer(
        num_classes, options.dropout, layers, width=768, depth=12, heads=12
    )


def _image_size(tensors, options):
    place = tensors.get("encoder.pos_embedding")
    patches = 196 if place is None else place.shape[1] - 1
    return side(patches) * tensors["conv_proj.weight"].shape[2]


_TIMM = (
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

MODEL = Model(
    "vit",
    Options,
    _build,
    (Size(224, 1000, 86_567_656, 17.564),),
    StateDict(
        "conv_proj",
        "heads.head",
        ("vit_base_patch16_224", "deit_base_patch16_224"),
        functools.partial(renamed, aliases=_TIMM),
        image_size=_image_size,
    ),
)


class VisionTransformer(nn.Module):
    """16x16 patches and a class token with learned positions, encoder, linear.

    The features [B, width] are the class token after the last layer norm. The head
    starts at zero, so an untrained network gives zero logits.

    Source: Dosovitskiy et al., "An image is worth 16x16 words", in the form of
    torchvision's `vit_b_16`, names, defaults and starting values included.

    Attributes:
      width: numbers of a token, divisible by `heads`.
      depth: number of blocks.
      heads: of each attention.
    """

    num_classes: int
    dropout: float
    layers: Layers
    width: int
    depth: int
    heads: int

    @nn.compact
    def __call__(self, images_BHWC: jax.Array, train=False, features=False) -> Outputs:
        """Returns logits [B, num_classes], or (logits, features [B, D])."""
        layers = self.layers
        patches_BTD = self._patches(images_BHWC)
        token = self.param("class_token", nn.initializers.zeros, (1, 1, self.width))
        token = token.astype(patches_BTD.dtype)
        token = jnp.broadcast_to(token, (len(images_BHWC), 1, self.width))
        x_BTD = jnp.concatenate([token, patches_BTD], axis=1)
        encoder = _Encoder(self.dropout, layers, self.depth, self.heads, name="encoder")
        x_BD = encoder(x_BTD, train)[:, 0]
        zeros = nn.initializers.zeros
        logits_BC = layers.dense(x_BD, self.num_classes, "heads.head", zeros, zeros)
        return outputs(logits_BC, x_BD, features)

    def _patches(self, images_BHWC):
        batch, _, _, channels = images_BHWC.shape
        x = self.layers.conv(
            images_BHWC,
            self.width,
            _PATCH,
            "conv_proj",
            stride=_PATCH,
            padding=0,
            use_bias=True,
            kernel_init=normal(1 / (_PATCH * math.sqrt(channels))),
            bias_init=nn.initializers.zeros,
        )
        return x.reshape(batch, -1, self.width)


class _Encoder(nn.Module):
    """Adds the positions, then blocks and a layer norm."""

    dropout: float
    layers: Layers
    depth: int
    heads: int

    @nn.compact
    def __call__(self, x_BTD, train):
        shape = (1, *x_BTD.shape[1:])
        place = self.param("pos_embedding", normal(0.02), shape)
        x_BTD = x_BTD + place.astype(x_BTD.dtype)
        x_BTD = Dropout(self.dropout, train, name="dropout")(x_BTD)
        for i in range(self.depth):
            name = f"layers.encoder_layer_{i}"
            block = _Block(self.dropout, self.layers, self.heads, name=name)
            x_BTD = block(x_BTD, train)
        return _layer_norm(self.layers, "ln")(x_BTD)


class _Block(nn.Module):
    """Attention and two dense layers with GELU, each on a layer norm and added."""

    dropout: float
    layers: Layers
    heads: int

    @nn.compact
    def __call__(self, x_BTD, train):
        width = x_BTD.shape[2]
        attention = _SelfAttention(self.layers, self.heads, name="self_attention")
        y_BTD = attention(_layer_norm(self.layers, "ln_1")(x_BTD))
        x_BTD = x_BTD + Dropout(self.dropout, train, name="dropout")(y_BTD)
        y_BTD = _layer_norm(self.layers, "ln_2")(x_BTD)
        y = nn.gelu(self._dense(y_BTD, 4 * width, "mlp.0"), approximate=False)
        y = Dropout(self.dropout, train, name="mlp.2")(y)
        y_BTD = self._dense(y, width, "mlp.3")
        return x_BTD + Dropout(self.dropout, train, name="mlp.4")(y_BTD)

    def _dense(self, x, units, name):
        init = _xavier(x.shape[-1], units), normal(1e-6)
        return self.layers.dense(x, units, name, *init)


class _SelfAttention(nn.Module):
    """Attention over all tokens; the weights are a softmax in float32."""

    layers: Layers
    heads: int

    @nn.compact
    def __call__(self, x_BTD):
        batch, tokens, width = x_BTD.shape
        dtype = self.layers.dtype
        # One kernel for queries, keys and values, as PyTorch stores them.
        shape = (width, 3 * width)
        kernel = self.param("in_proj_kernel", _xavier(*shape), shape)
        bias = self.param("in_proj_bias", nn.initializers.zeros, shape[1:])
        x = x_BTD.astype(dtype) @ kernel.astype(dtype)
        x = x + bias.reshape(1, 1, -1).astype(dtype)
        x = x.reshape(batch, tokens, 3, self.heads, width // self.heads)
        query, key, value = (x[:, :, i] for i in range(3))
        scores = jnp.einsum(
            "bqne,bkne->bnqk", query, key, preferred_element_type=jnp.float32
        )
        scores = scores / math.sqrt(width // self.heads)
        weights_BNQK = nn.softmax(scores).astype(dtype)
        y_BTNE = jnp.einsum("bnqk,bkne->bqne", weights_BNQK, value)
        y_BTD = y_BTNE.reshape(batch, tokens, width)
        zeros = nn.initializers.zeros
        return self.layers.dense(y_BTD, width, "out_proj", bias_init=zeros)


def _layer_norm(layers, name):
    return nn.LayerNorm(epsilon=1e-6, dtype=layers.dtype, name=name)


def _xavier(inputs, outputs):
    return uniform(math.sqrt(6 / (inputs + outputs)))
