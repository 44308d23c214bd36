"""What to take by default: coverage, or coverage weighted by difficulty?

`configs/cad_readings.py` found CAD-Prune behind random on small data, and herding and
facility location weighted by CAD ahead of it. Here these two, facility location and
herding without and with CAD as weights (`cad_herding` is ours, too), are compared on
seeds that had no part in that finding, under all three kinds of labels.

    python -m ddjax.main --config=configs/remedy.py
    python -m ddjax.main --config=configs/remedy.py:fashion_mnist
    python -m ddjax.main --config=configs/remedy.py:glyphs
    python -m ddjax.main --config=configs/remedy.py:cifar10
    python -m ddjax.main --config=configs/remedy.py:smoke

Variants have the data, networks, budgets and epochs of those of `cad_readings`, and
seeds 100 to 109; `cifar10` has IPC 10 alone, and `glyphs` and `cifar10` hard labels
alone. `digits` takes 80 seconds on 2 cores; its result is in `results/remedy_digits`,
that of `fashion_mnist` in `results/remedy_fashion_mnist`. The others were not run so
far.

Expected: both weighted selections are ahead of random under hard labels in every cell;
under labels of every view nothing is.
"""

from ddjax import presets
from ddjax.cli import config_files

VARIANTS = ("digits", "fashion_mnist", "glyphs", "cifar10", "smoke")

_METHODS = (
    "random",
    "herding",
    "cad_herding",
    "facility_location",
    "cad_facility_location",
)


def get_config(variant: str = "digits"):
    presets.check_variant(variant, VARIANTS)
    config = config_files.load(f"cad_readings:{variant}")
    with config.unlocked():
        config.select.variants = {}
    config.select.methods = _METHODS
    if variant in ("digits", "fashion_mnist"):
        config.regimes = ("hard", "soft", "soft_kd")
    if variant == "cifar10":
        config.select.ipcs = (10,)
    if variant == "smoke":
        config.select.methods = ("random", "cad_herding")
    else:
        config.protocol.seeds = tuple(range(100, 110))
    config.name = f"remedy_{variant}"
    return config
