"""The protocol of "Rethinking Large-scale Dataset Compression" (PCA).

With hard labels it has no CutMix, as is the default of `augment.cutmix_regimes`.
"""

from ddjax.protocols.protocol import Protocol

PCA = Protocol(
    meaning="PCA: hard labels, and a teacher's labels of views with KL and CutMix",
    source="arXiv 2502.06434 and ArmandXiao/Rethinking-Dataset-Compression",
    notes=__doc__,
    settings={
        "augment.resized_crop": (0.08, 1.0),
        "augment.flip": True,
        "augment.cutmix": 1.0,
        "student.epochs": 300,
        "student.batch_size": 128,
        "student.learning_rates": (1e-3,),
        "student.scale_by_t2": False,
        "regimes": ("hard", "soft_kd"),
    },
    published=(("pca_hard", "hard", ""),),
)
