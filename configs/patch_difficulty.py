"""RDED keeps easy patches: is that what costs accuracy under hard labels?

Claim tested ("Rethinking Dataset Distillation: Hard Truths about Soft Labels", arXiv
2604.18811): patch methods prefer images that a teacher finds easy, and that is why they
fall behind where labels do not help. Here only the criterion moves, at the same cost of
selection: of 300 candidates a class, each with the crop of lowest loss among five,
windows of 0 (RDED), 1/4, 1/2, 3/4 and 1 of the order of losses become the set. Beside
them: the crops of highest loss; candidates of the highest CAD (CA2D); one crop each of
random images, which requires no teacher; and whole random images. A set of its own for
every seed, so that intervals hold the synthesis too.

    python -m ddjax.main --config=configs/patch_difficulty.py
    python -m ddjax.main --config=configs/patch_difficulty.py:fashion_mnist
    python -m ddjax.main --config=configs/patch_difficulty.py:smoke

Variants, on 2 CPU cores without an accelerator:

- `digits` (default): ConvNet-D2 width 32, IPC 5, ten seeds; not run so far.
- `fashion_mnist`: 14 px, 6,000 training images, ConvNet-D3 width 32, 150 epochs, IPC 10
  and 50, ten seeds. Its result at IPC 10 is in `results/patch_difficulty`.
- `smoke`: seconds; its numbers mean nothing.

Expected: if easiness were the cause, accuracy under hard labels would rise with the
window, at least to its middle; if cropping were, all windows would stay behind whole
images.
"""

from ddjax import presets, settings

VARIANTS = ("digits", "fashion_mnist", "smoke")

_WINDOWS = {"rded": 0.0, "quarter": 0.25, "middle": 0.5, "three_quarters": 0.75}
_WINDOWS |= {"last": 1.0}


def get_config(variant: str = "digits"):
    presets.check_variant(variant, VARIANTS)
    if variant == "digits":
        config = presets.digits()
        config.select.ipcs = (5,)
        config.student.epochs = 60
        config.student.learning_rates = (1e-2, 3e-2, 1e-1)
        candidates = 100
    elif variant == "fashion_mnist":
        config = presets.fashion_mnist()
        config.select.ipcs = (10, 50)
        config.student.epochs = 150
        config.student.learning_rates = (3e-3, 1e-2, 3e-2)
        candidates = 300
    elif variant == "smoke":
        config = presets.smoke()
        config.select.ipcs = (2,)
        config.student.epochs = 10
        candidates = 10
    config.name = f"patch_difficulty_{variant}"
    config.regimes = ("hard", "soft_kd")
    config.select.methods = ("random",)
    windows = ("rded", "last") if variant == "smoke" else tuple(_WINDOWS)
    for name in windows:
        settings.add_distillation(config, name, "rded")
        config.distill[name].patches.start = _WINDOWS[name]
        config.distill[name].patches.candidates = candidates
    if variant == "smoke":
        return config
    config.protocol.seeds = tuple(range(10))
    config.protocol.search_seeds = 3
    settings.add_distillation(config, "hardest", "rded")
    config.distill.hardest.patches.crop = "highest"
    config.distill.hardest.patches.start = 1.0
    config.distill.hardest.patches.candidates = candidates
    settings.add_distillation(config, "ca2d")
    config.distill.ca2d.patches.candidates = candidates
    config.distill.ca2d.ca2d.pool = candidates
    settings.add_distillation(config, "random_crops")
    return config
