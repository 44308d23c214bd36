"""Students under FRePo's protocol: labels that a set has learned, squared error.

    ddjax run protocols/frepo:cifar10 --images=PATH --images_labels

Without `--images` the students train on random subsets alone, with a teacher's labels.
"""

from ddjax import presets

PROTOCOL = "frepo"
VARIANTS = tuple(presets.DATASETS)


def get_config(variant: str = "digits"):
    return presets.under_protocol(PROTOCOL, variant)
