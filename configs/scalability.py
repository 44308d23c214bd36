"""Subset size x quality x label regime at one compute budget.

Claim tested: at a fixed number of image passes, does it matter more how many images
are kept, or which, and how does that depend on the labels? Every student of every size
has as many image passes, and so has the full-data reference: a subset
that reaches it is worth the whole set at this compute. Quality is the difficulty by
EL2N (easiest, random, hardest), CAD-Prune, and coverage (facility location).

    python -m ddjax.main --config=configs/scalability.py
    python -m ddjax.main --config=configs/scalability.py:fashion_mnist
    python -m ddjax.main --config=configs/scalability.py:smoke

Variants: `digits` (default; eight minutes on 2 shared CPU cores, its result is in
`results/scalability_digits`), `fashion_mnist` (14 px, 6,000 training images; not run so
far), `smoke`.
"""

from ddjax import presets

VARIANTS = ("digits", "fashion_mnist", "smoke")


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
    elif variant == "fashion_mnist":
        config = presets.fashion_mnist()
        config.select.ipcs = (5, 10, 50, 200)
        config.student.passes = 75_000
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
    return config
