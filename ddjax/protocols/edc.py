"""EDC's protocol.

Its weight of the hard label, 0.025, is the default of `mse_gt.gt_weight`.
EDC averages parameters and evaluates these with the student's own batch-norm statistics
(a known quirk); here as in `student.optimizer.ema`. Its training script for ImageNet
replaces the cosine that its recipe names by a line from 1 to a half, since the last
branch of its schedules is taken, too; here it is the cosine, which ends at a half as
well.
"""

from ddjax.protocols.protocol import Protocol

EDC = Protocol(
    meaning="EDC: MSE-GT, averaged parameters, a cosine that ends half-way",
    source="settings of its code for ImageNet-1K, which RD3 lists too (Table 10)",
    notes=__doc__,
    settings={
        "augment.resized_crop": (0.5, 1.0),
        "augment.flip": True,
        "augment.cutmix": 1.0,
        "student.epochs": 300,
        "student.batch_size": 100,
        "student.learning_rates": (1e-3,),
        "student.optimizer.zeta": 2.0,
        "student.optimizer.ema": 0.99,
        "regimes": ("soft_kd",),
        "labels.soft_kd.loss": "mse_gt",
    },
)
