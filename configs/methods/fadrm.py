"""FADRM+ under RD3's protocol: SRe2L++ merged with real images, several teachers.

Claim (FADRM): images that are merged with the patches that they started from, three
times on the way, are worth more than SRe2L++'s at half its iterations; teachers that
take turns (FADRM+) add to that.

Source: Jiacheng8/FADRM, the scripts of FADRM+ for 10 images a class, alike for all data
sets but for sizes: 4 stages of 500 iterations, at 224 pixels of sides 200, 224, 200 and
224. Its scripts of FADRM, one teacher at 50 images a class, have other rates for
TinyImageNet (0.01 in 2 stages) and ImageNette (0.05). Images roll one way only. Its
teachers are ResNet-18, DenseNet-121, ShuffleNetV2 and MobileNetV2, on TinyImageNet
with DenseNet third; ShuffleNetV2 is its half-width, as there at 32 and 64 pixels.
The second teacher of `digits` and `fashion_mnist` is a ConvNet-D1; `smoke` has none.

    python -m ddjax.main --config=configs/methods/fadrm.py:cifar100 --dry_run
    python -m ddjax.main --config=configs/methods/fadrm.py:cifar100

Variants are those of `presets.dataset`: `digits` (default), `fashion_mnist`, `cifar10`,
`cifar100`, `tiny_imagenet`, `imagenet`, `imagenette`, `imagewoof`, `smoke`.
"""

from ddjax import presets

VARIANTS = tuple(presets.DATASETS)

SMALLER = {
    "iterations": 2000,
    "learning_rate": 0.25,
    "bn_weight": 0.01,
    "batch": 100,
    "two_sided": False,
    "fadrm.stages": 4,
    "fadrm.keep": 0.5,
}
CONSTANTS = {
    "cifar100": SMALLER,
    "tiny_imagenet": SMALLER,
    "imagenet": SMALLER | {"fadrm.sizes": (200, 224, 200, 224)},
}
MEMBERS = ("densenet121", "shufflenet_v2_x0_5", "mobilenet_v2")


def get_config(variant: str = "digits"):
    config = presets.synthesised(variant, "fadrm")
    presets.recover(config, variant, CONSTANTS)
    presets.stitch(config, variant)
    presets.ensemble(config, variant, large=MEMBERS, small=MEMBERS)
    config.distill.fadrm.patches.start = 0.5
    if variant == "smoke":
        config.distill.fadrm.fadrm.stages = 3
    return config
