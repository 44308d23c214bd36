"""The protocol of "Rethinking Large-scale Dataset Compression" (PCA).

AdamW 1e-3, weight decay 0.01, batch 128, 300 epochs, cosine; crops of 0.08 of the area
on and flip; with soft labels CutMix and KL at temperature 20 without its square.

Source: arXiv 2502.06434, ArmandXiao/Rethinking-Dataset-Compression.

    python -m ddjax.main --config=configs/protocols/pca.py \\
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
    config.student.batch_size = 128
    config.student.learning_rates = (0.001,)
    config.student.scale_by_t2 = False
    config.regimes = ("hard", "soft_kd")
    return presets.named_protocol(config, "pca", variant)
