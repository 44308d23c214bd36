"""Schedules of soft and hard labels under a budget of soft labels a class (SLC).

Claim tested ("Hard Labels In!", arXiv 2512.15647): where few soft labels are stored,
soft - hard - soft training beats soft labels alone. Beside it stand what its reviewers
requested: the static mix L_soft + 0.1 L_hard, and hard labels alone. Soft labels are
those of SLC // IPC epochs of views, stored in float16 and drawn again with replacement;
hard epochs have fresh CutMix views with labels smoothed by 0.8. That constant is for
1,000 classes; of ten it leaves the class 0.28 against 0.08 for any other, so
`hald_sharp` smooths by 0.1.

    python -m ddjax.main --config=configs/hald.py
    python -m ddjax.main --config=configs/hald.py:fashion_mnist
    python -m ddjax.main --config=configs/hald.py:smoke

Variants, on 2 CPU cores: `digits` (default, IPC 10), four minutes, its result is in
`results/hald_digits`; `fashion_mnist` (14 px, IPC 10, see `configs/cad_prune.py`), a
quarter of an hour beside other work, its result is in `results/hald`; `smoke`.
"""

from ddjax import presets
from ddjax.settings import add_labels

VARIANTS = ("digits", "fashion_mnist", "smoke")

# Name and schedule; all hard stages but that of "hald_sharp" are smoothed by 0.8.
_SCHEDULES = {
    "soft": "constant",
    "hald": "hald",
    "hald_sharp": "hald",
    "mix": "mix",
    "soft_hard": "soft_hard",
    "hard_soft": "hard_soft",
    "alternate": "alternate",
}


def get_config(variant: str = "digits"):
    presets.check_variant(variant, VARIANTS)
    names = ("soft", "hald", "hald_sharp", "mix")
    if variant == "digits":
        config = presets.digits()
        config.select.ipcs = (10,)
        config.student.epochs = 150
        config.student.learning_rates = (3e-3, 1e-2, 3e-2)
        budgets = (10, 50, 150)
        names = tuple(_SCHEDULES)
    elif variant == "smoke":
        config = presets.smoke()
        config.select.ipcs = (2,)
        config.student.epochs = 10
        config.augment.cutmix = 1.0
        budgets, names = (4,), ("soft", "hald")
    elif variant == "fashion_mnist":
        config = presets.fashion_mnist()
        config.select.ipcs = (10,)
        config.student.epochs = 150
        config.student.learning_rates = (3e-3, 1e-2, 3e-2)
        budgets = (50, 150, 500)
    config.name = f"hald_{variant}"
    config.select.methods = ("random",)
    config.regimes = () if variant == "smoke" else ("hard", "soft_kd")
    for budget in budgets:
        for name in names:
            add_labels(
                config,
                f"{name}_slc{budget}",
                codec="fp16",
                slc=budget,
                schedule=_SCHEDULES[name],
                hard_smoothing=0.1 if name == "hald_sharp" else 0.8,
            )
    return config
