"""Settings that several configs start from: small data and networks that suit it."""

from ml_collections import ConfigDict

from ddjax import settings


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


def _networks(config: ConfigDict, depth: int) -> None:
    for network in (config.student.network, config.teacher.network):
        network.name = f"convnet_d{depth}"
        network.convnet.width = 32
