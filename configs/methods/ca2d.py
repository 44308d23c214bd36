"""CA2D under RD3's protocol: RDED from the images that CAD-Prune would keep.

Claim (Hard Truths): candidates of the right difficulty for the student's budget beat
RDED's random ones, with hard labels.

Source: arXiv 2604.18811; constants as in an independent re-implementation: a pool of
300 images a class, RDED's crops, one patch an image below 224 pixels. Whether it has
RDED's 2 x 2 patches on ImageNet was not confirmed. CAD has the windows of the paper at
224 pixels (J = 6, W = 2); elsewhere W = 2 and J is the longest that the run allows.

    python -m ddjax.main --config=configs/methods/ca2d.py:cifar100 --dry_run
    python -m ddjax.main --config=configs/methods/ca2d.py:cifar100

Variants are those of `presets.dataset`: `digits` (default), `fashion_mnist`, `cifar10`,
`cifar100`, `tiny_imagenet`, `imagenet`, `imagenette`, `imagewoof`, `smoke`.
"""

from ddjax import presets

VARIANTS = tuple(presets.DATASETS)


def get_config(variant: str = "digits"):
    config = presets.synthesised(variant, "ca2d")
    presets.stitch(config, variant)
    config.distill.ca2d.ca2d.pool = config.distill.ca2d.patches.candidates
    config.select.cad.windows = 2
    if config.data.image_size == 224:
        config.select.cad.span = 6
    return config
