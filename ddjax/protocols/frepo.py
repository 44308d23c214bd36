"""FRePo's evaluation of its sets.

Students have FRePo's ConvNet, without norm, and fit the learned labels by the squared
error. The steps follow from the images of a set, as in its code; sets of other sizes
have those of the next larger one. Sets without labels of their own have a teacher's.

Where we deviate: its views are one operation a batch of colour (0.25), zoom (0.8 to
1.25), rotation (15 degrees), shift (1/8), a box of a quarter of the side, and, but for
grey images, flips; here they are those of DSA, one an image, whose colours vary twice
as much, whose zoom is 1/1.2 to 1.2 and whose box is twice as wide. Its cosine begins
after the warm-up and ends at 1 % of the rate, here it begins with the training and
ends at 0. It keeps the order of a set's images, and reports the best of several
checkpoints on test; here the order is random, and the last counts. Colour images are
whitened there (ZCA), not here.
"""

from collections.abc import Mapping
from typing import Any

from ddjax.data.augment import DSA_OPERATIONS
from ddjax.protocols.protocol import Protocol

_BATCH, _WARMUP = 500, 500
# Images of a set -> steps.
_STEPS = {
    10: 1000,
    100: 2000,
    200: 20_000,
    400: 5000,
    500: 5000,
    1000: 10_000,
    2000: 40_000,
    5000: 40_000,
}


def _varies(classes: int, grey: bool) -> Mapping[str, Any]:
    operations = tuple(name for name in DSA_OPERATIONS if name != "flip" or not grey)
    return {
        "augment.dsa": operations,
        "student.network.convnet.first_padding": 3 if grey else 1,
    }


def _sized(images: int) -> Mapping[str, Any]:
    size = next((size for size in _STEPS if size >= images), max(_STEPS))
    steps = _STEPS[size]
    return {
        "student.epochs": -(-steps * min(images, _BATCH) // images),
        "student.optimizer.warmup": _WARMUP / steps,
    }


FREPO = Protocol(
    meaning="FRePo: learned labels, squared error, DSA, Adam, 1,000 to 40,000 steps",
    source="yongchao97/FRePo, script/eval.py, lib/datadistillation/frepo.py",
    notes=__doc__,
    settings={
        "augment.pad": 0,
        "augment.resized_crop": (),
        "augment.flip": False,
        "student.network.convnet.norm": "none",
        "student.network.convnet.doubling": True,
        "student.network.convnet.norm_first": True,
        "student.network.convnet.start": "lecun",
        "student.batch_size": _BATCH,
        "student.learning_rates": (3e-4,),
        "student.optimizer.name": "adamw",
        "student.optimizer.weight_decay": 0.0,
        "student.optimizer.schedule": "cosine",
        "regimes": ("soft",),
        "labels.soft.loss": "mse_gt",
        "labels.soft.mse_gt.gt_weight": 0.0,
    },
    varies=_varies,
    sized=_sized,
)
