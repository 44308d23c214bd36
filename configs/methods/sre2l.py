"""SRe2L under RD3's protocol, with its own constants for each data set.

Claim (RD3, Hard Truths): behind its labels, SRe2L's images are worth no more than
random real ones; with hard labels they are worth less.

Source: VILA-Lab/SRe2L and zeyuanyin/tiny-imagenet. CIFAR has no crops there; it and
ImageNet roll one way only, TinyImageNet both. CIFAR-10 and the smaller sets take
CIFAR-100's constants, ImageNet's subsets ImageNet's. For ImageNet it takes
torchvision's ResNet-18 as teacher, here `--config.teacher.path`.

    python -m ddjax.main --config=configs/methods/sre2l.py:cifar100 --dry_run
    python -m ddjax.main --config=configs/methods/sre2l.py:cifar100

Variants are those of `presets.dataset`: `digits` (default), `fashion_mnist`, `cifar10`,
`cifar100`, `tiny_imagenet`, `imagenet`, `imagenette`, `imagewoof`, `smoke`.
"""

from ddjax import presets

VARIANTS = tuple(presets.DATASETS)

CONSTANTS = {
    "cifar100": {
        "iterations": 1000,
        "learning_rate": 0.25,
        "bn_weight": 0.01,
        "area": 1.0,
        "two_sided": False,
    },
    "tiny_imagenet": {"iterations": 4000, "learning_rate": 0.1, "bn_weight": 1.0},
    "imagenet": {
        "iterations": 4000,
        "learning_rate": 0.25,
        "bn_weight": 0.01,
        "two_sided": False,
    },
}


def get_config(variant: str = "digits"):
    config = presets.synthesised(variant, "sre2l")
    presets.recover(config, variant, CONSTANTS)
    return config
