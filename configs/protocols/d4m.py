"""Students under D4M's protocol.

    ddjax run protocols/d4m:cifar10 --images=PATH

Without `--images` the students train on random subsets alone.
"""

from ddjax import presets

PROTOCOL = "d4m"
VARIANTS = tuple(presets.DATASETS)


def get_config(variant: str = "digits"):
    return presets.under_protocol(PROTOCOL, variant)
