"""Settings that several configs start from: small data and networks that suit it."""

from collections.abc import Collection

from ml_collections import ConfigDict

from ddjax import settings
from ddjax.declare.walk import require, suggestion
from ddjax.settings.augment import DSA_OPERATIONS


def check_variant(variant: str, known: Collection[str]) -> None:
    """Raises InputError for a variant that a config does not have."""
    allowed = f"one of {', '.join(known)}{suggestion(variant, known)}"
    require(variant in known, "variant", variant, allowed)


__all__ = [
    "JUDGED",
    "committee",
    "digits",
    "dsa_student",
    "fashion_mnist",
    "fkd_student",
    "imagenet",
    "judged",
    "made",
    "named_protocol",
    "nearest",
    "rd3_student",
    "recover",
    "smoke",
    "stitch",
]


def __dir__() -> list[str]:
    return __all__


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
    "imagenette": 10,
    "imagewoof": 10,
    "smoke": 10,
}
_LARGE = ("imagenet", "imagenette", "imagewoof")  # at 224 px
# Variant -> whose constants it takes where a recipe has none for it, nearest first.
_NEAREST = {
    "tiny_imagenet": ("imagenet",),
    "imagenet": ("tiny_imagenet",),
    "imagenette": ("imagenet", "tiny_imagenet"),
    "imagewoof": ("imagenet", "tiny_imagenet"),
}
_SMALL = ("cifar100", "tiny_imagenet", "imagenet")


def judged(variant: str) -> ConfigDict:
    """A source and its usual network, to judge images under a protocol at IPC 10.

    `digits`, `smoke` and, at its own 28 px, `fashion_mnist` as above; `cifar10`,
    `cifar100`, `imagenet` and `imagenette` from TFDS, `tiny_imagenet` and `imagewoof`
    from the folders of these names, with the ResNet-18 that the literature takes at
    that size. The images of `imagenet`, 176 GiB, are streamed, and its students are
    trained one after another: eight at once take more than most chips have.

    Raises:
      InputError: an unknown variant.
    """
    check_variant(variant, JUDGED)
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
        config.data.image_size = 224 if variant in _LARGE else 0
        config.data.validation = 0.02
        if variant == "imagenet":
            config.data.stream = True
            config.sweep.driver, config.sweep.members = "loop", 1
            config.sweep.checkpoint_seconds = 900.0
        for network in (config.student.network, config.teacher.network):
            network.name = "resnet18"
            if variant not in _LARGE:
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
    config = judged("imagenet")
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
    config.select.cad_span, config.select.cad_windows = 6, 2
    return config


def rd3_student(config: ConfigDict) -> None:
    """The ResNet-18 that RD3's unified protocol trains, see configs/protocols.

    Batch 50, 400 epochs, AdamW 1e-3, cosine to 0; patch shuffle, crops of at least half
    of the image, flip, CutMix; KL without the squared temperature.
    """
    config.augment.resized_crop = (0.5, 1.0)
    config.augment.flip = True
    config.augment.cutmix = 1.0
    config.augment.patch_shuffle = 2
    config.student.epochs = 400
    config.student.batch_size = 50
    config.student.learning_rates = (0.001,)
    config.student.scale_by_t2 = False
    config.regimes = ("hard", "soft_kd")


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


def made(variant: str, name: str, method: str = "") -> ConfigDict:
    """Images of one method beside random real ones, under RD3's protocol at IPC 10.

    The teacher has batch norm. On CIFAR and TinyImageNet it is trained as SRe2L's: SGD
    with momentum 0.9 and a cosine, 200 epochs of batch 128 from rate 0.1 with weight
    decay 5e-4, or 50 of batch 256 from 0.2 with 1e-4 after a warm-up of a tenth
    (zeyuanyin/tiny-imagenet, script/train_rn18.sh).

    Args:
      variant: of `judged`.
      name: of the entry of `distill`.
      method: of ddjax.distill.METHODS; "": the entry's name.
    """
    config = judged(variant)
    rd3_student(config)
    config = named_protocol(config, f"method_{name}", variant)
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
      variant: of `judged`.
      constants: variant -> anything.
    """
    names = (variant, *_NEAREST.get(variant, _SMALL))
    return next(constants[name] for name in names if name in constants)


def recover(config: ConfigDict, variant: str, constants: dict[str, dict]) -> None:
    """Sets how the only entry of `distill` descends on images.

    What the constants leave open: images are mirrored (but digits) where they are
    cropped, and roll by 32 pixels at 224, else by 4, but at 8 pixels by 1.

    Args:
      config: of `made`.
      variant: of `judged`.
      constants: variant -> options of `recover`, or with a dot of another section, see
        `nearest`.
    """
    (entry,) = config.distill.values()
    found = nearest(variant, constants)
    tiny = variant in ("digits", "smoke")
    entry.recover.jitter = 32 if variant in _LARGE else 4
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
    entry.patches.factor = 2 if variant in _LARGE else 1
    entry.patches.crops = 5
    entry.patches.candidates = 20 if variant == "smoke" else 300


def committee(config: ConfigDict, variant: str, large: tuple, small: tuple) -> None:
    """Adds teachers, which the only entry of `distill` asks beside the first.

    They are trained as the first; soft labels come from the first alone, as RD3's.

    Args:
      config: of `made`.
      variant: of `judged`; `smoke` has no other teacher, and `digits` and
        `fashion_mnist` have ConvNet-D1 of width 32 for one.
      large: names of networks at 224 pixels.
      small: names of networks at 32 and 64 pixels.
    """
    if variant == "smoke":
        return
    names = large if variant in _LARGE else small
    if variant in ("digits", "fashion_mnist"):
        names = ("convnet_w32_d1",)
    for name in names:
        settings.add_teacher(config, name)
        teacher = config.committee[name]
        teacher.update({k: v for k, v in config.teacher.items() if k != "network"})
        teacher.network.name, width = _CONVNETS.get(name, (name, None))
        if width is not None:
            teacher.network.convnet.width = width
            teacher.network.convnet.norm = "batch"
    (entry,) = config.distill.values()
    entry.teachers = ("teacher", *names)


# Member of a committee -> (network, width); with batch norm.
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


def _networks(config: ConfigDict, depth: int) -> None:
    for network in (config.student.network, config.teacher.network):
        network.name = f"convnet_d{depth}"
        network.convnet.width = 32
