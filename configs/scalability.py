"""Subset size x quality x label regime at one compute budget.

Claim tested: at a fixed number of image passes, does it matter more how many images
are kept, or which, and how does that depend on the labels? Every student of every size
has as many image passes, and so has the full-data reference: a subset
that reaches it is worth the whole set at this compute. Quality is the difficulty by
EL2N (easiest, random, hardest), CAD-Prune, and coverage (facility location).

    python -m ddjax.main --config=configs/scalability.py
    python -m ddjax.main --config=configs/scalability.py:fashion_mnist
    python -m ddjax.main --config=configs/scalability.py:teachers
    python -m ddjax.main --config=configs/scalability.py:smoke

Variants, on 2 CPU cores without an accelerator:

- `digits` (default): eight minutes; its result is in `results/scalability_digits`.
- `fashion_mnist`: 14 px, 6,000 training images, ConvNet-D3 width 32, 30,000 image
  passes, which are five epochs of all images, at IPC 5 to 300, ten seeds; its result
  is in `results/scalability_fashion_mnist`.
- `teachers`: the same with random images alone, 120,000 image passes, and the labels of
  three teachers: one of 30 epochs, one stopped after a single epoch, and a ResNet-18 of
  width 8; not run so far.
- `smoke`: seconds; its numbers mean nothing.
"""

from ddjax import presets, settings

VARIANTS = ("digits", "fashion_mnist", "teachers", "smoke")


def get_config(variant: str = "digits"):
    presets.check_variant(variant, VARIANTS)
    if variant == "digits":
        config = presets.digits()
        config.select.ipcs = (2, 5, 10, 25, 50)
        config.student.passes = 10_000
        config.student.learning_rates = (3e-3, 1e-2, 3e-2, 1e-1)
    elif variant == "smoke":
        config = presets.smoke()
        config.select.ipcs = (2, 5)
        config.student.passes = 200
    else:
        config = presets.fashion_mnist()
        config.select.ipcs = (5, 25, 100, 300)
        config.student.passes = 120_000 if variant == "teachers" else 30_000
        config.student.learning_rates = (3e-3, 1e-2, 3e-2)
        config.protocol.seeds = tuple(range(10))
        config.protocol.search_seeds = 3
    config.name = f"scalability_{variant}"
    config.student.epochs = 0
    config.select.methods = (
        "random",
        "el2n_easy",
        "el2n_hard",
        "cad_prune",
        "facility_location",
    )
    if variant == "smoke":
        config.select.methods = ("random", "el2n_easy")
    elif variant == "fashion_mnist":
        config.select.methods = (*config.select.methods, "herding")
    elif variant == "teachers":
        config.select.methods = ("random",)
        config.regimes = ("hard", "soft_kd")
        for name, epochs in (("stopped", 1), ("resnet18", 30)):
            settings.add_teacher(config, name)
            config.ensemble[name].update(config.teacher)
            config.ensemble[name].epochs = epochs
            settings.add_labels(config, f"soft_kd_{name}", ensemble=(name,))
        config.ensemble.resnet18.network.name = "resnet18"
        config.ensemble.resnet18.network.resnet.width = 8
        config.ensemble.resnet18.network.resnet.stem = "small"
    return config
