"""What an augmentation does, and the random numbers it is given.

Every random number is a pure function of (seed, epoch, example id), so a view is the
same in any order, at any batch size.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ddjax import keys
from ddjax.declare import setting, walk
from ddjax.errors import InputError

DSA_OPERATIONS = ("color", "crop", "cutout", "flip", "scale", "rotate")
POLICIES = ("autoaugment", "randaugment")
# One stream of random numbers for each purpose. Teacher labels are stored for views
# drawn from these streams: never renumber them.
CROP, FLIP, CUTMIX, SHUFFLE, DSA, JITTER, LIGHTING, CUTOUT, POLICY = range(9)


@dataclasses.dataclass(frozen=True)
class Options:
    """Views of an image: what a `Recipe` does, as settings."""

    pad: int = setting(
        0, "Pixels to pad by, before a crop back at a random offset.", "[0, 128]"
    )
    resized_crop: tuple[float, ...] = setting(
        (),
        "(lowest, highest) area of a random crop that is resized to the image; (): no "
        "such crop.",
        "(0, 1]",
        counts="[0, 2]",
    )
    flip: bool = setting(False, "Mirror left and right with probability 1/2.")
    cutmix: float = setting(
        0.0,
        "Alpha of the Beta distribution of CutMix; 0: no CutMix.",
        "[0.01, 100]",
        also=(0.0,),
    )
    patch_shuffle: int = setting(
        0,
        "Strips along both axes that are permuted before all else (RDED); 0: none.",
        "[2, 128]",
        also=(0,),
    )
    dsa: tuple[str, ...] = setting(
        (),
        "DSA: one of these a view, with no other but CutMix; (): no DSA.",
        DSA_OPERATIONS,
        each="once",
    )
    color_jitter: tuple[float, ...] = setting(
        (),
        "(brightness, contrast, saturation), factors from 1 - value to 1 + value; (): "
        "colours stay.",
        "[0, 1]",
        counts="[0, 3]",
    )
    lighting: float = setting(
        0.0, "Deviation of AlexNet's shift of colours; 0: none.", "[0, 10]"
    )
    cutout: int = setting(
        0,
        "Side of a square of the mean colour, in pixels; 0: none.",
        "[2, 512]",
        also=(0,),
    )
    policy: str = setting(
        "",
        "Operations on 8-bit images, see ddjax.data.augment.policy; '': none.",
        POLICIES,
        also=("",),
    )

    def check(self, key: str) -> None:
        """Raises InputError where values do not fit each other."""
        for name, words in (
            ("resized_crop", ("lowest", "highest")),
            ("color_jitter", ("brightness", "contrast", "saturation")),
        ):
            found = getattr(self, name)
            allowed = f"() or ({', '.join(words)})"
            walk.require(len(found) in (0, len(words)), f"{key}.{name}", found, allowed)
        walk.require(
            list(self.resized_crop) == sorted(self.resized_crop),
            f"{key}.resized_crop",
            self.resized_crop,
            "(lowest, highest) with lowest <= highest",
        )
        others: tuple[str, ...] = ("pad", "resized_crop", "flip", "patch_shuffle")
        beside = [("resized_crop", "pad")] if self.resized_crop else []
        if self.dsa:
            others += ("color_jitter", "lighting", "cutout", "policy")
            beside += [("dsa", name) for name in others]
        for name, other in beside:
            if found := getattr(self, other):
                raise InputError(
                    f"{key}.{name}: found {getattr(self, name)!r} beside {key}.{other} "
                    f"= {found!r}, allowed is one of the two"
                )


@dataclasses.dataclass(frozen=True)
class Dsa:
    """The augmentation DSA; static and hashable.

    Attributes:
      operations: those among which each view draws one, of `DSA_OPERATIONS`.
      mean, std: one number a channel, of pixels in [0, 1]; DSA is defined on pixels
        that are normalised by them.
    """

    operations: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            # A list from a config would not be hashable.
            object.__setattr__(self, field.name, tuple(getattr(self, field.name)))
        walk.require(
            bool(self.operations), "augment.dsa", (), f"some of {DSA_OPERATIONS}"
        )
        walk.check(Options(dsa=self.operations), "augment")


@dataclasses.dataclass(frozen=True)
class Cutout:
    """A square of the mean colour; static and hashable.

    Attributes:
      side: in pixels.
      mean: one number a channel, of pixels in [0, 1].
    """

    side: int
    mean: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", tuple(self.mean))
        walk.require(self.side > 0, "augment.cutout", self.side, "2 to 512")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The augmentation of images; static and hashable, all of it off by default.

    Fields and their ranges are those of `Options`, but a field that is off is None
    instead of () or 0, `dsa` has the mean and deviation of the pixels too, and `cutout`
    the mean.

    Raises:
      InputError: a value out of its range, both kinds of crop at once, or DSA beside
        an operation that it replaces.
    """

    pad: int = 0
    resized_crop: tuple[float, float] | None = None
    flip: bool = False
    cutmix: float = 0.0
    patch_shuffle: int = 0
    dsa: Dsa | None = None
    color_jitter: tuple[float, float, float] | None = None
    lighting: float = 0.0
    cutout: Cutout | None = None
    policy: str = ""

    def __post_init__(self) -> None:
        values = {
            each.name: getattr(self, each.name) for each in dataclasses.fields(self)
        }
        for name in ("resized_crop", "color_jitter"):
            found = values[name]
            walk.require(found != (), f"augment.{name}", found, "None, or numbers")
            values[name] = () if found is None else found
            if isinstance(found, list):  # would not be hashable
                object.__setattr__(self, name, tuple(found))
        values["dsa"] = () if self.dsa is None else self.dsa.operations
        values["cutout"] = 0 if self.cutout is None else self.cutout.side
        walk.check(Options(**values), "augment")

    @property
    def colors(self) -> bool:
        """Whether colours change in a way that is not DSA's."""
        return self.color_jitter is not None or self.lighting > 0

    def check(self, height: int, width: int, channels: int = 3) -> None:
        """Raises InputError where images are too small for strips, or lack colours."""
        walk.require(
            self.patch_shuffle <= min(height, width),
            "augment.patch_shuffle",
            self.patch_shuffle,
            "at most the shorter side of the images, which have "
            f"{height} x {width} pixels",
        )
        both = (1, 3)
        for name, fits in (
            ("lighting", (3,)),
            ("color_jitter", both),
            ("policy", both),
        ):
            if getattr(self, name) and channels not in fits:
                raise InputError(
                    f"augment.{name}: found {getattr(self, name)!r} with images of "
                    f"{channels} channels, allowed is to leave it off: it is defined "
                    f"for {' and '.join(map(str, fits))}"
                )

    def used(self) -> dict[str, Any]:
        """Returns the fields as a dict, those that came later only where they are on.

        Artifacts' addresses are digests of it, so that earlier addresses stay valid.
        """
        fields = dataclasses.asdict(self)
        for name in (
            "patch_shuffle",
            "dsa",
            "color_jitter",
            "lighting",
            "cutout",
            "policy",
        ):
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


def to_integer(uniform: jax.Array, count: jax.Array | np.ndarray | int) -> jax.Array:
    """A number in [0, 1) as an integer in 0 .. count-1."""
    return (uniform * count).astype(jnp.int32)
