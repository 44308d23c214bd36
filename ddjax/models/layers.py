"""The layers that networks are made of, with what all layers of a network share."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn

from ddjax.models import initializers, options
from ddjax.models.conv import LOWERINGS, Conv
from ddjax.models.norm import check_norm, norm_layer

DTYPES = ("float32", "bfloat16")


@dataclasses.dataclass(frozen=True)
class Layers:
    """Makes the layers of one network; each is to be called in a compact method.

    Names are those of the same layers in PyTorch, dots and all: joined by dots, the
    path of a parameter is its key in a `state_dict`, see `torch_weights`.

    Attributes:
      norm: kind of normalisation layer, see `norm_layer`.
      dtype: in which layers compute, "float32" or "bfloat16"; parameters, moments and
        logits are float32 in both.
      lowering: how convolutions are computed, see `conv`.
    """

    norm: str = "batch"
    dtype: str = "float32"
    lowering: str = "auto"

    def conv(
        self,
        features: int,
        size: int,
        name: str,
        stride: int = 1,
        padding: int | None = None,
        use_bias: bool = False,
        depthwise: bool = False,
        kernel_init: nn.initializers.Initializer = initializers.kaiming_normal,
        bias_init: nn.initializers.Initializer | None = None,
    ) -> Conv:
        """Returns a convolution, see `Conv` for the arguments."""
        return Conv(
            features,
            size,
            stride,
            padding,
            use_bias,
            depthwise,
            self.dtype,
            self.lowering,
            kernel_init,
            bias_init,
            name=name,
        )

    def normalise(self, train: bool, name: str) -> Callable[[jax.Array], jax.Array]:
        """Returns a normalisation layer of the network's kind."""
        return norm_layer(self.norm, train, name)

    def dense(
        self,
        features: int,
        fan_in: int,
        name: str,
        kernel_init: nn.initializers.Initializer = initializers.torch_kernel,
        bias_init: nn.initializers.Initializer | None = None,
        use_bias: bool = True,
        dot_general: Callable[..., jax.Array] | None = None,
    ) -> nn.Dense:
        """Returns a dense layer; it starts as `torch.nn.Linear` unless told otherwise.

        Args:
          features: number of outputs.
          fan_in: number of inputs.
          name: the layer's name.
          kernel_init, bias_init: initialisers; None is PyTorch's.
          use_bias: whether there is a bias.
          dot_general: stands in for `lax.dot_general`.
        """
        return nn.Dense(
            features,
            use_bias=use_bias,
            dtype=self.dtype,
            kernel_init=kernel_init,
            bias_init=bias_init or initializers.torch_bias(fan_in),
            dot_general=dot_general,
            name=name,
        )


def check_layers(norm: str, width: int, dtype: str, lowering: str) -> Layers:
    """Returns the layers of a network with these options, or refuses one by name.

    Args:
      norm: see `norm_layer`.
      width: the smallest number of channels that will be normalised.
      dtype, lowering: see `Layers`.

    Raises:
      InputError: an option is unknown, or group norm cannot split the channels.
    """
    return Layers(
        check_norm(norm, width),
        options.choice("dtype", dtype, DTYPES),
        options.choice("lowering", lowering, LOWERINGS),
    )


def flatten(x_BHWC: jax.Array) -> jax.Array:
    """Returns [B, C*H*W] in PyTorch's order, channels outermost."""
    return jnp.moveaxis(x_BHWC, 3, 1).reshape(x_BHWC.shape[0], -1)


def answer(
    logits_BC: jax.Array, features_BD: jax.Array, features: bool
) -> jax.Array | tuple[jax.Array, jax.Array]:
    """Returns what a network was asked for, float32: logits, or (logits, features)."""
    logits_BC = logits_BC.astype(jnp.float32)
    return (logits_BC, features_BD.astype(jnp.float32)) if features else logits_BC


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
