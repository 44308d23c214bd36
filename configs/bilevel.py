"""Learned sets: do they keep any advantage over real images, and under which labels?

Claims tested ("Rethinking Dataset Distillation: Hard Truths about Soft Labels", arXiv
2604.18811, for DC, DM, MTT and DATM at small scale): with a teacher's labels random
images do as well as learned ones; with hard labels learned sets are ahead. Every method
of this family competes with random, herding, k-means medoids, facility location and
facility location weighted by CAD, and on small images with the means of clusters of
pixels (`centroids`), which need no network, under hard labels, one soft label an image
(the learned one, where a method learns it) and a teacher's label of every view.
`dcs.csv` has how the losses of DM, DC and MTT correlate with the test loss.

    python -m ddjax.main --config=configs/bilevel.py
    python -m ddjax.main --config=configs/bilevel.py:fashion_mnist
    python -m ddjax.main --config=configs/bilevel.py:cifar10_1 --dry_run
    python -m ddjax.main --config=configs/bilevel.py:smoke

Variants:

- `digits` (default): ConvNet-D2 width 32, IPC 1 and 10, three sets a method, six seeds,
  rates tuned on random images; a tenth of the authors' iterations, or fewer. Its
  result is in `results/bilevel_digits`.
- `fashion_mnist`: 14 px, 6,000 training images, ConvNet-D3 width 32, otherwise as
  `digits`; not run so far.
- `fashion_mnist_IPC`, `cifar10_IPC`, `cifar100_IPC`, `tiny_imagenet_IPC` with 1, 10 and
  50: 28, 32 or 64 px, ConvNet-D3 (D4 at 64 px) width 128, the authors' constants and
  iterations, evaluated by the protocol of DSA and DM under hard labels, and under soft
  ones at the learned rate where there is one. For an accelerator; not run so far.
- `smoke`: dm for three iterations; its numbers mean nothing.

Constants are those of the authors' scripts and READMEs; where a method has none for a
data set, those of CIFAR-10. Trajectory methods are planned with ten experts.
"""

from ddjax import presets, settings
from ddjax.protocols import PROTOCOLS

_DATA = ("fashion_mnist", "cifar10", "cifar100", "tiny_imagenet")
VARIANTS = (
    *("digits", "fashion_mnist", "smoke"),
    *(f"{name}_{ipc}" for name in _DATA for ipc in (1, 10, 50)),
)

REAL = ("random", "herding", "k_means", "facility_location", "cad_facility_location")

# Data and IPC -> steps, span, max_start, learning_rate, rate_learning_rate,
# student_rate and batch of MTT, as DC-BENCH runs it.
_MTT = {
    ("cifar10", 1): (50, 2, 2, 100.0, 1e-7, 0.01, 0),
    ("cifar10", 10): (30, 2, 20, 100.0, 1e-5, 0.001, 0),
    ("cifar10", 50): (30, 2, 40, 1000.0, 1e-5, 0.001, 0),
    ("cifar100", 1): (20, 3, 20, 1000.0, 1e-5, 0.01, 0),
    ("cifar100", 10): (20, 2, 20, 1000.0, 1e-5, 0.01, 0),
    ("cifar100", 50): (80, 2, 40, 1000.0, 1e-5, 0.01, 125),
    ("tiny_imagenet", 1): (10, 2, 10, 1e4, 1e-4, 0.01, 0),
    ("tiny_imagenet", 10): (20, 2, 40, 1e4, 1e-4, 0.01, 200),
    ("tiny_imagenet", 50): (20, 2, 40, 1e4, 1e-4, 0.01, 300),
}
# The same -> steps, span, min_start, first_max, max_start, expansion, learning_rate,
# label_learning_rate, batch and threshold of DATM.
_DATM = {
    ("cifar10", 1): (80, 2, 0, 0, 4, 1000, 100.0, 5.0, 10, 1.1),
    ("cifar10", 10): (80, 2, 0, 10, 20, 1000, 100.0, 2.0, 100, 1.0),
    ("cifar10", 50): (80, 2, 0, 20, 40, 2000, 1000.0, 2.0, 500, 1.0),
    ("cifar100", 1): (40, 3, 0, 10, 20, 1000, 1000.0, 10.0, 0, 1.0),
    ("cifar100", 10): (80, 2, 0, 30, 50, 2000, 1000.0, 10.0, 1000, 1.0),
    ("cifar100", 50): (80, 2, 20, 0, 70, 1000, 1000.0, 10.0, 1000, 1.0),
    ("tiny_imagenet", 1): (40, 2, 0, 15, 20, 2000, 1e4, 10.0, 0, 1.0),
    ("tiny_imagenet", 10): (40, 2, 10, 0, 50, 1000, 100.0, 10.0, 500, 1.0),
    ("tiny_imagenet", 50): (20, 2, 40, 0, 70, 1000, 100.0, 10.0, 1000, 1.0),
}
_MTT_NAMES = ("steps", "span", "max_start", "learning_rate", "rate_learning_rate")
_MTT_NAMES += ("student_rate", "batch")
_DATM_NAMES = ("steps", "span", "min_start", "first_max", "max_start", "expansion")
_DATM_NAMES += ("learning_rate", "label_learning_rate", "batch", "threshold")


