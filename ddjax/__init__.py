"""ddjax: what is a small training set really worth?

    import ddjax

    ddjax.data      sources of images; files of scores, subsets and image sets
    ddjax.models    networks: create, network, from_torch, MODELS
    ddjax.losses    per-example losses, [..., C] -> [...]
    ddjax.scores    Trace -> [N], how hard each example is
    ddjax.select    scores or features and a budget -> example ids
    ddjax.distill   METHODS that synthesise images
    ddjax.labels    label regimes, LabelStore, codecs
    ddjax.train     one student as a compiled loop, many of them as a sweep
    ddjax.report    statistics, tables, figures, report.html
    ddjax.settings  what a run is to do: frozen dataclasses, defaults
    ddjax.protocols how the literature trains students
    ddjax.presets   settings that several configs start from
    ddjax.errors    InputError: what cannot be done, and why

A subpackage is imported when it is first named, and each imports what it needs when it
needs it: `ddjax.losses` costs JAX and nothing else. A whole experiment is the command
`ddjax`, or `python -m ddjax`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ddjax import data as data
    from ddjax import distill as distill
    from ddjax import errors as errors
    from ddjax import labels as labels
    from ddjax import losses as losses
    from ddjax import models as models
    from ddjax import presets as presets
    from ddjax import protocols as protocols
    from ddjax import report as report
    from ddjax import scores as scores
    from ddjax import select as select
    from ddjax import settings as settings
    from ddjax import train as train

__version__ = "0.1.0"

__all__ = [
    "__version__",
    "data",
    "distill",
    "errors",
    "labels",
    "losses",
    "models",
    "presets",
    "protocols",
    "report",
    "scores",
    "select",
    "settings",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return importlib.import_module(f"ddjax.{name}")
    raise AttributeError(f"module 'ddjax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
