"""Settings that all methods have which learn images through fresh networks."""

import dataclasses
from typing import Any

from ddjax.data.augment import DSA_OPERATIONS
from ddjax.declare import setting


@dataclasses.dataclass(frozen=True)
class Images:
    """How images are learned.

    Attributes are settings; methods declare those anew whose default is another.
    """

    iterations: int = setting(1000, "Steps of the outer loop.", "[1, 10000000]")
    learning_rate: float = setting(0.1, "Of SGD on the images.", "(0, 1e7]")
    momentum: float = setting(0.5, "Of SGD on the images.", "[0, 1)")
    init: str = setting(
        "random",
        "What images start from: random real images of the class, or noise.",
        ("random", "noise"),
    )


@dataclasses.dataclass(frozen=True)
class Options(Images):
    """How images are learned that are compared with real ones."""

    real: int = setting(
        256, "Real images of a class in a step, at most the class.", "[1, 100000]"
    )
    augment: tuple[str, ...] = setting(
        DSA_OPERATIONS,
        "Operations of DSA, one of which real and synthetic images share in a step; "
        "(): none.",
        DSA_OPERATIONS,
        counts="[0, 6]",
        each="once",
    )


def again(name: str, default: Any, of: type = Options) -> Any:
    """Declares a setting of `of` with another default, in a class derived from it."""
    (field,) = (field for field in dataclasses.fields(of) if field.name == name)
    return dataclasses.field(default=default, metadata=field.metadata)
