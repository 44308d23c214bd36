"""The open readings of CAD-Prune against difficulty by search and against coverage.

Question: is the best difficulty what CAD finds, does it move with the budget, and where
CAD-Prune falls behind random, is it coverage or difficulty that it lacks? The paper
("Rethinking Dataset Distillation: Hard Truths about Soft Labels", arXiv 2604.18811)
leaves open what S of CAD is (`cad.quantity`), which end is kept (`cad_prune.keep`), the
span J and the number of windows W; all compete here as variants that read the same
scoring run of their seed. Beside them: EL2N windows at ten starts, which is what a
search finds; CCS; herding and facility location, which cover a class and know no
difficulty; and facility location weighted by CAD.

    python -m ddjax.main --config=configs/cad_readings.py
    python -m ddjax.main --config=configs/cad_readings.py:glyphs
    python -m ddjax.main --config=configs/cad_readings.py:cifar10
    python -m ddjax.main --config=configs/cad_readings.py:tiny100
    python -m ddjax.main --config=configs/cad_readings.py:fashion_mnist
    python -m ddjax.main --config=configs/cad_readings.py:smoke

Variants, all under hard labels, where the paper's claim lies:

- `digits` (default): ConvNet-D2 width 32, IPC 5 and 10; half a minute on 2 cores.
- `glyphs`: 94 classes of characters in the folder `fonts`, which docs/data.md shows how
  to get, 14 px, 200 images a class, ConvNet-D3 width 32, 120 epochs at batch 50, IPC 2
  and 10: scoring runs of 1.2 and 6 epochs; 47 minutes on 2
  shared cores. Its result is in
  `results/cad_readings_glyphs`.
- `cifar10`: JPEG copies of CIFAR-10, or any other, in the folder `cifar10`, 32 px, 500
  images a class, ConvNet-D3 width 32, 300 epochs, IPC 10 and 50: scoring runs of 6 and
  30 epochs, as the paper's CIFAR-100 had. Two readings of S only. Its result at IPC 10
  is in `results/cad_readings_cifar10`.
- `tiny100`: 100 classes at 32 px in the folder `tiny100`, 250 images a class, IPC 10,
  150 epochs: a scoring run of 6 epochs; five seeds and one for searches; two readings
  of S only.
- `fashion_mnist`: 14 px, 6,000 training images, ConvNet-D3 width 32, 150 epochs, IPC 10
  and 50: scoring runs of 2.5 and 12.5 epochs. Its result is in
  `results/cad_readings_fashion_mnist`.
- `smoke`: the same stages with a small MLP on digits in under 20 seconds.

Expected, from earlier studies of three seeds: CAD-Prune keeps images about as easy as
the easiest by EL2N and falls behind random where the budget is small; weighted coverage
is at or above random everywhere.
"""

from ddjax import presets, settings

VARIANTS = ("digits", "glyphs", "cifar10", "tiny100", "fashion_mnist", "smoke")

_METHODS = (
    "random",
    "cad_prune",
    "el2n_best_window",
    "ccs",
    "herding",
    "facility_location",
    "cad_facility_location",
)
# What differs from the default reading: probability, highest, J = S - W, W = 2.
_READINGS = {
    "cad_lowest": {"cad_prune__keep": "lowest"},
    "cad_short": {"cad__span": 3, "cad__windows": 1},
    "cad_four": {"cad__windows": 4},
    "cad_of_el2n": {"cad__quantity": "el2n"},
    "cad_of_el2n_lowest": {"cad__quantity": "el2n", "cad_prune__keep": "lowest"},
    "cad_of_el2n_short": {"cad__quantity": "el2n", "cad__span": 3, "cad__windows": 1},
}
_OF_VARIANT = {
    "cifar10": ("cad_of_el2n",),
    "tiny100": ("cad_of_el2n",),
    "smoke": ("cad_lowest", "cad_of_el2n"),
}


def get_config(variant: str = "digits"):
    presets.check_variant(variant, VARIANTS)
    if variant == "digits":
        config = presets.digits()
        config.select.ipcs = (5, 10)
        config.student.epochs = 40
        config.student.learning_rates = (1e-2, 3e-2, 1e-1)
    elif variant == "glyphs":
        config = presets.fashion_mnist()
        config.data.source = "glyphs:fonts"
        config.data.pool = 94 * 240
        config.data.validation = 1 / 6
        config.augment.flip = False
        config.select.ipcs = (2, 10)
        config.student.epochs = 120
        config.student.learning_rates = (3e-3, 1e-2, 3e-2)
    elif variant in ("cifar10", "tiny100"):
        config = presets.fashion_mnist()
        config.data.source = f"folder:{variant}"
        config.data.image_size, config.data.validation = 32, 0.1
        config.augment.pad = 4
        config.student.learning_rates = (3e-3, 1e-2, 3e-2)
        if variant == "cifar10":
            config.data.pool = 10 * 556
            config.select.ipcs = (10, 50)
            config.student.epochs = 300
        else:
            config.data.pool = 100 * 278
            config.select.ipcs = (10,)
            config.student.epochs = 150
    elif variant == "fashion_mnist":
        config = presets.fashion_mnist()
        config.select.ipcs = (10, 50)
        config.student.epochs = 150
        config.student.learning_rates = (3e-3, 1e-2, 3e-2)
    elif variant == "smoke":
        config = presets.smoke()
        config.select.ipcs = (2,)
        config.student.epochs = 10
    if variant in ("glyphs", "cifar10", "tiny100"):
        config.student.batch_size = 20 if variant == "cifar10" else 50
        config.teacher.batch_size = 50
    config.regimes = ("hard",)
    config.select.methods = _METHODS
    config.select.el2n_best_window.starts = tuple(i / 10 for i in range(10))
    if variant == "smoke":
        config.select.methods = ("random", "cad_prune")
    elif variant == "tiny100":
        config.protocol.seeds = tuple(range(5))
    else:
        config.protocol.seeds = tuple(range(10))
        config.protocol.search_seeds = 3
    for name in _OF_VARIANT.get(variant, _READINGS):
        settings.add_variant(config, name, "cad_prune", **_READINGS[name])
    config.name = f"cad_readings_{variant}"
    return config
