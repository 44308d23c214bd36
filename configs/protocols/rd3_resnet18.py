"""Students under RD3's unified protocol for ResNet-18.

    ddjax run protocols/rd3_resnet18:cifar10 --images=PATH

Without `--images` the students train on random subsets alone.
"""

from ddjax import presets

PROTOCOL = "rd3_resnet18"
VARIANTS = tuple(presets.DATASETS)


def get_config(variant: str = "digits"):
    return presets.under_protocol(PROTOCOL, variant)
