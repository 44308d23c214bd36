"""DWA under RD3's protocol: SRe2L from real images, each batch through another teacher.

Claim (DWA): images differ more from each other when the teacher's weights are moved for
each batch, and are worth more.

Source: AngusDujw/Diversity-Driven-Synthesis. CIFAR has no crops there, and images roll
one way only on all data sets. CIFAR-10 and the smaller sets take CIFAR-100's constants,
ImageNet's subsets ImageNet's.

    python -m ddjax.main --config=configs/methods/dwa.py:cifar100 --dry_run
    python -m ddjax.main --config=configs/methods/dwa.py:cifar100

Variants are those of `presets.dataset`: `digits` (default), `fashion_mnist`, `cifar10`,
`cifar100`, `tiny_imagenet`, `imagenet`, `imagenette`, `imagewoof`, `smoke`.
"""

from ddjax import presets

VARIANTS = tuple(presets.DATASETS)

CONSTANTS = {
    "cifar100": {
        "iterations": 1000,
        "learning_rate": 0.25,
        "area": 1.0,
        "two_sided": False,
        "dwa.var_weight": 11.0,
        "dwa.ascent_steps": 12,
    },
    "tiny_imagenet": {
        "iterations": 2000,
        "learning_rate": 0.1,
        "batch": 200,
        "two_sided": False,
        "dwa.var_weight": 11.0,
        "dwa.ascent_steps": 12,
    },
    "imagenet": {
        "iterations": 2000,
        "learning_rate": 0.25,
        "two_sided": False,
        "dwa.var_weight": 2.0,
        "dwa.ascent_steps": 15,
    },
}


def get_config(variant: str = "digits"):
    config = presets.synthesised(variant, "dwa")
    presets.recover(config, variant, CONSTANTS)
    return config
