"""AutoAugment's and RandAugment's operations on 8-bit images.

To be fast when there are many views at once, a drawn operation is turned into numbers
for all of them, of which those that were not drawn change nothing, as in `dsa`.

Letters: H W image height and width, C channels, S operations one after another.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ddjax.data.augment.recipe import POLICY, to_integer, view_key

OPERATIONS = (
    *("identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate"),
    *("brightness", "color", "contrast", "sharpness", "posterize", "solarize"),
    *("autocontrast", "equalize", "invert"),
)
_AT = {name: place for place, name in enumerate(OPERATIONS)}
# Largest magnitudes of those that have some and grow from 0; half of them are negative.
_LARGEST = {"shear_x": 0.3, "shear_y": 0.3, "rotate": 30.0}
_BLENDS = ("brightness", "color", "contrast", "sharpness")
_LARGEST |= dict.fromkeys(_BLENDS, 0.9)
_TRANSLATION = 150 / 331  # of the side
_RANDOM = (9, 31)  # RandAugment's magnitude, and of how many
# The 25 pairs of (operation, probability, magnitude of ten) learned on CIFAR-10.
_CIFAR10 = """
invert .1 0 contrast .2 6; rotate .7 2 translate_x .3 9; sharpness .8 1 sharpness .9 3;
shear_y .5 8 translate_y .7 9; autocontrast .5 0 equalize .9 0;
shear_y .2 7 posterize .3 7; color .4 3 brightness .6 7; sharpness .3 9 brightness .7 9;
equalize .6 0 equalize .5 0; contrast .6 7 sharpness .6 5; color .7 7 translate_x .5 8;
equalize .3 0 autocontrast .4 0; translate_y .4 3 sharpness .2 6;
brightness .9 6 color .2 8; solarize .5 2 invert 0 0; equalize .2 0 autocontrast .6 0;
equalize .2 0 equalize .6 0; color .9 9 equalize .6 0; autocontrast .8 0 solarize .2 8;
brightness .1 3 color .7 0; solarize .4 5 autocontrast .9 0;
translate_y .9 9 translate_y .7 9; autocontrast .9 0 solarize .8 3;
equalize .8 0 invert .1 0; translate_y .7 9 autocontrast .9 0
"""
_LUMA = (0.2989, 0.587, 0.114)  # as torchvision rounds them


class PolicyDraw(NamedTuple):
    """The operations of one view, in their order.

    Attributes:
      operation: [S] int32, a place in `OPERATIONS`.
      magnitude: [S] float32, in the operation's own unit: a slope, pixels, degrees, a
        factor less 1, bits that are kept, the lowest pixel that is inverted.
    """

    operation: jax.Array
    magnitude: jax.Array


def draw_policy(
    policy: str,
    seed: jax.Array,
    epoch: jax.Array,
    example_id: jax.Array,
    height: int,
    width: int,
) -> PolicyDraw:
    """Draws the operations of a view.

    `randaugment`: one of all but `invert`, with magnitude 9 of 0..30. `autoaugment`:
    one of the 25 pairs that were learned on CIFAR-10, each of its operations with its
    probability, else `identity`.

    Args:
      policy: the name.
      seed, epoch, example_id: [] int32.
      height, width: of the image, in pixels; static.

    Source: pytorch/vision (torchvision/transforms/autoaugment.py): AutoAugment with the
      policy CIFAR10 and RandAugment(num_ops=1), which justincui03/dc_benchmark
      evaluates with. There all images of a batch have the same draw, here each its own.
      Where a place lies between two pixels, or a blend is a whole number, its rounding
      may differ from theirs.
    """
    numbers = jax.random.uniform(view_key(POLICY, seed, epoch, example_id), (5,))
    if policy == "randaugment":
        operation = to_integer(numbers[:1], len(OPERATIONS) - 1)
        sizes = [_magnitude(name, *_RANDOM, height, width) for name in OPERATIONS]
        magnitude = jnp.array(sizes, jnp.float32)[operation]
        return PolicyDraw(operation, _signed(operation, magnitude, numbers[3:4]))
    names, chances, sizes = _learned(height, width)
    chosen = to_integer(numbers[0], len(names))
    drawn = numbers[1:3] < jnp.array(chances, jnp.float32)[chosen]
    operation = jnp.where(drawn, jnp.array(names)[chosen], _AT["identity"])
    magnitude = jnp.array(sizes, jnp.float32)[chosen]
    return PolicyDraw(operation, _signed(operation, magnitude, numbers[3:]))


def apply_policy(drawn: PolicyDraw, image_HWC: jax.Array) -> jax.Array:
    """Applies the drawn operations, one after the other.

    What comes from outside the image is black. Pixels are whole numbers before and
    after each operation, as those of torchvision's tensors of bytes: fractions are cut
    off, and pixels below 0 and above 255 are clipped.

    Args:
      drawn: of `draw_policy`.
      image_HWC: [H,W,C] float32, C = 1 or 3; a grey image has no `color` to change.

    Returns:
      [H,W,C] float32, whole numbers in [0, 255].
    """
    image_HWC = _bytes(image_HWC)
    for operation, magnitude in zip(drawn.operation, drawn.magnitude, strict=True):
        image_HWC = _moved(operation, magnitude, image_HWC)
        image_HWC = _recoloured(operation, magnitude, image_HWC)
    return image_HWC


def _magnitude(name: str, level: int, levels: int, height: int, width: int) -> float:
    """The size of a level of 0 .. levels-1, in the operation's unit."""
    share = level / (levels - 1)
    if name == "posterize":
        return 8.0 - round(4 * share)
    if name == "solarize":
        return 255 * (1 - share)
    if name.startswith("translate"):
        side = width if name == "translate_x" else height
        return float(int(share * _TRANSLATION * side))
    return share * _LARGEST.get(name, 0.0)


