"""Minimax's protocol (IDC's): hard labels, SGD with steps.

Resized crops of at least half of the area, flip, CutMix with the area of the box. Its
colour jitter and lighting are not there, its two steps (x0.2 at 2/3 and 5/6 of the
epochs) are one (x0.1 at half, `schedule` "step"), and it reports the best epoch.

Source: the code of vimar-gu/MinimaxDiffusion: 2,000 epochs at IPC 10.

    python -m ddjax.main --config=configs/protocols/minimax.py \\
        --config.images=PATH

Without `--config.images` random subsets are judged alone. Variants are those of
`presets.judged`: `digits` (default), `fashion_mnist`, `cifar10`, `cifar100`,
`tiny_imagenet`, `imagenet`, `smoke`.
"""

from ddjax import presets


def get_config(variant: str = "digits"):
    config = presets.judged(variant)
    config.augment.resized_crop = (0.5, 1.0)
    config.augment.flip = True
    config.augment.cutmix = 1.0
    config.student.epochs = 2000
    config.student.batch_size = 64
    config.student.learning_rates = (0.01,)
    config.student.optimizer.name = "sgd"
    config.student.optimizer.weight_decay = 0.0005
    config.student.optimizer.schedule = "step"
    config.regimes = ("hard",)
    config.augment.cutmix_regimes = ("hard",)
    return presets.named_protocol(config, "minimax", variant)
