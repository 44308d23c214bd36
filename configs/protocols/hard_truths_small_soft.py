"""Students under the small-scale protocol of "Hard Truths", soft labels.

    ddjax run protocols/hard_truths_small_soft:cifar10 --images=PATH

Without `--images` the students train on random subsets alone.
"""

from ddjax import presets

PROTOCOL = "hard_truths_small_soft"
VARIANTS = tuple(presets.DATASETS)


def get_config(variant: str = "digits"):
    return presets.under_protocol(PROTOCOL, variant)
