"""Synthetic sets under RD3's protocol: how each method's constants become settings."""

from ml_collections import ConfigDict

from ddjax import settings
from ddjax.presets.datasets import LARGE, under_protocol

# Variant -> whose constants it takes where a recipe has none for it, nearest first.
_NEAREST = {
    "tiny_imagenet": ("imagenet",),
    "imagenet": ("tiny_imagenet",),
    "imagenette": ("imagenet", "tiny_imagenet"),
    "imagewoof": ("imagenet", "tiny_imagenet"),
}
_SMALL = ("cifar100", "tiny_imagenet", "imagenet")


def synthesised(variant: str, name: str, method: str = "") -> ConfigDict:
    """A synthetic set beside random real images, under RD3's protocol at IPC 10.

    The teacher has batch norm. On CIFAR and TinyImageNet it is trained as SRe2L's: SGD
    with momentum 0.9 and a cosine, 200 epochs of batch 128 from rate 0.1 with weight
    decay 5e-4, or 50 of batch 256 from 0.2 with 1e-4 after a warm-up of a tenth
    (zeyuanyin/tiny-imagenet, script/train_rn18.sh).

    Args:
      variant: of `DATASETS`.
      name: of the entry of `distill`.
      method: of ddjax.distill.METHODS; "": the entry's name.
    """
    config = under_protocol("rd3_resnet18", variant)
    config.name = f"method_{name}_{variant}"
    if variant == "smoke":
        config.teacher.network.name = "convnet_d1"
        config.teacher.network.convnet.width = 8
    config.teacher.network.convnet.norm = "batch"
    if variant in ("cifar10", "cifar100"):
        _squeeze(config.teacher, 200, 128, 0.1, 5e-4, 0.0)
    elif variant == "tiny_imagenet":
        _squeeze(config.teacher, 50, 256, 0.2, 1e-4, 0.1)
    settings.add_distillation(config, name, method)
    return config


def nearest(variant: str, constants: dict[str, dict]) -> dict:
    """Returns a variant's constants, or those of the nearest variant that has some.

    Sets of at most 32 px take those of CIFAR-100 before TinyImageNet's, ImageNet's
    subsets those of ImageNet.

    Args:
      variant: of `DATASETS`.
      constants: variant -> anything.
    """
    names = (variant, *_NEAREST.get(variant, _SMALL))
    return next(constants[name] for name in names if name in constants)


def recover(config: ConfigDict, variant: str, constants: dict[str, dict]) -> None:
    """Sets how the only entry of `distill` optimises images.

    What the constants leave open: images are mirrored (but digits) where they are
    cropped, and roll by 32 pixels at 224, else by 4, but at 8 pixels by 1.

    Args:
      config: of `synthesised`.
      variant: of `DATASETS`.
      constants: variant -> options of `recover`, or with a dot of another section, see
        `nearest`.
    """
    (entry,) = config.distill.values()
    found = nearest(variant, constants)
    tiny = variant in ("digits", "smoke")
    entry.recover.jitter = 32 if variant in LARGE else 4
    entry.recover.flip = found.get("area", entry.recover.area) < 1
    for key, value in found.items():
        section, _, name = key.rpartition(".")
        entry[section or "recover"][name] = value
    if tiny:
        entry.recover.jitter = min(entry.recover.jitter, 1)
        entry.recover.flip = False
    if variant == "smoke":
        entry.recover.iterations = 3


def stitch(config: ConfigDict, variant: str) -> None:
    """Sets how the only entry of `distill` cuts real images: RDED's constants.

    Five crops of each of 300 images a class; 2 x 2 patches an image at 224 pixels, one
    below. `smoke` has 20 candidates.
    """
    (entry,) = config.distill.values()
    entry.patches.factor = 2 if variant in LARGE else 1
    entry.patches.crops = 5
    entry.patches.candidates = 20 if variant == "smoke" else 300


def ensemble(config: ConfigDict, variant: str, large: tuple, small: tuple) -> None:
    """Adds teachers that the only entry of `distill` uses beside the first.

    They are trained as the first; soft labels come from the first alone, as RD3's.

    Args:
      config: of `synthesised`.
      variant: of `DATASETS`; `smoke` has no other teacher, and `digits` and
        `fashion_mnist` have ConvNet-D1 of width 32 for one.
      large: names of networks at 224 pixels.
      small: names of networks at 32 and 64 pixels.
    """
    if variant == "smoke":
        return
    names = large if variant in LARGE else small
    if variant in ("digits", "fashion_mnist"):
        names = ("convnet_w32_d1",)
    for name in names:
        settings.add_teacher(config, name)
        teacher = config.ensemble[name]
        teacher.update({k: v for k, v in config.teacher.items() if k != "network"})
        teacher.network.name, width = _CONVNETS.get(name, (name, None))
        if width is not None:
            teacher.network.convnet.width = width
            teacher.network.convnet.norm = "batch"
    (entry,) = config.distill.values()
    entry.teachers = ("teacher", *names)


# Member of an ensemble -> (network, width); with batch norm.
_CONVNETS = {
    "convnet_w128": ("convnet_d3", 128),
    "convnet_w32": ("convnet_d3", 32),
    "convnet_w128_d1": ("convnet_d1", 128),
    "convnet_w128_d2": ("convnet_d2", 128),
    "convnet_w32_d1": ("convnet_d1", 32),
}


def _squeeze(teacher, epochs, batch_size, learning_rate, weight_decay, warmup) -> None:
    teacher.epochs = epochs
    teacher.batch_size = batch_size
    teacher.learning_rate = learning_rate
    teacher.optimizer.name = "sgd"
    teacher.optimizer.momentum = 0.9
    teacher.optimizer.weight_decay = weight_decay
    teacher.optimizer.warmup = warmup
