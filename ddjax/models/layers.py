"""The layers that networks are made of: how they start, compute and are named.

PyTorch's start is the default, since published numbers rest on it: `torch.nn.Conv2d`
and `torch.nn.Linear` draw kernel and bias from a uniform distribution on
+-1/sqrt(fan_in); Flax's own default is wider (LeCun normal) with a bias of zero.
Initialisers draw random numbers flat and reshape them. The values are those of a draw
in the final shape, but on CPU XLA compiles a four-dimensional draw about ten times
slower.

Letters: B batch, H W image, C channels, D features.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from ddjax.declare import setting
from ddjax.declare.walk import require
from ddjax.models.conv import LOWERINGS, conv
from ddjax.models.norm import GROUPS, NORMS, BatchNorm, GroupNorm

DTYPES = ("float32", "bfloat16")
# Logits [B, C] of a network, or (logits, features [B, D]).
Outputs = jax.Array | tuple[jax.Array, jax.Array]


def torch_bias(fan_in: int) -> nn.initializers.Initializer:
    """Returns the initialiser of a bias: uniform on +-1/sqrt(fan_in)."""
    return uniform(1 / math.sqrt(fan_in))


def torch_kernel(key: jax.Array, shape: tuple[int, ...], dtype=float) -> jax.Array:
    """Draws a kernel [..., inputs, outputs] uniformly from +-1/sqrt(fan_in)."""
    return torch_bias(math.prod(shape[:-1]))(key, shape, dtype)


def kaiming_normal(key: jax.Array, shape: tuple[int, ...], dtype=float) -> jax.Array:
    """Draws a kernel [..., inputs, outputs], normal of variance 2 / fan_out."""
    fan_out = math.prod(shape[:-2]) * shape[-1]
    flat = jax.random.normal(key, (math.prod(shape),), dtype)
    return (flat * math.sqrt(2 / fan_out)).reshape(shape)


def lecun_normal(key: jax.Array, shape: tuple[int, ...], dtype=float) -> jax.Array:
    """Draws a kernel [..., inputs, outputs], Flax's default.

    A normal distribution, cut off at two deviations, whose variance is 1 / fan_in.
    """
    flat = jax.random.truncated_normal(key, -2.0, 2.0, (math.prod(shape),), dtype)
    # The deviation of the standard normal distribution between -2 and 2.
    stddev = 1 / math.sqrt(math.prod(shape[:-1])) / 0.8796256610342398
    return (stddev * flat).reshape(shape)


def normal(stddev: float) -> nn.initializers.Initializer:
    """Returns the initialiser that draws from a normal distribution around 0."""

    def init(key, shape, dtype=float):
        flat = jax.random.normal(key, (math.prod(shape),), dtype)
        return (stddev * flat).reshape(shape)

    return init


def uniform(limit: float) -> nn.initializers.Initializer:
    """Returns the initialiser that draws uniformly from +-limit."""

    def init(key, shape, dtype=float):
        flat = jax.random.uniform(key, (math.prod(shape),), dtype, -limit, limit)
        return flat.reshape(shape)

    return init


class Conv(nn.Module):
    """A convolution layer; its kernel is stored as [size, size, C, O].

    Attributes:
      features: output channels.
      size: height and width of the kernel.
      stride: step in both directions.
      padding: zeros added on each side; None: half the kernel, which keeps the size of
        the image at stride 1.
      use_bias: adds one learned number per output channel.
      depthwise: each channel has a kernel of its own, stored as [size, size, 1, O];
        `features` equals the channels.
      dtype: in which it computes, "float32" or "bfloat16".
      lowering: see `conv`; the parameters do not depend on it.
      kernel_init, bias_init: initialisers; a bias of None is PyTorch's default.
    """

    features: int
    size: int = 3
    stride: int = 1
    padding: int | None = None
    use_bias: bool = False
    depthwise: bool = False
    dtype: str = "float32"
    lowering: str = "auto"
    kernel_init: nn.initializers.Initializer = kaiming_normal
    bias_init: nn.initializers.Initializer | None = None

    @nn.compact
    def __call__(self, images_BHWC: jax.Array) -> jax.Array:
        channels = 1 if self.depthwise else images_BHWC.shape[-1]
        shape = (self.size, self.size, channels, self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        result = conv(
            images_BHWC.astype(self.dtype),
            kernel.astype(self.dtype),
            self.stride,
            self.size // 2 if self.padding is None else self.padding,
            self.lowering,
        )
        if self.use_bias:
            fan_in = self.size * self.size * channels
            bias_init = self.bias_init or torch_bias(fan_in)
            bias = self.param("bias", bias_init, (self.features,))
            result += bias.reshape(1, 1, 1, -1).astype(self.dtype)
        return result


@jax.custom_vjp
def average_pool(x_BHWC: jax.Array) -> jax.Array:
    """Averages windows of 2x2, dropping an odd last row or column.

    Args:
      x_BHWC: [B, H, W, C] float, H and W at least 2.

    Returns:
      [B, H // 2, W // 2, C] float.
    """
    return _pool(x_BHWC)


# Four slices, and one broadcast as gradient: on CPU faster than a window reduction. The
# forward rule calls this and not `average_pool`, which as a `custom_vjp` function has
# no derivative in forward mode.
def _pool(x_BHWC):
    _, height, width, _ = x_BHWC.shape
    x = x_BHWC[:, : height // 2 * 2, : width // 2 * 2]
    top, bottom = x[:, ::2], x[:, 1::2]
    return 0.25 * (
        (top[:, :, ::2] + top[:, :, 1::2]) + (bottom[:, :, ::2] + bottom[:, :, 1::2])
    )


def _pool_forward(x_BHWC):
    return _pool(x_BHWC), jnp.zeros((0, *x_BHWC.shape[1:3]))


def _pool_backward(empty_0HW, grad_BHWC):
    batch, height, width, channels = grad_BHWC.shape
    spread = (batch, height, 2, width, 2, channels)
    grad = jnp.broadcast_to(0.25 * grad_BHWC[:, :, None, :, None], spread)
    grad = grad.reshape(batch, 2 * height, 2 * width, channels)
    _, rows, columns = empty_0HW.shape
    odd = (0, rows - 2 * height), (0, columns - 2 * width)
    return (jnp.pad(grad, ((0, 0), *odd, (0, 0))),)


average_pool.defvjp(_pool_forward, _pool_backward)


def max_pool(x_BHWC: jax.Array, size: int, stride: int, padding: int = 0) -> jax.Array:
    """Returns the largest number of each window.

    Args:
      x_BHWC: [B, H, W, C] float.
      size: height and width of the window.
      stride: step in both directions.
      padding: rows and columns added on each side, never chosen; at most size // 2.

    Returns:
      [B, Y, X, C] float, Y = (H + 2 * padding - size) // stride + 1, X likewise.
    """
    sides = (padding, padding)
    return nn.max_pool(x_BHWC, (size, size), (stride, stride), (sides, sides))


def adaptive_average_pool(x_BHWC: jax.Array, side: int) -> jax.Array:
    """Averages windows so that `side` by `side` are left, whatever the size before.

    Args:
      x_BHWC: [B, H, W, C] float.
      side: height and width of the result; larger than H or W repeats.

    Returns:
      [B, side, side, C] float. Window i covers floor(i H / side) to
      ceil((i + 1) H / side), as in `torch.nn.AdaptiveAvgPool2d`.
    """
    weights = [_windows(n, side).astype(x_BHWC.dtype) for n in x_BHWC.shape[1:3]]
    return jnp.einsum("bhwc,yh,xw->byxc", x_BHWC, *weights)


def _windows(length, side):
    """The weights [side, length] of the averages along an axis."""
    place, i = jnp.arange(length)[None], jnp.arange(side)[:, None]
    inside = (place >= i * length // side) & (place < -(-(i + 1) * length // side))
    return inside / inside.sum(1, keepdims=True)


@dataclasses.dataclass(frozen=True)
class Layers:
    """Applies the layers of one network; to be used in a compact method.

    Names are those of the same layers in PyTorch, dots and all: joined by dots, the
    path of a parameter is its key in a `state_dict`, see `ddjax.models.torch`.

    Attributes:
      norm: "instance", "batch", "group" (4 groups) or "none" (the identity).
      dtype: in which layers compute, "float32" or "bfloat16"; parameters, moments and
        logits are float32 in both.
      lowering: how convolutions are computed, see `conv`.
    """

    norm: str = setting("batch", "The normalisation.", NORMS)
    dtype: str = setting("float32", "In which layers compute.", DTYPES)
    lowering: str = setting("auto", "How convolutions are computed.", LOWERINGS)

    def normed(self, norm: str, width: int = GROUPS, option: str = "width") -> "Layers":
        """Returns these layers with another kind of normalisation layer.

        Args:
          norm: the kind.
          width: the smallest number of channels that will be normalised.
          option: the one that sets it, for the message.

        Raises:
          InputError: group norm cannot split the channels.
        """
        fits = norm != "group" or width % GROUPS == 0
        require(fits, option, width, f"a multiple of {GROUPS} with norm 'group'")
        return dataclasses.replace(self, norm=norm)

    def conv(
        self, x_BHWC: jax.Array, features: int, size: int, name: str, **options: Any
    ) -> jax.Array:
        """Applies a convolution layer, see `Conv` for the options."""
        common = {"dtype": self.dtype, "lowering": self.lowering, "name": name}
        return Conv(features, size, **options, **common)(x_BHWC)

    def normalise(self, x_BHWC: jax.Array, train: bool, name: str) -> jax.Array:
        """Applies the normalisation layer.

        Args:
          x_BHWC: [B, H, W, C] float.
          train: whether batch norm uses, and averages, the moments of the batch.
          name: the layer's name.
        """
        if self.norm == "none":
            return x_BHWC
        if self.norm == "batch":
            return BatchNorm(train, name=name)(x_BHWC)
        return GroupNorm(GROUPS if self.norm == "group" else None, name=name)(x_BHWC)

    def dense(
        self,
        x: jax.Array,
        features: int,
        name: str,
        kernel_init: nn.initializers.Initializer = torch_kernel,
        bias_init: nn.initializers.Initializer | None = None,
        **options: Any,
    ) -> jax.Array:
        """Applies a dense layer, which starts as `torch.nn.Linear` by default.

        Args:
          x: [..., inputs] float.
          features: number of outputs.
          name: the layer's name.
          kernel_init, bias_init: initialisers; None is PyTorch's.
          **options: of `nn.Dense`.
        """
        layer = nn.Dense(
            features,
            dtype=self.dtype,
            kernel_init=kernel_init,
            bias_init=bias_init or torch_bias(x.shape[-1]),
            name=name,
            **options,
        )
        return layer(x)


def flatten(x_BHWC: jax.Array) -> jax.Array:
    """Returns [B, C*H*W] in PyTorch's order, channels outermost."""
    return jnp.moveaxis(x_BHWC, 3, 1).reshape(x_BHWC.shape[0], -1)


def outputs(logits_BC: jax.Array, features_BD: jax.Array, features: bool) -> Outputs:
    """Returns what a network gives, float32: logits, or (logits, features)."""
    logits_BC = logits_BC.astype(jnp.float32)
    return (logits_BC, features_BD.astype(jnp.float32)) if features else logits_BC


MAPS = "maps"  # the collection that `keep_map` writes to


def keep_map(module: nn.Module, map_BHWC: jax.Array) -> None:
    """Keeps the map of a block, after its activation, for `Network.maps`."""
    if not module.is_initializing():
        module.sow(MAPS, MAPS, map_BHWC)


class Dropout(nn.Module):
    """Sets numbers to zero at random and scales the others up.

    It acts in training, and then only if `apply` is given a key for "dropout".

    Attributes:
      rate: probability of zero, in [0, 1).
      train: whether this is training.
      dims: leading axes that are drawn for; None: all; 1: whole examples, which is
        stochastic depth in PyTorch's mode "row".
    """

    rate: float
    train: bool
    dims: int | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        if not self.train or not self.rate or not self.has_rng("dropout"):
            return x
        dims = x.ndim if self.dims is None else self.dims
        shape = x.shape[:dims] + (1,) * (x.ndim - dims)
        kept = jax.random.bernoulli(self.make_rng("dropout"), 1 - self.rate, shape)
        return jnp.where(kept, x / (1 - self.rate), 0).astype(x.dtype)
