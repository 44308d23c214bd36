"""Settings that several configs start from: small data and networks that suit it."""

from ml_collections import ConfigDict

from ddjax import settings
from ddjax.settings import DSA_OPERATIONS


def digits() -> ConfigDict:
    """scikit-learn's 8x8 digits, ConvNet-D2 width 32, padded crops and CutMix."""
    config = settings.defaults()
    config.augment.pad = 1
    config.augment.cutmix = 1.0
    config.sweep.driver = "mesh"
    _networks(config, depth=2)
    return config


def fashion_mnist() -> ConfigDict:
    """7,000 images of Fashion-MNIST at 14 px, a seventh of them for validation."""
    config = digits()
    config.data.source = "fashion_mnist"
    config.data.image_size = 14
    config.data.pool = 7000
    config.data.validation = 1 / 7
    config.augment.flip = True
    config.teacher.batch_size = 50
    config.student.batch_size = 25
    _networks(config, depth=3)
    return config


def smoke() -> ConfigDict:
    """Digits with an MLP and next to no training: most of the time is compilation."""
    config = settings.defaults()
    config.regimes = ("hard", "soft_kd")
    config.student.learning_rates = (1e-2,)
    config.teacher.epochs = 2
    config.teacher.batch_size = config.student.batch_size
    config.sweep.driver = "loop"
    config.protocol.seeds = (0, 1)
    for network in (config.student.network, config.teacher.network):
        network.name = "mlp"
        network.mlp.hidden = (64,)
    return config


# Variants of `judged` -> number of classes.
JUDGED = {
    "digits": 10,
    "fashion_mnist": 10,
    "cifar10": 10,
    "cifar100": 100,
    "tiny_imagenet": 200,
    "imagenet": 1000,
    "smoke": 10,
}


def judged(variant: str) -> ConfigDict:
    """A source and its usual network, to judge images under a protocol at IPC 10.

    `digits`, `smoke` and, at its own 28 px, `fashion_mnist` as above; `cifar10`,
    `cifar100` and `imagenet` from TFDS, `tiny_imagenet` from the folder of that name,
    with the ResNet-18 that the literature takes at that size.

    Raises:
      ValueError: an unknown variant.
    """
    if variant not in JUDGED:
        raise ValueError(
            f"variant {variant!r}: unknown, allowed are {', '.join(JUDGED)}"
        )
    if variant in ("digits", "smoke"):
        config = digits() if variant == "digits" else smoke()
    elif variant == "fashion_mnist":
        config = fashion_mnist()
        config.data.image_size = 0
    else:
        config = settings.defaults()
        places = {
            "tiny_imagenet": "folder:tiny_imagenet",
            "imagenet": "tfds:imagenet2012",
        }
        config.data.source = places.get(variant, f"tfds:{variant}")
        config.data.image_size = 224 if variant == "imagenet" else 0
        config.data.validation = 0.02
        for network in (config.student.network, config.teacher.network):
            network.name = "resnet18"
            if variant != "imagenet":
                network.resnet.stem = "small"
    config.augment.pad, config.augment.cutmix = 0, 0.0
    config.select.methods, config.select.ipcs = ("random",), (10,)
    return config


def fkd_student(config: ConfigDict, batch_size: int) -> None:
    """The student that SRe2L, CDA, DWA and D4M train on a teacher's labels of views.

    KL at temperature 20 without its square, AdamW 1e-3, weight decay 0.01, crops of
    0.08 of the area on, flip, CutMix, 300 epochs, cosine to 0.
    """
    config.augment.resized_crop = (0.08, 1.0)
    config.augment.flip = True
    config.augment.cutmix = 1.0
    config.student.epochs = 300
    config.student.batch_size = batch_size
    config.student.learning_rates = (1e-3,)
    config.student.scale_by_t2 = False
    config.regimes = ("soft_kd",)


def dsa_student(config: ConfigDict, epochs: int) -> None:
    """The student of dataset condensation: hard labels, DSA.

    SGD 0.01, momentum 0.9, weight decay 5e-4, a tenth of the rate from half of the
    epochs on, batch 256.
    """
    config.augment.dsa = DSA_OPERATIONS
    config.student.epochs = epochs
    config.student.batch_size = 256
    config.student.learning_rates = (1e-2,)
    config.student.optimizer.name = "sgd"
    config.student.optimizer.weight_decay = 5e-4
    config.student.optimizer.schedule = "step"
    config.regimes = ("hard",)


def named_protocol(config: ConfigDict, protocol: str, variant: str) -> ConfigDict:
    """Finishes a protocol's config: its name, and what has to fit the source.

    A batch is at most the whole subset, and `smoke` trains next to nothing.
    """
    config.name = f"{protocol}_{variant}"
    images = min(config.select.ipcs) * JUDGED[variant]
    config.student.batch_size = min(config.student.batch_size, images)
    if variant == "smoke":
        config.student.epochs = 5
    return config


def _networks(config: ConfigDict, depth: int) -> None:
    for network in (config.student.network, config.teacher.network):
        network.name = f"convnet_d{depth}"
        network.convnet.width = 32
