"""Minimax's protocol (IDC's): hard labels, SGD with steps.

Resized crops of at least half of the area, flip, colour jitter, lighting (images in
colour only), CutMix by whose box's true area labels are mixed; a fifth of the rate from
2/3 and again from 5/6 of the epochs on. Images of more than 100 classes have its larger
rate and batch. It reports the best epoch, here the last one is judged; its box is drawn
once a batch, here once an image.

Source: the code of vimar-gu/MinimaxDiffusion for ImageNet's subsets at IPC 10: 2,000
epochs, 1,300 for 100 classes.

    python -m ddjax.main --config=configs/protocols/minimax.py \\
        --config.images=PATH

Without `--config.images` random subsets are judged alone. Variants are those of
`presets.judged`: `digits` (default), `fashion_mnist`, `cifar10`, `cifar100`,
`tiny_imagenet`, `imagenet`, `imagenette`, `imagewoof`, `smoke`.
"""

from ddjax import presets

VARIANTS = tuple(presets.JUDGED)

_GREY = ("digits", "fashion_mnist", "smoke")


def get_config(variant: str = "digits"):
    config = presets.judged(variant)
    classes = presets.JUDGED[variant]
    config.augment.resized_crop = (0.5, 1.0)
    config.augment.flip = True
    config.augment.color_jitter = (0.4, 0.4, 0.4)
    config.augment.lighting = 0.0 if variant in _GREY else 0.1
    config.augment.cutmix = 1.0
    config.student.epochs = 1300 if classes == 100 else 2000
    config.student.batch_size = 128 if classes > 100 else 64
    config.student.learning_rates = (0.1,) if classes > 100 else (0.01,)
    config.student.optimizer.name = "sgd"
    config.student.optimizer.weight_decay = 0.0001 if classes > 100 else 0.0005
    config.student.optimizer.schedule = "step"
    config.student.optimizer.step_at = (2 / 3, 5 / 6)
    config.student.optimizer.step_factor = 0.2
    config.regimes = ("hard",)
    config.augment.cutmix_regimes = ("hard",)
    return presets.named_protocol(config, "minimax", variant)
