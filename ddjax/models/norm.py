"""Normalisation layers: instance, group and batch norm, all with affine parameters.

Letters: B batch, H W image, C channels, G groups of channels.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from ddjax.errors import InputError
from ddjax.models import options

NORMS = ("instance", "batch", "group", "none")
GROUPS = 4
_EPSILON = 1e-5


class GroupNorm(nn.Module):
    """Normalises each example over the image and over each group of channels.

    Mean and biased variance come from one pass, E[x^2] - E[x]^2 clamped at 0, in
    float32. That halves the memory traffic and is exact enough while the mean of a
    channel is not hundreds of times its spread.

    Attributes:
      groups: number of groups, dividing the channels; None is one group per channel,
        which is instance norm.
    """

    groups: int | None

    @nn.compact
    def __call__(self, x_BHWC: jax.Array) -> jax.Array:
        channels = x_BHWC.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (channels,))
        bias = self.param("bias", nn.initializers.zeros, (channels,))
        return _normalise(x_BHWC, scale, bias, self.groups)


# Written by hand, the gradient reads the activations twice, once for two sums and once
# for the result; derived by JAX, it reads them about five times.
@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _normalise(x_BHWC, scale_C, bias_C, groups):
    return _forward(x_BHWC, scale_C, bias_C, groups)[0]


def _forward(x_BHWC, scale_C, bias_C, groups):
    mean_BC = _over_groups(x_BHWC.mean((1, 2)), groups)
    square_BC = _over_groups((x_BHWC * x_BHWC).mean((1, 2)), groups)
    rate_BC = lax.rsqrt(jnp.maximum(square_BC - mean_BC * mean_BC, 0) + _EPSILON)
    gain_BC = scale_C[None] * rate_BC
    y_BHWC = (x_BHWC - _image(mean_BC)) * _image(gain_BC) + _image(bias_C[None])
    return y_BHWC, (x_BHWC, scale_C, mean_BC, rate_BC)


def _backward(groups, residuals, grad_BHWC):
    x_BHWC, scale_C, mean_BC, rate_BC = residuals
    grad_BC = grad_BHWC.mean((1, 2))
    # The mean of grad * (x - mean) / deviation.
    slope_BC = rate_BC * ((grad_BHWC * x_BHWC).mean((1, 2)) - mean_BC * grad_BC)
    shift_BC = rate_BC * _over_groups(scale_C[None] * grad_BC, groups)
    tilt_BC = rate_BC * rate_BC * _over_groups(scale_C[None] * slope_BC, groups)
    gain_BC = scale_C[None] * rate_BC
    x_grad = (
        grad_BHWC * _image(gain_BC)
        - (x_BHWC - _image(mean_BC)) * _image(tilt_BC)
        - _image(shift_BC)
    )
    pixels = x_BHWC.shape[1] * x_BHWC.shape[2]
    return x_grad, pixels * slope_BC.sum(0), pixels * grad_BC.sum(0)


_normalise.defvjp(_forward, _backward)


def _image(values_BC):
    return values_BC[:, None, None, :]


def _over_groups(moment_BC, groups):
    """Replaces the moment of each channel by the mean over its group."""
    if groups is None:
        return moment_BC
    batch, channels = moment_BC.shape
    moment_BGC = moment_BC.reshape(batch, groups, -1)
    mean_BG1 = moment_BGC.mean(2, keepdims=True)
    return jnp.broadcast_to(mean_BG1, moment_BGC.shape).reshape(batch, channels)


def norm_layer(kind: str, train: bool, name: str) -> Callable[[jax.Array], jax.Array]:
    """Returns a normalisation layer, to be called inside a compact method.

    Batch norm is Flax's: a running average with momentum 0.9, PyTorch's 0.1. One
    difference remains: PyTorch's running variance is the unbiased one, larger by
    n / (n - 1) for n = B * H * W numbers per channel; Flax's is the biased one.
    PyTorch's weights can be read as they are; only averages updated here differ.

    Args:
      kind: "instance", "batch", "group" (4 groups) or "none" (the identity).
      train: whether batch norm uses, and averages, the moments of the batch.
      name: the layer's name in the parameter tree.

    Returns:
      A function `[B, H, W, C] -> [B, H, W, C]`.
    """
    if kind == "none":
        return lambda x_BHWC: x_BHWC
    if kind == "batch":
        return nn.BatchNorm(
            use_running_average=not train, momentum=0.9, epsilon=_EPSILON, name=name
        )
    return GroupNorm(GROUPS if kind == "group" else None, name=name)


def check_norm(kind: str, width: int) -> str:
    """Returns `kind`, or refuses it for a network of this width.

    Args:
      kind: what the user gave for the option `norm`.
      width: the smallest number of channels that will be normalised.

    Returns:
      The value.

    Raises:
      InputError: the kind is unknown, or group norm cannot split the channels.
    """
    options.choice("norm", kind, NORMS)
    if kind == "group" and width % GROUPS:
        raise InputError(
            f"width: found {width}, allowed with norm 'group' is a multiple of {GROUPS}"
        )
    return kind
