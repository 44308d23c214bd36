"""Vision transformers as torchvision builds them.

Letters: B batch, H W image, C channels, T tokens, D width, N heads, E width of a head,
Q K tokens that ask and answer.
"""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn

from ddjax.errors import InputError
from ddjax.models import initializers, options
from ddjax.models.layers import Dropout, Layers, answer, check_layers

_PATCH = 16


def vit_b_16(
    num_classes: int,
    image_size: int,
    *,
    dropout: float = 0.0,
    dtype: str = "float32",
    lowering: str = "auto",
) -> "VisionTransformer":
    """Returns a ViT-B/16 with checked options.

    Args:
      num_classes: number of logits.
      image_size: height and width of the images, px, a multiple of 16; it fixes the
        number of position embeddings.
      dropout: probability of zero of the embedded tokens, after each attention and
        after each dense layer of a block, in [0, 1).
      dtype, lowering: see `Layers`.

    Returns:
      The module.

    Raises:
      InputError: an option is out of range, or patches do not tile the image.
    """
    if image_size % _PATCH:
        raise InputError(
            f"image_size: found {image_size}, allowed is a multiple of {_PATCH} px, "
            "the side of a patch"
        )
    return VisionTransformer(
        num_classes,
        options.rate("dropout", dropout),
        check_layers("none", 1, dtype, lowering),
        width=768,
        depth=12,
        heads=12,
    )


class VisionTransformer(nn.Module):
    """16x16 patches and a class token with learned positions, encoder, linear.

    The features [B, width] are the class token after the last layer norm. The head
    starts at zero, so an untrained network gives zero logits.

    Source: Dosovitskiy et al., "An image is worth 16x16 words", in the form of
    torchvision's `vit_b_16`, names, defaults and starting values included.

    Attributes:
      num_classes, dropout, layers: see `vit_b_16`.
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
    def __call__(
        self, images_BHWC: jax.Array, train: bool = False, features: bool = False
    ) -> jax.Array | tuple[jax.Array, jax.Array]:
        """Returns logits [B, num_classes], or (logits, features [B, D])."""
        layers = self.layers
        patches_BTD = self._patches(images_BHWC)
        token = self.param("class_token", nn.initializers.zeros, (1, 1, self.width))
        token = token.astype(patches_BTD.dtype)
        token = jnp.broadcast_to(token, (len(images_BHWC), 1, self.width))
        x_BTD = jnp.concatenate([token, patches_BTD], axis=1)
        encoder = _Encoder(self.dropout, layers, self.depth, self.heads, name="encoder")
        x_BD = encoder(x_BTD, train)[:, 0]
        head = layers.dense(
            self.num_classes,
            self.width,
            "heads.head",
            kernel_init=nn.initializers.zeros,
            bias_init=nn.initializers.zeros,
        )
        return answer(head(x_BD), x_BD, features)

    def _patches(self, images_BHWC):
        batch, _, _, channels = images_BHWC.shape
        conv = self.layers.conv(
            self.width,
            _PATCH,
            "conv_proj",
            stride=_PATCH,
            padding=0,
            use_bias=True,
            kernel_init=initializers.normal(1 / (_PATCH * math.sqrt(channels))),
            bias_init=nn.initializers.zeros,
        )
        return conv(images_BHWC).reshape(batch, -1, self.width)


class _Encoder(nn.Module):
    """Adds the positions, then blocks and a layer norm."""

    dropout: float
    layers: Layers
    depth: int
    heads: int

    @nn.compact
    def __call__(self, x_BTD, train):
        shape = (1, *x_BTD.shape[1:])
        place = self.param("pos_embedding", initializers.normal(0.02), shape)
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
        y = nn.gelu(self._dense(4 * width, y_BTD, "mlp.0"), approximate=False)
        y = Dropout(self.dropout, train, name="mlp.2")(y)
        y_BTD = self._dense(width, y, "mlp.3")
        return x_BTD + Dropout(self.dropout, train, name="mlp.4")(y_BTD)

    def _dense(self, units, x, name):
        inputs = x.shape[-1]
        return self.layers.dense(
            units,
            inputs,
            name,
            kernel_init=_xavier(inputs, units),
            bias_init=initializers.normal(1e-6),
        )(x)


class _SelfAttention(nn.Module):
    """Every token asks every token; the weights are a softmax in float32."""

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
        out = self.layers.dense(
            width, width, "out_proj", bias_init=nn.initializers.zeros
        )
        return out(y_BTNE.reshape(batch, tokens, width))


def _layer_norm(layers, name):
    return nn.LayerNorm(epsilon=1e-6, dtype=layers.dtype, name=name)


def _xavier(inputs, outputs):
    return initializers.uniform(math.sqrt(6 / (inputs + outputs)))
