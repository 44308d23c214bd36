"""What an augmentation does, and the random numbers it is given.

Every random number is a pure function of (seed, epoch, example id), so a view is the
same in any order, at any batch size, for whoever asks.
"""

import dataclasses
import math
from numbers import Integral, Real

import jax
import jax.numpy as jnp

from ddjax.errors import InputError

# One stream of random numbers for each purpose. Teacher labels are stored for views
# drawn from these streams: never renumber them.
CROP, FLIP, CUTMIX = range(3)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What is done to an image; static and hashable, all off by default.

    Attributes:
      pad: pixels of black added on each side before the image's size is cut out again
        at a uniform offset.
      resized_crop: (lowest, highest) fraction of the image's area, in (0, 1]; a window
        of such an area is resized to the image's size. None: off.
      flip: mirror left and right with probability 1/2.
      cutmix: alpha of the Beta(alpha, alpha) distribution of CutMix; 0: off.

    Raises:
      InputError: a value out of its range, or both kinds of crop at once.
    """

    pad: int = 0
    resized_crop: tuple[float, float] | None = None
    flip: bool = False
    cutmix: float = 0.0

    def __post_init__(self):
        if not isinstance(self.pad, Integral) or self.pad < 0:
            raise InputError(
                f"augment.pad: found {self.pad!r}, allowed is an integer >= 0"
            )
        if self.resized_crop is not None:
            areas = self.resized_crop
            if not _is_area_range(areas):
                raise InputError(
                    f"augment.resized_crop: found {areas!r}, allowed is a pair "
                    "(lowest, highest) of areas with 0 < lowest <= highest <= 1"
                )
            # A list from a config would not be hashable.
            object.__setattr__(self, "resized_crop", tuple(areas))
            if self.pad:
                raise InputError(
                    f"augment.resized_crop: found {areas!r} beside augment.pad = "
                    f"{self.pad}, allowed is one of the two crops"
                )
        if not isinstance(self.cutmix, Real) or not 0 <= self.cutmix < math.inf:
            raise InputError(
                f"augment.cutmix: found {self.cutmix!r}, allowed is a finite "
                "number >= 0"
            )


def view_key(
    purpose: int, seed: jax.Array, epoch: jax.Array, example_id: jax.Array
) -> jax.Array:
    """The typed key of one purpose at one view, whatever JAX's default generator."""
    key = jax.random.key(0, impl="threefry2x32")
    for number in (seed, purpose, epoch, example_id):
        key = jax.random.fold_in(key, number)
    return key


def to_integer(uniform: jax.Array, count: jax.Array | int) -> jax.Array:
    """A number in [0, 1) as an integer in 0 .. count-1."""
    return (uniform * count).astype(jnp.int32)


def _is_area_range(value) -> bool:
    return (
        isinstance(value, (tuple, list))
        and len(value) == 2
        and all(isinstance(area, Real) for area in value)
        and 0 < value[0] <= value[1] <= 1
    )
