"""DELT under RD3's protocol: CDA from images of medium difficulty, which join in turns.

Claim (DELT): images that are optimised for different lengths of time differ more from
each other, are worth more, and cost less.

Source: VILA-Lab/DELT, scripts/resnet18_imagenet1k_synthesis.sh: 4,000 iterations in 8
rounds, the cosine curriculum over all of them, images that do not roll. It has no
constants for other data sets; all take ImageNet's.

    python -m ddjax.main --config=configs/methods/delt.py:cifar100 --dry_run
    python -m ddjax.main --config=configs/methods/delt.py:cifar100

Variants are those of `presets.dataset`: `digits` (default), `fashion_mnist`, `cifar10`,
`cifar100`, `tiny_imagenet`, `imagenet`, `imagenette`, `imagewoof`, `smoke`.
"""

from ddjax import presets

VARIANTS = tuple(presets.DATASETS)

CONSTANTS = {
    "imagenet": {
        "iterations": 4000,
        "learning_rate": 0.25,
        "bn_weight": 0.01,
        "batch": 100,
        "jitter": 0,
        "delt.rounds": 8,
    },
}


def get_config(variant: str = "digits"):
    config = presets.synthesised(variant, "delt")
    presets.recover(config, variant, CONSTANTS)
    if variant == "smoke":
        config.distill.delt.delt.rounds = 3
    return config
