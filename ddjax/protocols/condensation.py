"""Protocols of dataset condensation: small networks, SGD, DSA.

DC alone trains for 300 epochs and without augmentation (but on MNIST and with batch
norm, where it has crops of its own and 1,000 epochs). All of them decay all tensors,
here biases and norms are not decayed; DC, DSA and DM begin a new optimiser where the
rate falls, here momentum is kept.

MTT and DATM train at the rate that was learned with the set: `distill.NAME.own_rate`.
IDC mixes half of its batches by CutMix, which is left out here; sets whose images hold
several, of a factor above 1, are decoded before students are trained. DATM trains on
the labels that it learned, by cross-entropy.

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

_AUTHORS = "VICO-UoE/DatasetCondensation"

DC = Protocol(
    meaning="DC: hard labels, no augmentation, SGD, 300 epochs",
    source=_AUTHORS,
    notes=__doc__,
    settings=_HARD | {"augment.dsa": (), "student.epochs": 300},
)
DSA = Protocol(
    meaning="DSA and DM: hard labels, DSA, SGD, 1,000 epochs",
    source=_AUTHORS,
    notes=__doc__,
    settings=_HARD | {"student.epochs": 1000},
)
MTT = Protocol(
    meaning="MTT and TESLA: hard labels, DSA, SGD at the learned rate, 1,000 epochs",
    source="GeorgeCazenavette/mtt-distillation and justincui03/tesla",
    notes=__doc__,
    settings=_HARD | {"student.epochs": 1000},
)
IDC = Protocol(
    meaning="IDC: hard labels, DSA, SGD in two steps, batch 64, 1,000 epochs",
    source="snu-mllab/Efficient-Dataset-Condensation",
    notes=__doc__,
    settings=_HARD
    | {
        "student.epochs": 1000,
        "student.batch_size": 64,
        "student.optimizer.step_at": (2 / 3, 5 / 6),
        "student.optimizer.step_factor": 0.2,
    },
)
DATM = Protocol(
    meaning="DATM: learned labels, DSA, SGD at the learned rate, 1,000 epochs",
    source="NUS-HPC-AI-Lab/DATM",
    notes=__doc__,
    settings=_HARD
    | {
        "student.epochs": 1000,
        "student.batch_size": 128,
        "student.temperature": 1.0,
        "regimes": ("soft",),
    },
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
