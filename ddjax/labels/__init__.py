"""What a student is told about an image: the three label regimes."""

from ddjax.labels.regimes import REGIMES, Objective
from ddjax.labels.teacher_logits import teacher_logits

__all__ = ["REGIMES", "Objective", "teacher_logits"]
