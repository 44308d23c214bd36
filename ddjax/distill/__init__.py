"""Methods that make new images; each file says where its method comes from.

All have one signature: `method(task, settings) -> Distilled`. `METHODS` maps the names
that configs use to them.
"""

from ddjax.distill.methods import METHODS, Method
from ddjax.distill.task import Distilled, Task, Teacher

__all__ = ["METHODS", "Distilled", "Method", "Task", "Teacher"]


def __dir__() -> list[str]:
    return __all__