def get_config(variant: str = "digits"):
    presets.check_variant(variant, VARIANTS)
    if variant == "smoke":
        config, methods = presets.smoke(), ("dm",)
        for network in (config.student.network, config.teacher.network):
            network.name, network.convnet.width = "convnet_d1", 8
        config.select.ipcs, config.select.methods = (1,), ("random",)
        config.regimes = ("hard",)
        config.student.epochs = 5
        config.student.batch_size = 10
    elif variant in ("digits", "fashion_mnist"):
        config, methods = getattr(presets, variant)(), presets.LEARNED
        config.select.ipcs, config.select.methods = (1, 10), REAL
        config.regimes = ("hard", "soft", "soft_kd")
        config.student.epochs, config.student.batch_size = 300, 10
        config.student.learning_rates = (3e-3, 1e-2, 3e-2)
        config.protocol.seeds = tuple(range(6))
    else:
        return _published(*variant.rsplit("_", 1))
    config.name = f"bilevel_{variant}"
    presets.learned(config, methods, sets=1 if variant == "smoke" else 3)
    if variant == "smoke":
        config.distill.dm.dm.iterations = 3
    else:
        settings.add_distillation(config, "centroids")
        config.distill.centroids.sets = 3
    for name in set(methods) & {"dm", "dc", "mtt"}:
        config.distill[name].losses = 10
    return config


def _published(data: str, ipc: str):
    """Returns the authors' constants for a data set at a budget."""
    config, budget = presets.dataset(data), int(ipc)
    depth = 4 if data == "tiny_imagenet" else 3
    for network in (config.student.network, config.teacher.network):
        network.name = f"convnet_d{depth}"
        network.convnet.width = 128
    classes = presets.DATASETS[data]
    grey = data == "fashion_mnist"
    PROTOCOLS["dsa"].apply(config, classes=classes, grey=grey, ipc=budget)
    config.data.pool = 0
    config.select.ipcs, config.select.methods = (budget,), REAL
    config.regimes = ("hard", "soft")
    config.protocol.seeds = tuple(range(5))
    config.name = f"bilevel_{data}_{ipc}"
    nearest = data if (data, budget) in _MTT else "cifar10"
    constants = {
        "dm": {"learning_rate": 10.0 if budget >= 100 else 1.0},
        "datadam": {"learning_rate": 10.0 if budget > 50 else 1.0},
        "mtt": dict(zip(_MTT_NAMES, _MTT[nearest, budget], strict=True)),
        "tesla": dict(zip(_MTT_NAMES, _MTT[nearest, budget], strict=True)),
        "datm": dict(zip(_DATM_NAMES, _DATM[nearest, budget], strict=True)),
    }
    for name in presets.LEARNED:
        settings.add_distillation(config, name)
        entry = config.distill[name]
        entry.sets = 5
        entry[name].update(constants.get(name, {}))
        if name in ("mtt", "tesla", "datm"):
            entry.own_rate = True
            entry.experts.epochs = 100 if name == "datm" else 50
    return config
