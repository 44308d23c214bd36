"""Small data and the networks that suit it; the sources of the literature.

`under_protocol` trains students on one of them as a paper does.
"""

from collections.abc import Collection

from ml_collections import ConfigDict

from ddjax import settings
from ddjax.declare.walk import require, suggestion
from ddjax.protocols import PROTOCOLS


def check_variant(variant: str, known: Collection[str]) -> None:
    """Raises InputError for a variant that a config does not have."""
    allowed = f"one of {', '.join(known)}{suggestion(variant, known)}"
    require(variant in known, "variant", variant, allowed)


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


# Variants of `dataset` -> number of classes.
DATASETS = {
    "digits": 10,
    "fashion_mnist": 10,
    "cifar10": 10,
    "cifar100": 100,
    "tiny_imagenet": 200,
    "imagenet": 1000,
    "imagenette": 10,
    "imagewoof": 10,
    "smoke": 10,
}
_GREY = ("digits", "fashion_mnist", "smoke")
LARGE = ("imagenet", "imagenette", "imagewoof")  # at 224 px


def dataset(variant: str) -> ConfigDict:
    """A source and its usual network, to evaluate sets under a protocol at IPC 10.

    `digits`, `smoke` and, at its own 28 px, `fashion_mnist` as above; `cifar10`,
    `cifar100`, `imagenet` and `imagenette` from TFDS, `tiny_imagenet` and `imagewoof`
    from the folders of these names, with the ResNet-18 that the literature takes at
    that size. The images of `imagenet`, 176 GiB, are streamed, and its students are
    trained one after another: eight at once take more than most chips have.

    Raises:
      InputError: an unknown variant.
    """
    check_variant(variant, DATASETS)
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
            "imagenette": "tfds:imagenette/full-size-v2",
            "imagewoof": "folder:imagewoof",
        }
        config.data.source = places.get(variant, f"tfds:{variant}")
        config.data.image_size = 224 if variant in LARGE else 0
        config.data.validation = 0.02
        if variant == "imagenet":
            config.data.stream = True
            config.sweep.driver, config.sweep.members = "loop", 1
            config.sweep.checkpoint_seconds = 900.0
        for network in (config.student.network, config.teacher.network):
            network.name = "resnet18"
            if variant not in LARGE:
                network.resnet.stem = "small"
    config.augment.pad, config.augment.cutmix = 0, 0.0
    config.select.methods, config.select.ipcs = ("random",), (10,)
    return config


def imagenet(image_size: int = 224) -> ConfigDict:
    """ImageNet-1K at IPC 10, 50 and 100 under the three regimes, ResNet-18.

    As far as it is known what Hard Truths ran: a teacher of the same network, batch
    200, CAD with J = 6 and W = 2, the CutMix of `soft_kd`, KL at temperature 20. The
    rest is its neighbours': 300 epochs of AdamW 1e-3 with weight decay 0.01 and a
    cosine, crops of 0.08 of the area on, flips. The teacher has PyTorch's reference
    recipe with a cosine.

    Args:
      image_size: pixels; the network keeps its first layers of 224. At 224 images are
        streamed, and students, whose subset of IPC 100 takes 14 GiB, are trained one
        after another; else eight together.
    """
    config = dataset("imagenet")
    large = image_size == 224
    config.data.image_size = image_size
    if not large:
        config.data.stream = False
        config.sweep.driver, config.sweep.members = "mesh", 8
    for network in (config.student.network, config.teacher.network):
        network.resnet.stem = "large"
    config.augment.resized_crop = (0.08, 1.0)
    config.augment.flip = True
    config.augment.cutmix = 1.0
    config.teacher.epochs = 90
    config.teacher.batch_size = 256
    config.teacher.learning_rate = 0.1
    config.teacher.optimizer.name = "sgd"
    config.teacher.optimizer.weight_decay = 1e-4
    config.student.epochs = 300
    config.student.batch_size = 200
    config.student.learning_rates = (1e-3,)
    config.student.scale_by_t2 = False
    config.select.ipcs = (10, 50, 100)
    config.select.cad.span, config.select.cad.windows = 6, 2
    return config


def under_protocol(protocol: str, variant: str) -> ConfigDict:
    """A data set whose students are trained under a protocol of the literature.

    A batch is at most the whole subset, and `smoke` trains next to nothing.

    Args:
      protocol: of `ddjax.protocols.PROTOCOLS`.
      variant: of `DATASETS`.

    Raises:
      InputError: an unknown variant.
    """
    config = dataset(variant)
    config.name = f"{protocol}_{variant}"
    grey = variant in _GREY
    PROTOCOLS[protocol].apply(config, DATASETS[variant], grey, min(config.select.ipcs))
    if variant == "smoke":
        config.student.epochs = 5
    return config


def _networks(config: ConfigDict, depth: int) -> None:
    for network in (config.student.network, config.teacher.network):
        network.name = f"convnet_d{depth}"
        network.convnet.width = 32
