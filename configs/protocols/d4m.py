"""D4M's protocol: SRe2L's.

Source: the settings of its code for ImageNet-1K, as RD3 lists them too (Table 10).

    python -m ddjax.main --config=configs/protocols/d4m.py \\
        --config.images=PATH

Without `--config.images` random subsets are judged alone. Variants are those of
`presets.judged`: `digits` (default), `fashion_mnist`, `cifar10`, `cifar100`,
`tiny_imagenet`, `imagenet`, `smoke`.
"""

from ddjax import presets


def get_config(variant: str = "digits"):
    config = presets.judged(variant)
    config.augment.resized_crop = (0.08, 1.0)
    config.augment.flip = True
    config.augment.cutmix = 1.0
    config.student.epochs = 300
    config.student.batch_size = 1024
    config.student.learning_rates = (0.001,)
    config.student.scale_by_t2 = False
    config.regimes = ("soft_kd",)
    return presets.named_protocol(config, "d4m", variant)
