"""The temperature of soft labels, fixed, falling and calibrated.

Question: RD3 never states its temperature and finds that low ones hurt; DD repositories
use 20 without the factor T^2. Is there anything to gain? `soft_kd` has 20; `tT` has
T; `dynamic` lets the teacher's fall from 20 to 2 and `calibrated` chooses the student's
for every batch (both LPQLD, arXiv 2604.18135).

    python -m ddjax.main --config=configs/temperature.py
    python -m ddjax.main --config=configs/temperature.py:fashion_mnist
    python -m ddjax.main --config=configs/temperature.py:smoke

Variants, on 2 CPU cores: `digits` (default, IPC 10), three minutes, its result is in
`results/temperature_digits`; `fashion_mnist` (14 px, IPC 10; see
`configs/cad_prune.py`), not run so far; `smoke`.
"""

from ddjax import presets
from ddjax.losses.kl_divergence import Kl
from ddjax.settings import add_labels

VARIANTS = ("digits", "fashion_mnist", "smoke")


def get_config(variant: str = "digits"):
    presets.check_variant(variant, VARIANTS)
    temperatures = (1.0, 2.0, 4.0, 8.0, 40.0)
    if variant == "digits":
        config = presets.digits()
    elif variant == "smoke":
        config = presets.smoke()
        temperatures = (2.0,)
    elif variant == "fashion_mnist":
        config = presets.fashion_mnist()
    config.name = f"temperature_{variant}"
    config.select.methods = ("random",)
    config.select.ipcs = (2,) if variant == "smoke" else (10,)
    config.student.epochs = 10 if variant == "smoke" else 150
    config.regimes = ("soft_kd",) if variant == "smoke" else ("hard", "soft_kd")
    for temperature in temperatures:
        add_labels(config, f"t{temperature:g}", temperature=temperature)
    if variant != "smoke":
        add_labels(config, "dynamic", kl=Kl(dynamic_temperature=True))
    both = Kl(dynamic_temperature=True, calibrated_temperature=True)
    add_labels(config, "dynamic_calibrated", kl=both)
    return config
