"""Students under the small-scale protocol of "Hard Truths", hard labels.

    ddjax run protocols/hard_truths_small:cifar10 --images=PATH

Without `--images` the students train on random subsets alone.
"""

from ddjax import presets

PROTOCOL = "hard_truths_small"
VARIANTS = tuple(presets.DATASETS)


def get_config(variant: str = "digits"):
    return presets.under_protocol(PROTOCOL, variant)
