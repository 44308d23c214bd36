"""DC-BENCH: methods under several augmentations, budgets and networks.

Question (DC-BENCH, arXiv 2207.09639): does the order of the methods depend on the
augmentation with which their sets are evaluated, on the budget, on the network? Every
set is evaluated without augmentation, with DSA, AutoAugment (CIFAR-10's policy),
RandAugment of one operation, crops, flips and colour jitter (`imagenet_aug`), and
crops, flips and cutout (`cifar_aug`).

    python -m ddjax.main --config=configs/dc_bench.py --workdir=runs/bench
    ddjax leaderboard runs/bench --out=board
    python -m ddjax.main --config=configs/dc_bench.py:fashion_mnist
    python -m ddjax.main --config=configs/dc_bench.py:cifar10 --images=PATH

`ddjax leaderboard` prints the table, method by augmentation for each budget and
network, and the rank correlation of the methods under two augmentations. With
`--images=PATH` a set that someone published is a row, and its budget is the run's.

Theirs: SGD at 0.01 with momentum 0.9 and weight decay 5e-4, the rate divided by ten
after half of the training, batch 256, 300 epochs without and 1,000 with augmentation.
Here all have 300, so that augmentations are compared at the same compute; rates are
tuned on validation (`--student.learning_rates=0.01` is theirs), each image of a batch
has views of its own, where theirs draw one augmentation a batch, and jittered colours
keep their hue and are not clipped. Architecture search is left out. K-means clusters
features of a scoring run.

Variants, not run in full so far; `ddjax plan` has their cost:

- `digits` (default): 8 px, ConvNet-D2 and an MLP, IPC 1 and 10, ten seeds.
- `fashion_mnist`: 14 px, ConvNet-D3 of width 32 and an MLP, IPC 1, 10 and 50.
- `cifar10`: the folder `cifar10`, 32 px, ConvNet-D3 of width 128, an MLP and ResNet-18,
  IPC 1, 10 and 50; for an accelerator.
- `smoke`: seconds; its numbers mean nothing.
"""

from ddjax import presets, settings
from ddjax.data.augment import DSA_OPERATIONS
from ddjax.protocols import PROTOCOLS

VARIANTS = ("digits", "fashion_mnist", "cifar10", "smoke")
JITTER = (0.4, 0.4, 0.4)


def get_config(variant: str = "digits"):
    presets.check_variant(variant, VARIANTS)
    bases = {"smoke": presets.smoke, "digits": presets.digits}
    config = bases.get(variant, presets.fashion_mnist)()
    config.name = f"dc_bench_{variant}"
    ipcs = {"smoke": (1,), "digits": (1, 10)}.get(variant, (1, 10, 50))
    config.select.methods = ("random", "k_means", "herding", "k_center")
    if variant == "smoke":
        config.select.methods = ("random", "el2n_easy")
    if variant == "cifar10":
        config.data.source = "folder:cifar10"
        config.data.image_size, config.data.pool = 0, 0
        config.data.validation = 0.1
        for network in (config.student.network, config.teacher.network):
            network.convnet.width = 128
    PROTOCOLS["dc"].apply(config, 10, grey=variant != "cifar10", ipc=min(ipcs))
    config.augment.dsa, config.augment.cutmix = (), 0.0
    config.select.ipcs = ipcs
    config.student.epochs = 10 if variant == "smoke" else 300
    if variant != "smoke":
        config.student.learning_rates = (3e-3, 1e-2, 3e-2)
        config.protocol.seeds = tuple(range(10 if variant == "digits" else 5))
    _augmentations(config, variant)
    return config


def _augmentations(config, variant: str) -> None:
    """Adds every network with every augmentation; the student has none."""
    side = {"digits": 8, "fashion_mnist": 14, "cifar10": 32}.get(variant, 8)
    crop = {"pad": side // 8, "flip": variant in ("fashion_mnist", "cifar10")}
    dsa = tuple(name for name in DSA_OPERATIONS if crop["flip"] or name != "flip")
    views = {
        "dsa": {"dsa": dsa},
        "autoaug": {"policy": "autoaugment"},
        "randaug": {"policy": "randaugment"},
        "imagenet_aug": crop | {"color_jitter": JITTER},
        "cifar_aug": crop | {"cutout": side // 2},
    }
    others = {"smoke": (), "cifar10": ("mlp", "resnet18")}.get(variant, ("mlp",))
    for network in others:
        settings.add_transfer(config, network)
        if network == "resnet18":
            config.transfer[network].network.resnet.stem = "small"
    if variant == "smoke":
        views = {"cifar_aug": views["cifar_aug"]}
    for name, augment in views.items():
        presets.add_views(config, f"convnet_{name}", **augment)
        for network in others:
            presets.add_views(config, f"{network}_{name}", network, **augment)
