"""G-VBSM under RD3's protocol: statistics of convolutions, seen by several teachers.

Claim (G-VBSM): images that match the statistics of several networks' convolutions
generalise better than those that match one network's batch norms.

Source: shaoshitong/G_VBSM_Dataset_Condensation. One set of constants for ImageNet, one
for CIFAR and TinyImageNet, which the smaller sets take too; ImageNet's subsets take
ImageNet's. How far images roll below 224 pixels is not known: 4 pixels. The second
teacher of `digits` and `fashion_mnist` is a ConvNet-D1; `smoke` has none.

    python -m ddjax.main --config=configs/methods/g_vbsm.py:cifar100 --dry_run
    python -m ddjax.main --config=configs/methods/g_vbsm.py:cifar100

Variants are those of `presets.judged`: `digits` (default), `fashion_mnist`, `cifar10`,
`cifar100`, `tiny_imagenet`, `imagenet`, `imagenette`, `imagewoof`, `smoke`.
"""

from ddjax import presets

VARIANTS = tuple(presets.JUDGED)

CONSTANTS = {
    "cifar100": {
        "iterations": 4000,
        "learning_rate": 0.05,
        "bn_weight": 0.01,
        "batch": 100,
    },
    "tiny_imagenet": {
        "iterations": 4000,
        "learning_rate": 0.05,
        "bn_weight": 0.01,
        "batch": 100,
    },
    "imagenet": {
        "iterations": 4000,
        "learning_rate": 0.1,
        "bn_weight": 0.01,
        "batch": 80,
    },
}
LARGE = ("mobilenet_v2", "efficientnet_b0", "shufflenet_v2_x0_5")
SMALL = ("convnet_w128", "mobilenet_v2", "wide_resnet_16_2", "shufflenet_v2_x0_5")


def get_config(variant: str = "digits"):
    config = presets.made(variant, "g_vbsm")
    presets.recover(config, variant, CONSTANTS)
    presets.committee(config, variant, LARGE, SMALL)
    return config
