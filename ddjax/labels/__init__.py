"""What a student learns about an image: label regimes, stored labels, their codecs."""

from ddjax.labels import codecs
from ddjax.labels.ensemble import Ensemble, ensemble_logits, teacher_logits
from ddjax.labels.regimes import REGIMES, Objective
from ddjax.labels.store import LabelStore

__all__ = [
    "REGIMES",
    "Ensemble",
    "LabelStore",
    "Objective",
    "codecs",
    "ensemble_logits",
    "teacher_logits",
]


def __dir__() -> list[str]:
    return __all__
