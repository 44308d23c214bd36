"""Evaluates an image set from another source, under our protocol.

    python -m ddjax.main --config=configs/evaluate_images.py --config.images=PATH
    python -m ddjax.main --config=configs/evaluate_images.py:fashion_mnist \\
        --config.images=PATH

Claim tested: that the set is worth more than as many random real images, with hard
labels, with one teacher's label an image, and with a teacher's label of every view.

PATH is a folder with a folder of PNG or JPEG images a class (SRe2L, RDED, DWA, EDC,
Minimax and D4M write such), a dataset in ArrayRecord format, an .npz, or the .pt files
of DC, DM, MTT and DD-Ranking; for floats that were normalised, give the numbers:
`--config.images_mean="(0.28,)" --config.images_std="(0.35,)"`. Numbers that do not fit
are refused with what makes them fit (`images_scale`, `images_clip`), and labels that
the teacher does not see are warned of at the start. Soft labels in the file
are not used: the teacher's are, the same for everybody; with `--config.images_labels`
they are, in the regime `soft`.

Variants, on 2 CPU cores without an accelerator:

- `digits` (default): scikit-learn's digits, ConvNet-D2 width 32; not run in full so
  far.
- `fashion_mnist`: Fashion-MNIST at 28 px, ConvNet-D3 width 32; not run in full so far.
- `smoke`: seconds; its numbers mean nothing.

Any other source and network are settings: `--config.data.source=folder:PATH`,
`--config.student.network.name=resnet18`.
"""

from ddjax import presets
from ddjax.settings import REQUIRED

VARIANTS = ("digits", "fashion_mnist", "smoke")


def get_config(variant: str = "digits"):
    presets.check_variant(variant, VARIANTS)
    if variant == "digits":
        config = presets.digits()
    elif variant == "fashion_mnist":
        config = presets.fashion_mnist()
        config.data.image_size = 0
        config.augment.pad = 2
    elif variant == "smoke":
        config = presets.smoke()
        config.select.ipcs = (2,)
        config.student.epochs = 10
    config.name = f"evaluate_images_{variant}"
    config.select.methods = ("random",)
    config.images = REQUIRED
    return config
