"""Swin transformer V2 as torchvision builds it.

Letters: B batch, H W image or map, C channels, D width, M windows, T tokens of a
window, N heads, E width of a head, Q K tokens of queries and keys.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from ddjax.declare import setting
from ddjax.declare.walk import require
from ddjax.models.layers import Dropout, Layers, Outputs, normal, outputs, torch_kernel
from ddjax.models.model import Model, Size, StateDict, put, renamed

_PATCH = 4
_WINDOW = 8
# What is added to the score of two tokens that are no neighbours in the image.
_APART = -100.0
_kernel_init = normal(0.02)
_SHORT = 1e-24  # a square of a length that counts as 0


@dataclasses.dataclass(frozen=True)
class Options:
    """Swin transformer V2-T as torchvision builds it."""

    stochastic_depth: float = setting(
        0.2,
        "Probability that the last block skips a branch for an example in training; it "
        "grows linearly from 0 at the first block.",
        "[0, 1)",
    )


def _build(num_classes, image_size, options, layers):
    # Maps that windows do not tile are padded with zeros.
    allowed = f"at least {_PATCH} px, the side of a patch"
    require(image_size >= _PATCH, "image_size", image_size, allowed)
    return SwinTransformer(
        num_classes,
        options.stochastic_depth,
        layers,
        width=96,
        depths=(2, 2, 6, 2),
        heads=(3, 6, 12, 24),
    )


_TIMM = (
    (r"^patch_embed\.proj\.", "features.0.0."),
    (r"^patch_embed\.norm\.", "features.0.2."),
    *((rf"^layers\.{i}\.blocks\.", f"features.{2 * i + 1}.") for i in range(4)),
    *((rf"^layers\.{i}\.downsample\.", f"features.{2 * i}.") for i in range(1, 4)),
    (r"\.mlp\.fc1\.", ".mlp.0."),
    (r"\.mlp\.fc2\.", ".mlp.3."),
    (r"^head\.fc\.", "head."),
)


def _standard(tensors):
    """Makes one bias of timm's for queries and for values; that of keys is zero."""
    found = renamed(tensors, _TIMM)
    for key in [key for key in found if key.endswith(".q_bias")]:
        layer = key.removesuffix("q_bias")
        if layer + "v_bias" in found:
            query, value = found.pop(key), found.pop(layer + "v_bias")
            joined = np.concatenate([query, np.zeros_like(query), value])
            put(found, layer + "qkv.bias", joined, key)
    return found


def _constants(names):
    """What torchvision keeps for each attention although it is no weight."""
    table, places = offsets()
    side = math.isqrt(len(table))
    found = {}
    for name in names:
        if name.endswith(".logit_scale"):
            layer = name.removesuffix("logit_scale")
            found[layer + "relative_coords_table"] = table.reshape(1, side, side, 2)
            found[layer + "relative_position_index"] = places.flatten()
    return found


MODEL = Model(
    "swin",
    Options,
    _build,
    (Size(224, 1000), Size(256, 1000, 28_351_570, 5.940)),
    StateDict(
        "features.0.0",
        "head",
        ("swinv2_tiny_window8_256", "swin_v2_tiny"),
        _standard,
        constants=_constants,
    ),
)


