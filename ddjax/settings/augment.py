"""Settings of the views of an image."""

import dataclasses

from ddjax.settings import checks
from ddjax.settings.labels import REGIMES

DSA_OPERATIONS = ("color", "crop", "cutout", "flip", "scale", "rotate")


@dataclasses.dataclass(frozen=True)
class Augment:
    """Views of an image, see ddjax.data.augment.Recipe."""

    pad: int = 0  # pixels; pad and crop back at a random offset
    resized_crop: tuple[float, ...] = ()  # (lowest, highest) area; (): off
    flip: bool = False
    cutmix: float = 0.0  # alpha of the Beta distribution; 0: off
    cutmix_regimes: tuple[str, ...] = ("soft_kd",)  # where CutMix is applied
    patch_shuffle: int = 0  # strips along both axes, permuted before all else; 0: off
    # Where it is applied; a teacher trains as `hard` does.
    patch_shuffle_regimes: tuple[str, ...] = ("soft_kd",)
    # One of these a view, with no other but CutMix, see DSA_OPERATIONS; (): off.
    dsa: tuple[str, ...] = ()
    # (brightness, contrast, saturation): factors from 1 - value to 1 + value; (): off.
    color_jitter: tuple[float, ...] = ()
    lighting: float = 0.0  # deviation of AlexNet's shift of colours; 0: off

    def __post_init__(self):
        checks.require(
            len(self.resized_crop) in (0, 2),
            "augment.resized_crop",
            self.resized_crop,
            "() or (lowest, highest) area",
        )
        checks.require(
            len(self.color_jitter) in (0, 3),
            "augment.color_jitter",
            self.color_jitter,
            "() or (brightness, contrast, saturation)",
        )
        for name in ("cutmix_regimes", "patch_shuffle_regimes"):
            for regime in getattr(self, name):
                checks.one_of(f"augment.{name}", regime, REGIMES)
