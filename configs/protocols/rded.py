"""RDED's protocol: patch shuffle, and a cosine that ends half-way.

Its second forward pass of every step, which updates batch norm twice, is not copied.
Its crops are from 1 / factor of the area on.

Source: the settings of its code for ImageNet-1K, as RD3 lists them too (Table 10).
Batch 100 is that of 1,000 classes at IPC 10.

    python -m ddjax.main --config=configs/protocols/rded.py \\
        --config.images=PATH

Without `--config.images` random subsets are judged alone. Variants are those of
`presets.judged`: `digits` (default), `fashion_mnist`, `cifar10`, `cifar100`,
`tiny_imagenet`, `imagenet`, `imagenette`, `imagewoof`, `smoke`.
"""

from ddjax import presets

VARIANTS = tuple(presets.JUDGED)


def get_config(variant: str = "digits"):
    config = presets.judged(variant)
    config.augment.resized_crop = (0.5, 1.0)
    config.augment.flip = True
    config.augment.cutmix = 1.0
    config.augment.patch_shuffle = 2
    config.student.epochs = 300
    config.student.batch_size = 100
    config.student.learning_rates = (0.001,)
    config.student.optimizer.zeta = 2.0
    config.student.scale_by_t2 = False
    config.regimes = ("soft_kd",)
    return presets.named_protocol(config, "rded", variant)
