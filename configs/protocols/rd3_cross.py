"""Students other than ResNet-18 under RD3's unified protocol.

    ddjax run protocols/rd3_cross:cifar10 --images=PATH

Without `--images` the students train on random subsets alone.
"""

from ddjax import presets

PROTOCOL = "rd3_cross"
VARIANTS = tuple(presets.DATASETS)


def get_config(variant: str = "digits"):
    return presets.under_protocol(PROTOCOL, variant)