def _learned(height: int, width: int) -> tuple[list, list, list]:
    """Of the learned pairs: places in `OPERATIONS`, probabilities, magnitudes."""
    names, chances, sizes = [], [], []
    for pair in _CIFAR10.split(";"):
        words = pair.split()
        own, levels = words[::3], map(int, words[2::3])
        names.append([_AT[name] for name in own])
        chances.append([float(word) for word in words[1::3]])
        sizes.append(
            [
                _magnitude(name, level, 10, height, width)
                for name, level in zip(own, levels, strict=True)
            ]
        )
    return names, chances, sizes


def _signed(operation, magnitude, coins):
    """Turns half of the magnitudes round that have a direction."""
    directed = [n in _LARGEST or n.startswith("translate") for n in OPERATIONS]
    turned = jnp.array(directed)[operation] & (coins < 0.5)
    return jnp.where(turned, -magnitude, magnitude)


def _moved(operation, magnitude, image_HWC):
    """Shears, shifts or turns: the nearest pixel of where each one comes from."""
    height, width, channels = image_HWC.shape

    def of(name, value, other=0.0):
        return jnp.where(operation == _AT[name], value, other)

    angle = of("rotate", magnitude * (math.pi / 180))
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    # Of pixels' centres: shears fix the upper left corner, turns the centre.
    y = jnp.arange(height)[:, None] + 0.5
    x = jnp.arange(width)[None, :] + 0.5
    down, across = y - height / 2, x - width / 2
    source_y = y + of("shear_y", magnitude) * x - of("translate_y", magnitude)
    source_x = x + of("shear_x", magnitude) * y - of("translate_x", magnitude)
    turns = operation == _AT["rotate"]
    source_y = jnp.where(turns, sin * across + cos * down + height / 2, source_y)
    source_x = jnp.where(turns, cos * across - sin * down + width / 2, source_x)
    # A place between two pixels is the further one's, on every accelerator.
    row = jnp.floor(source_y + 1e-4).astype(jnp.int32)
    column = jnp.floor(source_x + 1e-4).astype(jnp.int32)
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    black_1C = jnp.zeros((1, channels))
    pixels = jnp.concatenate([image_HWC.reshape(-1, channels), black_1C])
    at = jnp.where(inside, row * width + column, height * width)
    return pixels.at[at].get(mode="promise_in_bounds")


def _recoloured(operation, magnitude, image_HWC):
    """Changes the pixels' values; all but the drawn operation change nothing."""

    def of(name, value, other):
        return jnp.where(operation == _AT[name], value, other)

    grey_HW1 = image_HWC
    if image_HWC.shape[-1] == 3:
        luma_11C = np.array(_LUMA, np.float32).reshape(1, 1, 3)
        grey_HW1 = jnp.floor(jnp.sum(image_HWC * luma_11C, axis=-1, keepdims=True))
    other_HWC = of("color", grey_HW1, jnp.zeros_like(image_HWC))
    other_HWC = of("contrast", jnp.mean(grey_HW1, keepdims=True), other_HWC)
    other_HWC = of("sharpness", _blurred(image_HWC), other_HWC)
    blends = jnp.array([name in _BLENDS for name in OPERATIONS])[operation]
    away = jnp.where(blends, magnitude, 0.0)
    image_HWC = _bytes(image_HWC + away * (image_HWC - other_HWC))
    step = 2.0 ** (8 - of("posterize", magnitude, 8.0))
    image_HWC = jnp.floor(image_HWC / step) * step
    lowest = of("solarize", magnitude, of("invert", 0.0, 256.0))
    image_HWC = jnp.where(image_HWC >= lowest, 255 - image_HWC, image_HWC)
    image_HWC = of("autocontrast", _stretched(image_HWC), image_HWC)
    return of("equalize", _equalized(image_HWC), image_HWC)


def _bytes(image_HWC):
    # What is whole but for its rounding stays whole, on every accelerator.
    return jnp.floor(jnp.clip(image_HWC, 0.0, 255.0) + 1e-3)


def _blurred(image_HWC):
    """Every pixel's mean with its 8 neighbours, itself weighed 5; edges stay."""
    height, width, _ = image_HWC.shape
    if min(height, width) < 3:
        return image_HWC
    total = 4 * image_HWC[1:-1, 1:-1]
    for y in range(3):
        for x in range(3):
            total = total + image_HWC[y : y + height - 2, x : x + width - 2]
    return image_HWC.at[1:-1, 1:-1].set(jnp.round(total / 13))


def _stretched(image_HWC):
    """Every channel from 0 to 255, but for one that has a single value."""
    low = jnp.min(image_HWC, axis=(0, 1), keepdims=True)
    high = jnp.max(image_HWC, axis=(0, 1), keepdims=True)
    scale = 255 / jnp.where(high > low, high - low, 1.0)
    return jnp.where(high > low, _bytes((image_HWC - low) * scale), image_HWC)


def _equalized(image_HWC):
    """Every channel with about as many pixels of each value."""
    height, width, channels = image_HWC.shape
    values_CP = image_HWC.astype(jnp.int32).reshape(-1, channels).T

    def equalized(values_P):
        counts = jnp.zeros(256, jnp.int32).at[values_P].add(1)
        # But for the highest value: the others are spread over the range.
        step = (values_P.size - counts[jnp.max(values_P)]) // 255
        below = jnp.cumsum(counts) - counts
        table = jnp.clip((below + step // 2) // jnp.maximum(step, 1), 0, 255)
        return jnp.where(step > 0, table[values_P], values_P)

    found = jax.vmap(equalized)(values_CP).T.reshape(height, width, channels)
    return found.astype(jnp.float32)
