"""DD-Ranking: how much of a method is left without its labels and its augmentation?

Claim tested (DD-Ranking, arXiv 2505.13300): accuracy under a method's own protocol
measures its labels and augmentation more than its images. HLR takes hard labels, IOR
compares with random images under the same protocol, ARS does so with and without
augmentation; `ddjax leaderboard` computes them of any runs.

    python -m ddjax.main --config=configs/dd_ranking.py --workdir=runs/ranking
    ddjax leaderboard runs/ranking --out=board
    python -m ddjax.main --config=configs/dd_ranking.py:fashion_mnist
    python -m ddjax.main --config=configs/dd_ranking.py:cifar10 --images=PATH

A run has what the scores need: the full data with hard labels, and every set, random
among them, with hard labels, with one stored label an image (DD-Ranking's mode S) and
with a teacher's label of every view (its mode M); all of that a second time without
augmentation (the entry `plain` of `transfer`). Five seeds, the number of the source's
runs; every method has a set for each, random images for each as well. Learning rates
are tuned on validation, where the source picks them on test. With `--images=PATH` a set
of someone else is ranked as well, and its budget is the run's.

The full data have as many image passes as a subset of the largest budget. A run with
longer training, such as this config with `--student.epochs=1000 --regimes=hard`, may be
given to `ddjax leaderboard` beside this one: HLR then compares with its full data.

Variants, not run in full so far; `ddjax plan` has their cost:

- `digits` (default): ConvNet-D2 with batch norm, IPC 10, 150 epochs.
- `fashion_mnist`: 14 px, ConvNet-D3 with batch norm, IPC 10 and 50.
- `cifar10`: the folder `cifar10`, 32 px, ConvNet-D3 of width 128, IPC 10, under the
  protocol of DC, DSA, DM and MTT (`protocols/dc`): DSA, hard labels, 1,000 epochs; for
  an accelerator.
- `smoke`: seconds; its numbers mean nothing.
"""

from ddjax import presets, settings
from ddjax.protocols import PROTOCOLS

VARIANTS = ("digits", "fashion_mnist", "cifar10", "smoke")
METHODS = ("rded", "sre2l", "pca")
LEARNED = ("dm", "dc", "dsa", "mtt", "frepo")


def get_config(variant: str = "digits"):
    presets.check_variant(variant, VARIANTS)
    config = presets.smoke() if variant == "smoke" else presets.digits()
    config.select.methods = ("random", "herding")
    config.select.ipcs = (2,) if variant == "smoke" else (10,)
    config.student.epochs = 5 if variant == "smoke" else 150
    if variant == "smoke":
        config.augment.pad = 1
        config.select.methods = ("random",)
        config.regimes = ("hard", "soft")
    elif variant == "cifar10":
        _cifar10(config)
    else:
        if variant == "fashion_mnist":
            config = presets.fashion_mnist()
            config.select.methods = ("random", "herding")
            config.select.ipcs = (10, 50)
            config.student.epochs = 150
        config.protocol.seeds = tuple(range(5))
        _synthesise(config, flip=variant == "fashion_mnist")
    config.name = f"dd_ranking_{variant}"
    presets.add_views(config, "plain")
    return config


def _cifar10(config) -> None:
    """The protocol of DC's followers, at the size of the papers."""
    config.data.source = "folder:cifar10"
    config.data.validation = 0.1
    for network in (config.student.network, config.teacher.network):
        network.name = "convnet_d3"
        network.convnet.width = 128
    PROTOCOLS["dc"].apply(config, classes=10, grey=False, ipc=10)
    config.augment.cutmix = 0.0
    config.student.learning_rates = (1e-3, 1e-2, 1e-1)
    config.protocol.seeds = tuple(range(5))


def _synthesise(config, flip: bool) -> None:
    """Sets of a teacher with batch norm, and learned ones, one a seed."""
    for network in (config.student.network, config.teacher.network):
        network.convnet.norm = "batch"
    for name in METHODS:
        settings.add_distillation(config, name)
        entry = config.distill[name]
        if name == "sre2l":
            entry.recover.iterations = 500
            entry.recover.batch = 500
            entry.recover.flip = flip
            entry.recover.jitter = 1
        else:
            entry.patches.candidates = 60
    presets.learned(config, LEARNED, sets=0)
