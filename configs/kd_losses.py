"""Distillation losses side by side on the same subsets and seeds.

Question (RD3's): do DKD, NKD, LSKD and CRLD gain over plain KL divergence once the
protocol is fair? Here KL, MSE-GT, DKD, NKD, LSKD, DIST and CRLD, each with its
authors' temperature where they state one, else as stated below; the learning rate is
tuned for each. All take the same number of steps; CRLD has two views of each image in a
step, so it spends twice the image passes.

    python -m ddjax.main --config=configs/kd_losses.py
    python -m ddjax.main --config=configs/kd_losses.py:fashion_mnist
    python -m ddjax.main --config=configs/kd_losses.py:smoke

Variants, on 2 CPU cores: `digits` (default, IPC 10), three minutes, its result is in
`results/kd_losses_digits`; `fashion_mnist` (14 px, IPC 10; see `configs/cad_prune.py`),
not run so far; `smoke`.
"""

from ddjax import presets
from ddjax.settings import add_labels

VARIANTS = ("digits", "fashion_mnist", "smoke")

# DKD's is that of its CIFAR recipes, NKD's and LSKD's those of their examples, CRLD's
# that of a work built on it, DIST's the default of G-VBSM's class.
_TEMPERATURES = {
    "mse_gt": 0.0,
    "dkd": 4.0,
    "nkd": 1.0,
    "lskd": 2.0,
    "dist": 4.0,
    "crld": 4.0,
}


def get_config(variant: str = "digits"):
    presets.check_variant(variant, VARIANTS)
    losses = tuple(_TEMPERATURES)
    if variant == "digits":
        config = presets.digits()
    elif variant == "smoke":
        config = presets.smoke()
        losses = ("crld",)
    elif variant == "fashion_mnist":
        config = presets.fashion_mnist()
    config.name = f"kd_losses_{variant}"
    config.select.methods = ("random",)
    config.select.ipcs = (2,) if variant == "smoke" else (10,)
    config.student.epochs = 10 if variant == "smoke" else 150
    config.regimes = ("soft_kd",) if variant == "smoke" else ("hard", "soft_kd")
    for loss in losses:
        add_labels(config, loss, loss=loss, temperature=_TEMPERATURES[loss])
    return config
