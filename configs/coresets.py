"""Every selection of the literature, from one scoring run, under three label regimes.

Question: under which labels does it matter which images are kept, does anything beat
CAD-Prune, and at what cost of selection? All selections of `ddjax.select.METHODS` read
the same compute-aligned scoring run of their seed, and their students are trained
under equal terms; `el2n_sl_*` alone needs a second run, on the teacher's labels.

    python -m ddjax.main --config=configs/coresets.py
    python -m ddjax.main --config=configs/coresets.py:fashion_mnist
    python -m ddjax.main --config=configs/coresets.py:smoke

Variants, on 2 CPU cores without an accelerator:

- `digits` (default): scikit-learn's 8x8 digits, ConvNet-D2 width 32, IPC 2 and 10;
  about five minutes.
- `fashion_mnist`: 14 px, 6,000 training images, ConvNet-D3 width 32, IPC 10 and 30;
  under an hour. Its result is in `results/coresets`.
- `smoke`: ten selections, one of each kind, with a small MLP on digits under hard
  labels, in 14 to 20 seconds; its numbers mean nothing.

Selections from files, such as others' published scores, are added with
`settings.add_selection(config, NAME, scores=PATH)` or `subset=PATH`, and features that
were computed elsewhere with `config.select.features = PATH`.
"""

from ddjax import presets
from ddjax.select import METHODS

VARIANTS = ("digits", "fashion_mnist", "smoke")

_LEFT_OUT = ("cad_prune",)  # as the settings read it; both readings are there
_ONE_OF_EACH_KIND = (
    "random",
    "el2n_easy",
    "ccs",
    "cad_prune",
    "dual_beta",
    "bws",
    "herding",
    "d2",
    "glister",
    "grand_hard",
)


def get_config(variant: str = "digits"):
    presets.check_variant(variant, VARIANTS)
    if variant == "digits":
        config = presets.digits()
        config.select.ipcs = (2, 10)
        config.student.epochs = 100
        config.student.learning_rates = (3e-3, 1e-2, 3e-2, 1e-1)
    elif variant == "fashion_mnist":
        config = presets.fashion_mnist()
        config.select.ipcs = (10, 30)
        config.student.epochs = 100
    elif variant == "smoke":
        config = presets.smoke()
        config.regimes = ("hard",)
        config.select.ipcs = (2,)
        config.student.epochs = 10
    config.select.methods = _ONE_OF_EACH_KIND
    if variant != "smoke":
        config.select.methods = tuple(m for m in METHODS if m not in _LEFT_OUT)
    config.name = f"coresets_{variant}"
    return config
