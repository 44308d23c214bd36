"""Students under PCA's protocol.

    ddjax run protocols/pca:cifar10 --images=PATH

Without `--images` the students train on random subsets alone.
"""

from ddjax import presets

PROTOCOL = "pca"
VARIANTS = tuple(presets.DATASETS)


def get_config(variant: str = "digits"):
    return presets.under_protocol(PROTOCOL, variant)
