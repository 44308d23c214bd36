"""RDED under RD3's protocol: the crops that a teacher finds easiest, stitched.

Claim (Hard Truths): of the published methods RDED's images do best with hard labels.
(RD3): under one protocol the methods are closer to each other than in their papers.

Source: LINs-lab/RDED: 5 crops of 300 images a class, of 0.08 of the area on; 2 x 2
patches an image at 224 pixels, one at 32 and 64 and on the smaller sets. Where a class
has fewer than 300 images all of them are cropped; there it is an error.

    python -m ddjax.main --config=configs/methods/rded.py:cifar100 --dry_run
    python -m ddjax.main --config=configs/methods/rded.py:cifar100

Variants are those of `presets.dataset`: `digits` (default), `fashion_mnist`, `cifar10`,
`cifar100`, `tiny_imagenet`, `imagenet`, `imagenette`, `imagewoof`, `smoke`.
"""

from ddjax import presets

VARIANTS = tuple(presets.DATASETS)


def get_config(variant: str = "digits"):
    config = presets.synthesised(variant, "rded")
    presets.stitch(config, variant)
    return config
