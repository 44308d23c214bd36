"""CIM under RD3's protocol: mosaics whose cells have the features of whole images.

Claim (CIM): mosaics of four real images, optimised so that each cell gives a teacher
the features of its image, beat images recovered from batch norm's statistics, in
minutes.

Source: LINs-lab/CIM, argument.py and scripts: 2 x 2 images on all data sets, the 4 IPC
of the lowest loss among 300, 200 iterations of AdamW at 0.01. At 224 pixels the output
of ResNet-18's second stage is matched, below what the classifier takes. Cells of
`digits` and `smoke` have 4 pixels a side.

    python -m ddjax.main --config=configs/methods/cim.py:cifar100 --dry_run
    python -m ddjax.main --config=configs/methods/cim.py:cifar100

Variants are those of `presets.dataset`: `digits` (default), `fashion_mnist`, `cifar10`,
`cifar100`, `tiny_imagenet`, `imagenet`, `imagenette`, `imagewoof`, `smoke`.
"""

from ddjax import presets

VARIANTS = tuple(presets.DATASETS)

LARGE = {"layer": "layer2.1"}
SMALL = {"layer": ""}
CONSTANTS = {"cifar100": SMALL, "tiny_imagenet": SMALL, "imagenet": LARGE}


def get_config(variant: str = "digits"):
    config = presets.synthesised(variant, "cim")
    options = config.distill.cim.cim
    options.update(presets.nearest(variant, CONSTANTS))
    options.factor, options.candidates = 2, 300
    options.iterations, options.learning_rate = 200, 0.01
    if variant == "smoke":
        options.iterations, options.candidates = 3, 40
    return config
