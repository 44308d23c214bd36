"""PCA under RD3's protocol: the easiest images, reduced and stitched.

Claim ("Rethinking Large-scale Dataset Compression"): pruned real images, combined in
one, do best with hard labels.

Source: arXiv 2502.06434. How many patches an image has was not found: RDED's 2 x 2 at
224 pixels, one below, where the set is that of EL2N's easiest images. Its augmentation,
crops of one patch, gives way to the protocol's.

    python -m ddjax.main --config=configs/methods/pca.py:cifar100 --dry_run
    python -m ddjax.main --config=configs/methods/pca.py:cifar100

Variants are those of `presets.dataset`: `digits` (default), `fashion_mnist`, `cifar10`,
`cifar100`, `tiny_imagenet`, `imagenet`, `imagenette`, `imagewoof`, `smoke`.
"""

from ddjax import presets

VARIANTS = tuple(presets.DATASETS)


def get_config(variant: str = "digits"):
    config = presets.synthesised(variant, "pca")
    presets.stitch(config, variant)
    return config
