"""Settings of the views of an image."""

import dataclasses

from ddjax.data.augment.recipe import Options
from ddjax.declare import setting
from ddjax.settings.labels import REGIMES


@dataclasses.dataclass(frozen=True)
class Augment(Options):
    """Views of an image, see ddjax.data.augment.Recipe."""

    cutmix_regimes: tuple[str, ...] = setting(
        ("soft_kd",), "Where CutMix is applied.", REGIMES, each="once"
    )
    patch_shuffle_regimes: tuple[str, ...] = setting(
        ("soft_kd",),
        "Where patches are shuffled; a teacher trains as `hard` does.",
        REGIMES,
        each="once",
    )
