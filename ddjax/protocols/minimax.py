"""Minimax's protocol, which is IDC's.

Resized crops of at least half of the area, flip, colour jitter, lighting (images in
colour only), CutMix by whose box's true area labels are mixed; a fifth of the rate from
2/3 and again from 5/6 of the epochs on. Images of more than 100 classes have its larger
rate and batch. It reports the best epoch, here the last one is evaluated; its box is
drawn once a batch, here once an image.
"""

from ddjax.protocols.protocol import Protocol

MINIMAX = Protocol(
    meaning="Minimax and IDC: hard labels, SGD with steps",
    source="the code of vimar-gu/MinimaxDiffusion for ImageNet's subsets at IPC 10: "
    "2,000 epochs, 1,300 for 100 classes",
    notes=__doc__,
    settings={
        "augment.resized_crop": (0.5, 1.0),
        "augment.flip": True,
        "augment.color_jitter": (0.4, 0.4, 0.4),
        "augment.cutmix": 1.0,
        "augment.cutmix_regimes": ("hard",),
        "student.optimizer.name": "sgd",
        "student.optimizer.schedule": "step",
        "student.optimizer.step_at": (2 / 3, 5 / 6),
        "student.optimizer.step_factor": 0.2,
        "regimes": ("hard",),
    },
    varies=lambda classes, grey: {
        "augment.lighting": 0.0 if grey else 0.1,
        "student.epochs": 1300 if classes == 100 else 2000,
        "student.batch_size": 128 if classes > 100 else 64,
        "student.learning_rates": (0.1,) if classes > 100 else (0.01,),
        "student.optimizer.weight_decay": 1e-4 if classes > 100 else 5e-4,
    },
)
