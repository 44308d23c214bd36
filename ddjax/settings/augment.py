"""Settings of the views of an image."""

import dataclasses

from ddjax.data.recipe import DSA_OPERATIONS
from ddjax.declare import setting
from ddjax.declare.walk import require
from ddjax.settings.labels import REGIMES


@dataclasses.dataclass(frozen=True)
class Augment:
    """Views of an image, see ddjax.data.augment.Recipe."""

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
    cutmix_regimes: tuple[str, ...] = setting(
        ("soft_kd",), "Where CutMix is applied.", REGIMES, each="once"
    )
    patch_shuffle: int = setting(
        0,
        "Strips along both axes that are permuted before all else (RDED); 0: none.",
        "[2, 128]",
        also=(0,),
    )
    patch_shuffle_regimes: tuple[str, ...] = setting(
        ("soft_kd",),
        "Where patches are shuffled; a teacher trains as `hard` does.",
        REGIMES,
        each="once",
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

    def check(self, key: str) -> None:
        """Raises InputError where values do not fit each other."""
        for name, words in (
            ("resized_crop", ("lowest", "highest")),
            ("color_jitter", ("brightness", "contrast", "saturation")),
        ):
            found = getattr(self, name)
            allowed = f"() or ({', '.join(words)})"
            require(len(found) in (0, len(words)), f"{key}.{name}", found, allowed)
        require(
            list(self.resized_crop) == sorted(self.resized_crop),
            f"{key}.resized_crop",
            self.resized_crop,
            "(lowest, highest) with lowest <= highest",
        )
