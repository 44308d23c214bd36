"""EDC under RD3's protocol: G-VBSM from real images, with statistics of each class.

Claim (EDC): a start from RDED's or real images, statistics of classes beside those of
all images, and a smoother training make better images in fewer iterations.

Source: shaoshitong/EDC. CIFAR-10 at IPC 10 and the smaller sets take CIFAR-100's
constants (for CIFAR-10 it has IPC 1 only: 75 iterations, crops from 0.08 of the area
on), ImageNet's subsets those of ImageNet-10, which has three teachers, weighs the
statistics by 0.01 and does not average them. The second teacher of `digits` and
`fashion_mnist` is a ConvNet-D1; `smoke` has none.

    python -m ddjax.main --config=configs/methods/edc.py:cifar100 --dry_run
    python -m ddjax.main --config=configs/methods/edc.py:cifar100

Variants are those of `presets.dataset`: `digits` (default), `fashion_mnist`, `cifar10`,
`cifar100`, `tiny_imagenet`, `imagenet`, `imagenette`, `imagewoof`, `smoke`.
"""

from ddjax import presets

VARIANTS = tuple(presets.DATASETS)

COMMON = {"learning_rate": 0.05, "area": 0.5, "jitter": 0}
SMALL = COMMON | {"bn_weight": 0.01, "batch": 100, "init": "random"}
LARGE = COMMON | {"edc.patch": 16, "init": "rded"}
SUBSET = LARGE | {"iterations": 50, "bn_weight": 0.01, "batch": 100}
SUBSET |= {"edc.momentum": 0.0}
CONSTANTS = {
    "cifar100": SMALL | {"iterations": 2000},
    "tiny_imagenet": SMALL | {"iterations": 2000},
    "imagenet": LARGE | {"iterations": 1000, "bn_weight": 0.1, "batch": 80},
    "imagenette": SUBSET,
    "imagewoof": SUBSET,
}
LARGE_MEMBERS = ("mobilenet_v2", "efficientnet_b0", "shufflenet_v2_x0_5", "alexnet")
SUBSET_MEMBERS = ("mobilenet_v2", "shufflenet_v2_x0_5")
SMALL_MEMBERS = (
    *("convnet_w128", "mobilenet_v2", "wide_resnet_16_2", "shufflenet_v2_x0_5"),
    *("convnet_w128_d1", "convnet_w128_d2", "convnet_w32"),
)


def get_config(variant: str = "digits"):
    config = presets.synthesised(variant, "edc")
    presets.recover(config, variant, CONSTANTS)
    presets.stitch(config, variant)
    large = LARGE_MEMBERS if variant == "imagenet" else SUBSET_MEMBERS
    presets.ensemble(config, variant, large, SMALL_MEMBERS)
    return config
