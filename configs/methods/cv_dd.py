"""CV-DD under RD3's protocol: SRe2L++ through a committee of teachers.

Claim (CV-DD): teachers that count by how good the images are that each of them makes
alone give better images than any of them.

Source: Jiacheng8/CV-DD. Its committee is ResNet-18, ResNet-50, ShuffleNetV2,
MobileNetV2 and DenseNet-121; the last, whose prior is the lowest, is not in
`ddjax.models`, and ShuffleNetV2 is its half-width. The priors are its accuracies on
ImageNet, the only known ones, for all data sets; the second teacher of `digits` and
`fashion_mnist`, a ConvNet-D1, counts as the first. `smoke` has no committee. Two
teachers are drawn for each image index, as CV-DD does at 50 images a class; its fixed
two at 10 are not known.

    python -m ddjax.main --config=configs/methods/cv_dd.py:cifar100 --dry_run
    python -m ddjax.main --config=configs/methods/cv_dd.py:cifar100

Variants are those of `presets.judged`: `digits` (default), `fashion_mnist`, `cifar10`,
`cifar100`, `tiny_imagenet`, `imagenet`, `imagenette`, `imagewoof`, `smoke`.
"""

from ddjax import presets

VARIANTS = tuple(presets.JUDGED)

CONSTANTS = {
    "imagenet": {"iterations": 4000, "learning_rate": 0.25, "bn_weight": 0.01},
}
MEMBERS = ("resnet50", "shufflenet_v2_x0_5", "mobilenet_v2")
PRIOR = (56.4, 42.3, 52.5, 44.2)


def get_config(variant: str = "digits"):
    config = presets.made(variant, "cv_dd")
    presets.recover(config, variant, CONSTANTS)
    presets.stitch(config, variant)
    presets.committee(config, variant, large=MEMBERS, small=MEMBERS)
    entry = config.distill.cv_dd
    entry.patches.patch_loss = "medium"
    entry.recover.drawn = min(2, len(entry.teachers))
    if len(entry.teachers) == len(PRIOR):
        entry.recover.prior = PRIOR
    return config
