"""What an augmentation does, and the random numbers it is given.

Every random number is a pure function of (seed, epoch, example id), so a view is the
same in any order, at any batch size, for whoever asks.
"""

import dataclasses
import math
from numbers import Integral, Real
from typing import Any

import jax
import jax.numpy as jnp

from ddjax import keys
from ddjax.errors import InputError

# One stream of random numbers for each purpose. Teacher labels are stored for views
# drawn from these streams: never renumber them.
CROP, FLIP, CUTMIX, SHUFFLE, DSA, JITTER, LIGHTING = range(7)

DSA_OPERATIONS = ("color", "crop", "cutout", "flip", "scale", "rotate")


@dataclasses.dataclass(frozen=True)
class Dsa:
    """The augmentation DSA; static and hashable.

    Attributes:
      operations: those among which each view draws one, of `DSA_OPERATIONS`.
      mean, std: one number a channel, of pixels in [0, 1]; DSA is defined on pixels
        that are normalised by them.

    Raises:
      InputError: no operation, an unknown one, or one twice.
    """

    operations: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self):
        for field in dataclasses.fields(self):
            # A list from a config would not be hashable.
            object.__setattr__(self, field.name, tuple(getattr(self, field.name)))
        found = self.operations
        if not found or len(set(found)) < len(found) or set(found) - {*DSA_OPERATIONS}:
            raise InputError(
                f"augment.dsa: found {found!r}, allowed is () or some of "
                f"{', '.join(DSA_OPERATIONS)}, each once"
            )


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
      patch_shuffle: strips that the image is cut in along both axes before they are
        permuted, 2 or more; what follows is done to the shuffled image. 0: off.
      dsa: in place of all others but CutMix. None: off.
      color_jitter: (brightness, contrast, saturation), each in [0, 1]: how far its
        factor may be from 1. None: off.
      lighting: deviation of the Gaussian by which colours move along the principal
        directions of ImageNet's, in their eigenvalues; 0: off.

    Raises:
      InputError: a value out of its range, both kinds of crop at once, or DSA beside
        what it is in place of.
    """

    pad: int = 0
    resized_crop: tuple[float, float] | None = None
    flip: bool = False
    cutmix: float = 0.0
    patch_shuffle: int = 0
    dsa: Dsa | None = None
    color_jitter: tuple[float, float, float] | None = None
    lighting: float = 0.0

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
        factor = self.patch_shuffle
        if not isinstance(factor, Integral) or factor < 0 or factor == 1:
            raise InputError(
                f"augment.patch_shuffle: found {factor!r}, allowed is 0 or an integer "
                ">= 2"
            )
        if self.color_jitter is not None:
            reaches = self.color_jitter
            if not _is_jitter(reaches):
                raise InputError(
                    f"augment.color_jitter: found {reaches!r}, allowed are three "
                    "numbers in [0, 1], of brightness, contrast and saturation"
                )
            object.__setattr__(self, "color_jitter", tuple(reaches))
        if not isinstance(self.lighting, Real) or not 0 <= self.lighting < math.inf:
            raise InputError(
                f"augment.lighting: found {self.lighting!r}, allowed is a finite "
                "number >= 0"
            )
        others = "pad", "resized_crop", "flip", "patch_shuffle"
        for name in (*others, "color_jitter", "lighting"):
            if self.dsa is not None and getattr(self, name):
                raise InputError(
                    f"augment.dsa: found {self.dsa.operations!r} beside augment.{name} "
                    f"= {getattr(self, name)!r}, allowed is DSA without it"
                )

    @property
    def colors(self) -> bool:
        """Whether colours change in a way that is not DSA's."""
        return self.color_jitter is not None or self.lighting > 0

    def check(self, height: int, width: int, channels: int = 3) -> None:
        """Raises InputError where images are too small for strips, or lack colours."""
        if self.patch_shuffle > min(height, width):
            raise InputError(
                f"augment.patch_shuffle: found {self.patch_shuffle}, allowed is at "
                f"most the shorter side of the images, which have {height} x {width} "
                "pixels"
            )
        if self.lighting and channels != 3:
            raise InputError(
                f"augment.lighting: found {self.lighting!r} with images of {channels} "
                "channels, allowed is 0: it moves red, green and blue"
            )
        if self.color_jitter is not None and channels not in (1, 3):
            raise InputError(
                f"augment.color_jitter: found {self.color_jitter!r} with images of "
                f"{channels} channels, allowed is None: it is defined for 1 and 3"
            )

    def used(self) -> dict[str, Any]:
        """Returns the fields as a dict, those that came later only where they are on.

        Addresses of artifacts are made of it: the old ones stay what they were.
        """
        fields = dataclasses.asdict(self)
        for name in ("patch_shuffle", "dsa", "color_jitter", "lighting"):
            if not fields[name]:
                del fields[name]
        return fields


def view_key(
    purpose: int, seed: jax.Array, epoch: jax.Array, example_id: jax.Array
) -> jax.Array:
    """The typed key of one purpose at one view, whatever JAX's default generator."""
    key = keys.key(0)
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


def _is_jitter(value) -> bool:
    return (
        isinstance(value, (tuple, list))
        and len(value) == 3
        and all(isinstance(reach, Real) and 0 <= reach <= 1 for reach in value)
    )
