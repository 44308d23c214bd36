"""Protocols of dataset condensation: small networks, DSA.

DC alone trains for 300 epochs and without augmentation (but on MNIST and with batch
norm, where it has crops of its own and 1,000 epochs), MTT with a learned rate. They
decay all tensors, here biases and norms are not decayed.

"Hard Truths" evaluates small sets likewise. Its momentum of 0.9 and weight decay of
5e-4 with hard labels are not sure: the notes on its Table 4 differ. Whether its loss
with soft labels has the squared temperature was not found.
"""

from ddjax.data.augment import DSA_OPERATIONS
from ddjax.protocols.protocol import Protocol

# DSA takes the place of all other views.
_DSA = {
    "augment.dsa": DSA_OPERATIONS,
    "augment.pad": 0,
    "augment.resized_crop": (),
    "augment.flip": False,
}
_HARD = _DSA | {
    "student.batch_size": 256,
    "student.learning_rates": (1e-2,),
    "student.optimizer.name": "sgd",
    "student.optimizer.weight_decay": 5e-4,
    "student.optimizer.schedule": "step",
    "regimes": ("hard",),
}

DC = Protocol(
    meaning="DC, DSA, DM and MTT: hard labels, DSA, SGD, 1,000 epochs",
    source="VICO-UoE/DatasetCondensation and GeorgeCazenavette/mtt-distillation",
    notes=__doc__,
    settings=_HARD | {"student.epochs": 1000},
)
HARD_TRUTHS = Protocol(
    meaning='"Hard Truths" at small scale: hard labels, DSA, SGD, 300 epochs',
    source="arXiv 2604.18811, Table 4",
    notes=__doc__,
    settings=_HARD | {"student.epochs": 300},
    published=(("hardtruths_small_hl", "hard", ""),),
)
HARD_TRUTHS_SOFT = Protocol(
    meaning='"Hard Truths" at small scale: a soft label an image, DSA, KL, 300 epochs',
    source="arXiv 2604.18811",
    notes=__doc__,
    settings=_DSA
    | {
        "student.epochs": 300,
        "student.batch_size": 256,
        "student.learning_rates": (1e-3,),
        "student.scale_by_t2": False,
        "regimes": ("soft",),
    },
)