class SwinTransformer(nn.Module):
    """4x4 patches, stages of blocks with attention in 8x8 windows, mean, linear.

    Every second block shifts the windows by half; between two stages four neighbours
    are merged into one token of twice the width. The features [B, D] are the mean of
    the tokens after the last layer norm.

    Source: Liu et al., "Swin transformer V2: scaling up capacity and resolution", in
    the form of torchvision's `swin_v2_t`, names and starting values included.

    Attributes:
      width: numbers of a token in the first stage.
      depths: number of blocks of each stage.
      heads: of each attention, for each stage; they divide its width.
    """

    num_classes: int
    stochastic_depth: float
    layers: Layers
    width: int
    depths: tuple[int, ...]
    heads: tuple[int, ...]

    @nn.compact
    def __call__(self, images_BHWC: jax.Array, train=False, features=False) -> Outputs:
        """Returns logits [B, num_classes], or (logits, features [B, D])."""
        layers = self.layers
        x_BHWD = layers.conv(
            images_BHWC,
            self.width,
            _PATCH,
            "features.0.0",
            stride=_PATCH,
            padding=0,
            use_bias=True,
            kernel_init=torch_kernel,
        )
        x_BHWD = _layer_norm(layers, "features.0.2")(x_BHWD)
        rates = iter(np.linspace(0, self.stochastic_depth, sum(self.depths)).tolist())
        for stage, depth in enumerate(self.depths):
            if stage:
                x_BHWD = self._merge(x_BHWD, f"features.{2 * stage}")
            for i in range(depth):
                name = f"features.{2 * stage + 1}.{i}"
                block = _Block(self.heads[stage], i % 2, next(rates), layers, name=name)
                x_BHWD = block(x_BHWD, train)
        x_BD = _layer_norm(layers, "norm")(x_BHWD).mean((1, 2))
        return outputs(_dense(layers, x_BD, self.num_classes, "head"), x_BD, features)

    def _merge(self, x_BHWD, name):
        """Puts the tokens of each 2x2 side by side, padding odd sides with zeros."""
        _, height, width, channels = x_BHWD.shape
        x = jnp.pad(x_BHWD, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)))
        corners = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        x = jnp.concatenate(corners, axis=3)
        x = _dense(self.layers, x, 2 * channels, f"{name}.reduction", use_bias=False)
        return _layer_norm(self.layers, f"{name}.norm")(x)


class _Block(nn.Module):
    """Attention and two dense layers with GELU, each normalised after and added."""

    heads: int
    shifted: bool
    rate: float
    layers: Layers

    @nn.compact
    def __call__(self, x_BHWD, train):
        layers, channels = self.layers, x_BHWD.shape[3]
        survive = Dropout(self.rate, train, dims=1, name="stochastic_depth")
        y = _Attention(self.heads, self.shifted, layers, name="attn")(x_BHWD)
        x_BHWD = x_BHWD + survive(_layer_norm(layers, "norm1")(y))
        y = nn.gelu(_dense(layers, x_BHWD, 4 * channels, "mlp.0"), approximate=False)
        y = _dense(layers, y, channels, "mlp.3")
        return x_BHWD + survive(_layer_norm(layers, "norm2")(y))


