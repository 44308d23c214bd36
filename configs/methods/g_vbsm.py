"""G-VBSM under RD3's protocol: statistics of convolutions in several teachers.

Claim (G-VBSM): images that match the statistics of several networks' convolutions
generalise better than those that match one network's batch norms.

Source: shaoshitong/G_VBSM_Dataset_Condensation. One set of constants for ImageNet, one
for CIFAR and TinyImageNet, which the smaller sets take too; ImageNet's subsets take
ImageNet's. Images roll one way only, by up to 32 pixels on all data sets, and below 224
pixels they are mirrored and not cropped; that they are shifted there besides, with a
border of zeros, is left out. The second teacher of `digits` and `fashion_mnist` is a
ConvNet-D1; `smoke` has none.

    python -m ddjax.main --config=configs/methods/g_vbsm.py:cifar100 --dry_run
    python -m ddjax.main --config=configs/methods/g_vbsm.py:cifar100

Variants are those of `presets.dataset`: `digits` (default), `fashion_mnist`, `cifar10`,
`cifar100`, `tiny_imagenet`, `imagenet`, `imagenette`, `imagewoof`, `smoke`.
"""

from ddjax import presets

VARIANTS = tuple(presets.DATASETS)

SMALLER = {
    "iterations": 4000,
    "learning_rate": 0.05,
    "bn_weight": 0.01,
    "batch": 100,
    "area": 1.0,
    "flip": True,
    "jitter": 32,
    "two_sided": False,
    "g_vbsm.momentum": 0.8,
    "g_vbsm.patch": 4,
    "g_vbsm.drop_rate": 0.4,
}
CONSTANTS = {
    "cifar100": SMALLER,
    "tiny_imagenet": SMALLER,
    "imagenet": {
        "iterations": 4000,
        "learning_rate": 0.1,
        "bn_weight": 0.01,
        "batch": 80,
        "two_sided": False,
        "g_vbsm.momentum": 0.4,
        "g_vbsm.patch": 16,
        "g_vbsm.drop_rate": 0.0,
    },
}
LARGE = ("mobilenet_v2", "efficientnet_b0", "shufflenet_v2_x0_5")
SMALL = ("convnet_w128", "mobilenet_v2", "wide_resnet_16_2", "shufflenet_v2_x0_5")


def get_config(variant: str = "digits"):
    config = presets.synthesised(variant, "g_vbsm")
    presets.recover(config, variant, CONSTANTS)
    presets.ensemble(config, variant, LARGE, SMALL)
    return config
