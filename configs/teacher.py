"""Trains teachers, and nothing else: weights, snapshots and a learning curve.

    python -m ddjax.main --config=configs/teacher.py
    python -m ddjax.main --config=configs/teacher.py:fashion_mnist
    python -m ddjax.main --config=configs/teacher.py \\
        --config.data.source=folder:/data/birds --config.teacher.network.name=resnet18

The run prints the folder of each bundle, which is all that another run requires:

    python -m ddjax.main --config=configs/cad_prune.py --config.teacher.path=FOLDER

`teacher.snapshots` are epochs after which weights are kept too; another run takes them
with `teacher.epoch`, since weak teachers are part of the literature. A killed run goes
on where it was. `summary.csv` has a row a teacher and snapshot, `report.html` the
learning curves.

Variants, on 2 CPU cores without an accelerator:

- `digits` (default): ConvNet-D2 width 32, 20 seconds, 98.9 % on test.
- `fashion_mnist`: all of Fashion-MNIST at 28 px, a ConvNet-D3 of width 64 and a
  ResNet-18 of width 16, 8 and 6 epochs; 91.7 and 92.4 % on test, 72 minutes
  beside other work.
- `tiny_imagenet`, `imagenet`: the literature's teachers, ResNet-18 at 64 px with the
  small stem and at 224 px; for an accelerator, not run so far. Tiny-ImageNet is read
  from the folder `tiny_imagenet` or `--config.data.source=folder:PATH`, ImageNet from
  TFDS.
- `smoke`: seconds; its accuracy means nothing.
"""

from ddjax import presets, settings

VARIANTS = ("digits", "fashion_mnist", "tiny_imagenet", "imagenet", "smoke")


def get_config(variant: str = "digits"):
    presets.check_variant(variant, VARIANTS)
    if variant == "digits":
        config = presets.digits()
        config.teacher.snapshots = (2, 10)
    elif variant == "smoke":
        config = presets.smoke()
        config.teacher.snapshots = (1,)
    elif variant == "fashion_mnist":
        config = presets.fashion_mnist()
        config.data.image_size = config.data.pool = 0
        config.data.validation = 1 / 12
        config.augment.pad = 2
        settings.add_teacher(config, "resnet18")
        config.ensemble.resnet18.network.name = "resnet18"
        config.ensemble.resnet18.network.resnet.width = 16
        config.teacher.network.convnet.width = 64
        config.teacher.epochs = 8
        config.ensemble.resnet18.epochs = 6
        for teacher in (config.teacher, config.ensemble.resnet18):
            teacher.snapshots = (1, 3)
            teacher.batch_size = 128
            teacher.learning_rate = 3e-3
    elif variant in ("tiny_imagenet", "imagenet"):
        config = settings.defaults()
        tiny = variant == "tiny_imagenet"
        config.data.source = "folder:tiny_imagenet" if tiny else "tfds:imagenet2012"
        config.data.image_size = 64 if tiny else 224
        config.data.stream = not tiny
        config.data.validation = 0.02
        config.augment.resized_crop = (0.08, 1.0)
        config.augment.flip = True
        config.teacher.network.name = "resnet18"
        config.teacher.epochs = 50 if tiny else 90
        config.teacher.snapshots = (5, 20)
        config.teacher.batch_size = 256
        config.teacher.learning_rate = 0.1
        config.teacher.optimizer.name = "sgd"
        config.teacher.optimizer.weight_decay = 1e-4
    config.name = f"teacher_{variant}"
    config.regimes = ()
    return config
