"""SRe2L++ under RD3's protocol: SRe2L from RDED's images, with crops on all data sets.

Claim (CV-DD): a start from patches of real images, crops and labels from small batches
make SRe2L a strong baseline. The labels are RD3's here.

Source: Jiacheng8/CV-DD, whose constants are the same for all data sets, a roll one way
among them, but for how far images roll. Its patches, which its code reads and does not
cut, are of medium difficulty by the paper: here RDED's, the middle ones by the
teacher's loss.

    python -m ddjax.main --config=configs/methods/sre2lpp.py:cifar100 --dry_run
    python -m ddjax.main --config=configs/methods/sre2lpp.py:cifar100

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
        "two_sided": False,
    },
}


def get_config(variant: str = "digits"):
    config = presets.synthesised(variant, "sre2lpp")
    presets.recover(config, variant, CONSTANTS)
    presets.stitch(config, variant)
    config.distill.sre2lpp.patches.start = 0.5
    return config
