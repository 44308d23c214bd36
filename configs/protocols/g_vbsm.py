"""G-VBSM's protocol: MSE-GT on the mean logits of several teachers.

Its weight of the hard label is 0.1 for ImageNet-1K and Tiny-ImageNet, 0.15 for CIFAR
and, here, for smaller images. Teachers beside the first are added with
`settings.add_teacher` and `labels.soft_kd.committee`; G-VBSM divides their logits by
their Frobenius norm (`committee_mean`).

Source: the settings of its code for ImageNet-1K, as RD3 lists them too (Table 10).

    python -m ddjax.main --config=configs/protocols/g_vbsm.py \\
        --config.images=PATH

Without `--config.images` random subsets are judged alone. Variants are those of
`presets.judged`: `digits` (default), `fashion_mnist`, `cifar10`, `cifar100`,
`tiny_imagenet`, `imagenet`, `imagenette`, `imagewoof`, `smoke`.
"""

from ddjax import presets

VARIANTS = tuple(presets.JUDGED)


def get_config(variant: str = "digits"):
    config = presets.judged(variant)
    config.augment.resized_crop = (0.08, 1.0)
    config.augment.flip = True
    config.augment.cutmix = 1.0
    config.student.epochs = 300
    config.student.batch_size = 1024
    config.student.learning_rates = (0.001,)
    config.regimes = ("soft_kd",)
    config.labels.soft_kd.loss = "mse_gt"
    large = variant in ("tiny_imagenet", "imagenet")
    config.labels.soft_kd.mse_gt.gt_weight = 0.1 if large else 0.15
    return presets.named_protocol(config, "g_vbsm", variant)
