"""RD3's unified protocol, for a ResNet-18 and for other students.

One ResNet-18 as teacher, epoch-wise soft labels of the views that the student trains
on, KL, AdamW, patch shuffle, random resized crops of at least half of the image, flip,
CutMix, 400 epochs. RD3 does not state the temperature (by a figure, gains stop
above 20), the weight decay (here 0.01), nor how hard labels meet CutMix (here they do
not: `augment.cutmix_regimes`), so that its hard labels match no published row. Patch
shuffle is for soft labels only too, since our teachers train as `hard` does. For
ResNet-50 and 101 its appendix has zeta 1, its tables the 2 of other students.
"""

from ddjax.protocols.protocol import Protocol

_SOURCE = 'RD3, "Rectified Decoupled Dataset Distillation", and ndhg1213/RD3'
_SETTINGS = {
    "augment.resized_crop": (0.5, 1.0),
    "augment.flip": True,
    "augment.cutmix": 1.0,
    "augment.patch_shuffle": 2,
    "student.epochs": 400,
    "student.learning_rates": (1e-3,),
    "student.scale_by_t2": False,
    "regimes": ("hard", "soft_kd"),
}

RESNET18 = Protocol(
    meaning="RD3 for a ResNet-18: patch shuffle, KL, AdamW, batch 50, zeta 1",
    source=_SOURCE,
    notes=__doc__,
    settings=_SETTINGS | {"student.batch_size": 50},
    published=(("rd3_rn18", "soft_kd", ""),),
)
CROSS = Protocol(
    meaning="RD3 for other students: patch shuffle, KL, AdamW, batch 100, zeta 2",
    source=_SOURCE,
    notes=__doc__,
    settings=_SETTINGS | {"student.batch_size": 100, "student.optimizer.zeta": 2.0},
    published=(("rd3_cross", "soft_kd", "bs100"),),
)
