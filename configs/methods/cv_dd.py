"""CV-DD under RD3's protocol: SRe2L++ through an ensemble of teachers.

Claim (CV-DD): teachers that count by how good the images are that each of them makes
alone give better images than any of them.

Source: Jiacheng8/CV-DD. Its ensemble is ResNet-18, ResNet-50, ShuffleNetV2,
MobileNetV2 and DenseNet-121; ShuffleNetV2 is its half-width, as there at 32 and 64
pixels. The priors are its accuracies on each data set, for ImageWoof those on
ImageNette; the second teacher of `digits` and `fashion_mnist`, a ConvNet-D1, counts as
the first. `smoke` has no ensemble. Images roll one way only. Two teachers are drawn
for each image index, as CV-DD does at 50 images a class; at 10, as here, it takes
another one of the ten pairs for each index.

    python -m ddjax.main --config=configs/methods/cv_dd.py:cifar100 --dry_run
    python -m ddjax.main --config=configs/methods/cv_dd.py:cifar100

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
MEMBERS = ("resnet50", "shufflenet_v2_x0_5", "mobilenet_v2", "densenet121")
# Of ResNet-18 and of the members, in percent.
PRIORS = {
    "cifar10": (63.0, 65.3, 68.5, 67.6, 67.4),
    "cifar100": (64.0, 60.6, 51.6, 59.4, 56.4),
    "tiny_imagenet": (46.5, 28.3, 43.6, 44.8, 41.5),
    "imagenet": (56.4, 42.3, 52.5, 44.2, 40.6),
    "imagenette": (62.4, 52.0, 57.2, 54.0, 60.8),
    "imagewoof": (62.4, 52.0, 57.2, 54.0, 60.8),
}


def get_config(variant: str = "digits"):
    config = presets.synthesised(variant, "cv_dd")
    presets.recover(config, variant, CONSTANTS)
    presets.stitch(config, variant)
    presets.ensemble(config, variant, large=MEMBERS, small=MEMBERS)
    entry = config.distill.cv_dd
    entry.patches.start = 0.5
    entry.cv_dd.drawn = min(2, len(entry.teachers))
    entry.cv_dd.prior = PRIORS.get(variant, ())
    return config
