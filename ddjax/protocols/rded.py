"""RDED's protocol.

Its second forward pass of every step, which updates batch norm twice, is not copied.
Its crops are from 1 / factor of the area on. Batch 100 is that of 1,000 classes at IPC
10.
"""

from ddjax.protocols.protocol import Protocol

RDED = Protocol(
    meaning="RDED: patch shuffle, KL, AdamW, a cosine that ends half-way",
    source="settings of its code for ImageNet-1K, which RD3 lists too (Table 10)",
    notes=__doc__,
    settings={
        "augment.resized_crop": (0.5, 1.0),
        "augment.flip": True,
        "augment.cutmix": 1.0,
        "augment.patch_shuffle": 2,
        "student.epochs": 300,
        "student.batch_size": 100,
        "student.learning_rates": (1e-3,),
        "student.optimizer.zeta": 2.0,
        "student.scale_by_t2": False,
        "regimes": ("soft_kd",),
    },
)