class _Attention(nn.Module):
    """Attention within a window; the scores are scaled cosines in float32."""

    heads: int
    shifted: bool
    layers: Layers

    @nn.compact
    def __call__(self, x_BHWD):
        _, height, width, channels = x_BHWD.shape
        bottom, right = -height % _WINDOW, -width % _WINDOW
        x = jnp.pad(x_BHWD, ((0, 0), (0, bottom), (0, right), (0, 0)))
        padded = x.shape
        # A single window has nothing to be shifted into.
        shifts = tuple(
            _WINDOW // 2 if self.shifted and side > _WINDOW else 0
            for side in padded[1:3]
        )
        x = jnp.roll(x, tuple(-shift for shift in shifts), (1, 2))
        x_BMTD = _split(x)
        x = _QueryKeyValue(self.layers, name="qkv")(x_BMTD)
        x = x.reshape(*x_BMTD.shape[:3], 3, self.heads, channels // self.heads)
        query, key, value = (x[:, :, :, i] for i in range(3))
        scores = jnp.einsum("bmqne,bmkne->bmnqk", _unit(query), _unit(key))
        scale = self.param(
            "logit_scale", nn.initializers.constant(math.log(10)), (self.heads, 1, 1)
        )
        scale = jnp.exp(jnp.minimum(scale, math.log(100)))
        scores = scores * scale[None, None] + self._position()[None, None]
        if any(shifts):
            scores = scores + _mask(padded[1:3], shifts)[None, :, None]
        weights_BMNQK = nn.softmax(scores).astype(self.layers.dtype)
        y = jnp.einsum("bmnqk,bmkne->bmqne", weights_BMNQK, value)
        y_BMTD = _dense(self.layers, y.reshape(x_BMTD.shape), channels, "proj")
        y = jnp.roll(_join(y_BMTD, padded), shifts, (1, 2))
        return y[:, :height, :width]

    def _position(self):
        """What is added to the scores [N, Q, K] for where two tokens lie."""
        table, places_QK = offsets()
        x = nn.relu(_dense(self.layers, jnp.asarray(table), 512, "cpb_mlp.0"))
        x = _dense(self.layers, x, self.heads, "cpb_mlp.2", use_bias=False)
        x = 16 * nn.sigmoid(x.astype(jnp.float32))
        return jnp.moveaxis(x[places_QK], 2, 0)


class _QueryKeyValue(nn.Module):
    """A dense layer for queries, keys and values; the bias of the keys is ignored."""

    layers: Layers

    @nn.compact
    def __call__(self, x_BMTD):
        channels, dtype = x_BMTD.shape[3], self.layers.dtype
        kernel = self.param("kernel", _kernel_init, (channels, 3 * channels))
        bias = self.param("bias", nn.initializers.zeros, (3 * channels,))
        bias = bias.at[channels : 2 * channels].set(0).reshape(1, 1, 1, -1)
        return x_BMTD.astype(dtype) @ kernel.astype(dtype) + bias.astype(dtype)


def _unit(x):
    """Scales the last axis to length one in float32; zeros stay zeros."""
    x = x.astype(jnp.float32)
    square = (x * x).sum(-1, keepdims=True)
    # No root is taken of a square that is about 0, as of padding, so that derivatives
    # of any order are finite there.
    short = square <= _SHORT
    rate = jax.lax.rsqrt(jnp.where(short, 1.0, square))
    return x * jnp.where(short, _SHORT**-0.5, rate)


def _split(x_BHWD):
    """Cuts a map into windows [B, M, T, D]."""
    batch, height, width, channels = x_BHWD.shape
    rows, columns = height // _WINDOW, width // _WINDOW
    x = x_BHWD.reshape(batch, rows, _WINDOW, columns, _WINDOW, channels)
    return x.swapaxes(2, 3).reshape(batch, rows * columns, _WINDOW**2, channels)


def _join(x_BMTD, shape):
    """Lays windows out as a map of this shape."""
    batch, height, width, channels = shape
    rows, columns = height // _WINDOW, width // _WINDOW
    x = x_BMTD.reshape(batch, rows, columns, _WINDOW, _WINDOW, channels)
    return x.swapaxes(2, 3).reshape(shape)


@functools.cache
def offsets():
    """How two tokens of a window can lie, and how each pair does.

    Returns:
      Table of offsets [(2 * 8 - 1)^2, 2] float32, logarithmic in [-1, 1] * log2(9) / 3,
      and its row [Q, K] for each pair.
    """
    steps = np.arange(1 - _WINDOW, _WINDOW)
    offsets = np.stack(np.meshgrid(steps, steps, indexing="ij"), -1).reshape(-1, 2)
    wide = 8 * offsets / (_WINDOW - 1)
    table = np.sign(wide) * np.log2(np.abs(wide) + 1) / 3
    row, column = np.divmod(np.arange(_WINDOW**2), _WINDOW)
    down, across = (place[:, None] - place[None] for place in (row, column))
    places = (down + _WINDOW - 1) * len(steps) + across + _WINDOW - 1
    return table.astype(np.float32), places


def _mask(sides, shifts):
    """What is added to the scores [M, Q, K], so that the rolled-in part stays apart."""
    down, across = (
        np.arange(side) >= side - shift
        for side, shift in zip(sides, shifts, strict=True)
    )
    region = 2 * down[:, None] + across[None]
    region_MT = _split(region[None, :, :, None])[0, :, :, 0]
    apart = region_MT[:, :, None] != region_MT[:, None, :]
    return np.where(apart, np.float32(_APART), np.float32(0))


def _layer_norm(layers, name):
    return nn.LayerNorm(epsilon=1e-5, dtype=layers.dtype, name=name)


def _dense(layers, x, units, name, **options):
    zeros = nn.initializers.zeros
    return layers.dense(x, units, name, _kernel_init, zeros, **options)
