"""Settings that several configs start from: data, networks that suit it, methods."""

from ddjax.presets.datasets import (
    DATASETS,
    check_variant,
    dataset,
    digits,
    fashion_mnist,
    imagenet,
    smoke,
    under_protocol,
)
from ddjax.presets.matching import LEARNED, learned
from ddjax.presets.synthesis import ensemble, nearest, recover, stitch, synthesised
from ddjax.presets.views import add_views

__all__ = [
    "DATASETS",
    "LEARNED",
    "add_views",
    "check_variant",
    "dataset",
    "digits",
    "ensemble",
    "fashion_mnist",
    "imagenet",
    "learned",
    "nearest",
    "recover",
    "smoke",
    "stitch",
    "synthesised",
    "under_protocol",
]


def __dir__() -> list[str]:
    return __all__
