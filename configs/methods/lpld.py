"""LPLD under RD3's protocol: the images of a class are synthesised together.

Claim (LPLD): matched with the statistics of their class, images of a class differ from
each other, and few soft labels are then enough.

Source: he-y/soft-label-pruning-for-dataset-distillation. A batch is all images of one
class. ImageNet rolls one way only, TinyImageNet both. It has no constants for CIFAR; it
and the smaller sets take TinyImageNet's, ImageNet's subsets ImageNet's.

    python -m ddjax.main --config=configs/methods/lpld.py:cifar100 --dry_run
    python -m ddjax.main --config=configs/methods/lpld.py:cifar100

Variants are those of `presets.dataset`: `digits` (default), `fashion_mnist`, `cifar10`,
`cifar100`, `tiny_imagenet`, `imagenet`, `imagenette`, `imagewoof`, `smoke`.
"""

from ddjax import presets

VARIANTS = tuple(presets.DATASETS)

CONSTANTS = {
    "tiny_imagenet": {"iterations": 4000, "learning_rate": 0.1, "bn_weight": 0.05},
    "imagenet": {
        "iterations": 4000,
        "learning_rate": 0.25,
        "bn_weight": 0.01,
        "two_sided": False,
    },
}


def get_config(variant: str = "digits"):
    config = presets.synthesised(variant, "lpld")
    presets.recover(config, variant, CONSTANTS)
    return config
