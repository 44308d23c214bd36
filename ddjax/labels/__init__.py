"""What a student is told about an image: regimes, stored labels, and their codecs."""

from ddjax.labels import codecs
from ddjax.labels.committee import committee_logits
from ddjax.labels.regimes import LOSSES, REGIMES, Objective
from ddjax.labels.store import LabelStore
from ddjax.labels.teacher_logits import teacher_logits

__all__ = [
    "LOSSES",
    "REGIMES",
    "LabelStore",
    "Objective",
    "codecs",
    "committee_logits",
    "teacher_logits",
]


def __dir__() -> list[str]:
    return __all__
