"""Students under DWA's protocol.

    ddjax run protocols/dwa:cifar10 --images=PATH

Without `--images` the students train on random subsets alone.
"""

from ddjax import presets

PROTOCOL = "dwa"
VARIANTS = tuple(presets.DATASETS)


def get_config(variant: str = "digits"):
    return presets.under_protocol(PROTOCOL, variant)
