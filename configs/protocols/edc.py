"""EDC's protocol: MSE-GT, averaged parameters, a cosine that ends half-way.

Its weight of the hard label, 0.025, is the default of `mse_gt.gt_weight`. EDC averages
parameters and evaluates these with the student's own batch-norm statistics (a known
quirk); here as `student.optimizer.ema` says. Its training script for ImageNet replaces
the cosine that its recipe names by a line from 1 to a half, since the last branch of
its schedules is taken, too; here it is the cosine, which ends at a half as well.

Source: the settings of its code for ImageNet-1K, as RD3 lists them too (Table 10).

    python -m ddjax.main --config=configs/protocols/edc.py \\
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
    config.student.epochs = 300
    config.student.batch_size = 100
    config.student.learning_rates = (0.001,)
    config.student.optimizer.zeta = 2.0
    config.student.optimizer.ema = 0.99
    config.regimes = ("soft_kd",)
    config.labels.soft_kd.loss = "mse_gt"
    return presets.named_protocol(config, "edc", variant)
