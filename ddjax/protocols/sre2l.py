"""SRe2L's protocol and those that follow it: a teacher's labels of augmented views.

KL at temperature 20 without its square, AdamW 1e-3, weight decay 0.01, crops of 0.08 of
the area on, flip, CutMix, 300 epochs, cosine to 0. They differ in the batch.
"""

from ddjax.protocols.protocol import Protocol

SETTINGS = {
    "augment.resized_crop": (0.08, 1.0),
    "augment.flip": True,
    "augment.cutmix": 1.0,
    "student.epochs": 300,
    "student.learning_rates": (1e-3,),
    "student.scale_by_t2": False,
    "regimes": ("soft_kd",),
}
_SOURCE = "settings of its code for ImageNet-1K, which RD3 lists too (Table 10)"

SRE2L = Protocol(
    meaning="SRe2L: a teacher's labels of augmented views, KL, AdamW, batch 1024",
    source=_SOURCE,
    notes=__doc__,
    settings=SETTINGS | {"student.batch_size": 1024},
)
CDA = Protocol(
    meaning="CDA: as SRe2L, batch 128",
    source=_SOURCE,
    notes=__doc__,
    settings=SETTINGS | {"student.batch_size": 128},
)
DWA = Protocol(
    meaning="DWA: as SRe2L, batch 128; it computes the labels on the fly",
    source=_SOURCE,
    notes=__doc__,
    settings=SETTINGS | {"student.batch_size": 128},
)
D4M = Protocol(
    meaning="D4M: as SRe2L, batch 1024",
    source=_SOURCE,
    notes=__doc__,
    settings=SETTINGS | {"student.batch_size": 1024},
)
