"""G-VBSM's protocol.

Its weight of the hard label is 0.1 for ImageNet-1K and Tiny-ImageNet, 0.15 for CIFAR
and, here, for smaller images. Teachers beside the first are added with
`settings.add_teacher` and `labels.soft_kd.ensemble`; G-VBSM divides their logits by
their Frobenius norm (`ensemble_mean`).
"""

from ddjax.protocols.protocol import Protocol

_LARGE = 200  # classes from which the weight is that of ImageNet

G_VBSM = Protocol(
    meaning="G-VBSM: MSE-GT on the mean logits of several teachers",
    source="settings of its code for ImageNet-1K, which RD3 lists too (Table 10)",
    notes=__doc__,
    settings={
        "augment.resized_crop": (0.08, 1.0),
        "augment.flip": True,
        "augment.cutmix": 1.0,
        "student.epochs": 300,
        "student.batch_size": 1024,
        "student.learning_rates": (1e-3,),
        "regimes": ("soft_kd",),
        "labels.soft_kd.loss": "mse_gt",
    },
    varies=lambda classes, grey: {
        "labels.soft_kd.mse_gt.gt_weight": 0.1 if classes >= _LARGE else 0.15
    },
)
