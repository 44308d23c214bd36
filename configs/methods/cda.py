"""CDA under RD3's protocol: SRe2L that crops whole images first.

Claim (CDA): a curriculum from whole images to small parts makes better images than
SRe2L's crops of all sizes.

Source: VILA-Lab/SRe2L, CDA: the cosine curriculum over all iterations, a roll one way.
It has no constants for CIFAR; it and the smaller sets take TinyImageNet's, ImageNet's
subsets ImageNet's.

    python -m ddjax.main --config=configs/methods/cda.py:cifar100 --dry_run
    python -m ddjax.main --config=configs/methods/cda.py:cifar100

Variants are those of `presets.dataset`: `digits` (default), `fashion_mnist`, `cifar10`,
`cifar100`, `tiny_imagenet`, `imagenet`, `imagenette`, `imagewoof`, `smoke`.
"""

from ddjax import presets

VARIANTS = tuple(presets.DATASETS)

CONSTANTS = {
    "tiny_imagenet": {
        "iterations": 4000,
        "learning_rate": 0.4,
        "bn_weight": 0.05,
        "two_sided": False,
    },
    "imagenet": {
        "iterations": 4000,
        "learning_rate": 0.25,
        "bn_weight": 0.01,
        "two_sided": False,
    },
}


def get_config(variant: str = "digits"):
    config = presets.synthesised(variant, "cda")
    presets.recover(config, variant, CONSTANTS)
    return config
