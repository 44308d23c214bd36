"""Data of one's own: which few images of each class should be kept?

Network, image size, budgets, batch, epochs and learning rates are derived from what is
found in a folder of PNG or JPEG images (PATH/CLASS/*, or PATH/train/CLASS/* and
PATH/test/CLASS/*) or in an .npz file (x and y, or x_train, y_train, x_test and y_test).
The run begins with what was derived, from what, and the flag that changes it.

    ddjax run own --data=PATH
    ddjax run own --data=PATH --export=DIR

The result is the file `subset.csv` in the run's folder, with id, class and path of the
images of the selection that does best on a validation split, at the largest budget.
`--export` writes these images as class folders, which any other tool can train on. The
report states how certain that is, and whether a difference from random images is shown.

Variants:

- `full` (default): on 2 CPU cores about four minutes, with images of 32 px at most and
  a ConvNet; on an accelerator up to 224 px, a ResNet-18 and a teacher's labels too.
- `smoke`: 8 px, an MLP and next to no training, in less than 20 seconds; without --data
  on scikit-learn's digits. Its numbers mean nothing.
"""

from ddjax import mesh, presets
from ddjax.data import scan
from ddjax.errors import InputError
from ddjax.presets import derive

VARIANTS = ("full", "smoke")


def get_config(variant: str = "full", data: str = ""):
    presets.check_variant(variant, VARIANTS)
    if variant == "smoke" and not data:
        config = presets.smoke()
        config.name = "own_smoke"
        config.regimes = ("hard",)
        config.select.ipcs = (2,)
        config.student.epochs = 10
        return config
    if not data:
        raise InputError("--data: missing, e.g. ddjax run own --data=PATH")
    config = derive.derive(scan(data), mesh.has_accelerator())
    return derive.smoke(config) if variant == "smoke" else config
