"""Normalisation layers of images: batch, instance and group norm.

Letters: B batch, H W image, C channels, G groups of channels.
"""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

NORMS = ("instance", "batch", "group", "none")
GROUPS = 4
_EPSILON = 1e-5
# What the running averages keep of their old value, PyTorch's momentum 0.1.
_KEEP = 0.9


class GroupNorm(nn.Module):
    """Normalises each example over the image and over each group of channels.

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
        over = _each if self.groups is None else _Grouped(self.groups)
        return _normalise(x_BHWC, scale, bias, over)[0]


class BatchNorm(nn.Module):
    """Normalises each channel over the batch and the image, as PyTorch does.

    In training it uses the moments of the batch and, if `batch_stats` is mutable,
    averages them into the running ones: the mean, the unbiased variance, and the
    number of batches, which nothing reads but which PyTorch's weights hold.

    Attributes:
      train: whether the moments are those of the batch.
    """

    train: bool

    @nn.compact
    def __call__(self, x_BHWC: jax.Array) -> jax.Array:
        channels = x_BHWC.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (channels,))
        bias = self.param("bias", nn.initializers.zeros, (channels,))
        mean = self.variable("batch_stats", "mean", jnp.zeros, (channels,))
        var = self.variable("batch_stats", "var", jnp.ones, (channels,))
        count = self.variable("batch_stats", "count", jnp.zeros, (), jnp.int32)
        if not self.train:
            gain = scale * lax.rsqrt(var.value + _EPSILON)
            shift = bias - mean.value * gain
            y_BHWC = x_BHWC * _image(gain[None]) + _image(shift[None])
            return y_BHWC.astype(x_BHWC.dtype)
        y_BHWC, mean_1C, var_1C = _normalise(x_BHWC, scale, bias, _batch)
        if self.is_mutable_collection("batch_stats") and not self.is_initializing():
            numbers = x_BHWC.size // channels
            unbiased = var_1C[0] * (numbers / max(numbers - 1, 1))
            mean.value = _KEEP * mean.value + (1 - _KEEP) * mean_1C[0]
            var.value = _KEEP * var.value + (1 - _KEEP) * unbiased
            # Not in place, which would count in the caller's array if NumPy's.
            count.value = count.value + 1
        return y_BHWC


# Over which examples and channels a moment [B,C] is averaged; hashable.


def _each(moment_BC):
    return moment_BC


def _batch(moment_BC):
    return moment_BC.mean(0, keepdims=True)


class _Grouped(int):
    """This number of groups."""

    def __call__(self, moment_BC):
        batch, channels = moment_BC.shape
        moment_BGC = moment_BC.reshape(batch, int(self), -1)
        mean_BG1 = moment_BGC.mean(2, keepdims=True)
        return jnp.broadcast_to(mean_BG1, moment_BGC.shape).reshape(batch, channels)


# Written by hand, the gradient reads the activations twice, once for two sums and once
# for the result; derived by JAX, it reads them about five times.
@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _normalise(x_BHWC, scale_C, bias_C, over):
    """Returns the normalised images, and mean and biased variance without gradient.

    Both moments come from one pass, E[x^2] - E[x]^2 clamped at 0, in float32. That
    halves the memory traffic and is exact enough while the mean of a channel is not
    hundreds of times its spread.
    """
    return _forward(x_BHWC, scale_C, bias_C, over)[0]


def _forward(x_BHWC, scale_C, bias_C, over):
    x = x_BHWC.astype(jnp.float32)
    mean_BC = over(x.mean((1, 2)))
    square_BC = over((x * x).mean((1, 2)))
    var_BC = jnp.maximum(square_BC - mean_BC * mean_BC, 0)
    rate_BC = lax.rsqrt(var_BC + _EPSILON)
    gain_BC = scale_C[None] * rate_BC
    y_BHWC = (x - _image(mean_BC)) * _image(gain_BC) + _image(bias_C[None])
    results = y_BHWC.astype(x_BHWC.dtype), mean_BC, var_BC
    return results, (x_BHWC, scale_C, mean_BC, rate_BC)


def _backward(over, residuals, gradients):
    x_BHWC, scale_C, mean_BC, rate_BC = residuals
    x, grad = x_BHWC.astype(jnp.float32), gradients[0].astype(jnp.float32)
    grad_BC = grad.mean((1, 2))
    # The mean of grad * (x - mean) / deviation.
    slope_BC = rate_BC * ((grad * x).mean((1, 2)) - mean_BC * grad_BC)
    shift_BC = rate_BC * over(scale_C[None] * grad_BC)
    tilt_BC = rate_BC * rate_BC * over(scale_C[None] * slope_BC)
    gain_BC = scale_C[None] * rate_BC
    x_grad = (
        grad * _image(gain_BC) - (x - _image(mean_BC)) * _image(tilt_BC)
    ) - _image(shift_BC)
    pixels = x_BHWC.shape[1] * x_BHWC.shape[2]
    return (
        x_grad.astype(x_BHWC.dtype),
        pixels * slope_BC.sum(0),
        pixels * grad_BC.sum(0),
    )


_normalise.defvjp(_forward, _backward)


def _image(values_BC):
    return values_BC[:, None, None, :]
