"""What settings and the command line can name, with a line on each."""

import inspect
from collections.abc import Callable, Collection
from types import ModuleType
from typing import Any

from ddjax import config_files, data, distill, losses, models, select
from ddjax import scores as scores_package
from ddjax.data import facts
from ddjax.declare import walk
from ddjax.labels import LOSSES, codecs
from ddjax.settings import Settings

_PROTOCOLS = "protocols/"


def configs() -> dict[str, str]:
    """Returns the shipped configs."""
    return {name: config_files.summary(name) for name in config_files.names()}


def protocols() -> dict[str, str]:
    """Returns the configs of the literature's protocols."""
    return {name: says for name, says in configs().items() if _PROTOCOLS in name}


def selections() -> dict[str, str]:
    """Returns the names of `select.methods`."""
    return {name: _selection(name) for name in select.METHODS}


def _selection(name: str) -> str:
    own = getattr(select, name, None)
    if callable(own):
        return module_line(own)
    ends = {"easy": "the lowest of ", "hard": "the highest of "}
    end = ends.get(name.rpartition("_")[2], "by ")
    return f"{end}{_score(select.METHODS[name].score)}"


def _score(name: str) -> str:
    """Returns a line on a score, of the family whose name it begins with."""
    family = max(filter(name.startswith, _own(scores_package)), key=len)
    return module_line(getattr(scores_package, family))


def _own(package: ModuleType) -> list[str]:
    return [name for name in package.__all__ if callable(getattr(package, name))]


def methods() -> dict[str, str]:
    """Returns the names of `distill.NAME.method`."""
    return {
        name: first_line(method.function) for name, method in distill.METHODS.items()
    }


def networks() -> dict[str, str]:
    """Returns the names of networks."""
    return {name: module_line(build) for name, build in models.MODELS.items()}


def datasets() -> dict[str, str]:
    """Returns sources, and data sets whose plans need no images."""
    known = {
        ":".join(filter(None, (name, data.ARGUMENTS.get(name)))): module_line(load)
        for name, load in data.SOURCES.items()
    }
    return known | {
        name: f"{found.train:,} training and {found.test:,} test images of "
        f"{found.classes:,} classes; can be planned where it is not"
        for name, found in facts.FACTS.items()
        if name not in known
    }


def label_losses() -> dict[str, str]:
    """Returns the names of `labels.NAME.loss`."""
    functions = {"kl": "kl_divergence"}
    return {
        name: first_line(getattr(losses, functions.get(name, name))) for name in LOSSES
    }


def label_codecs() -> dict[str, str]:
    """Returns the names of `labels.NAME.codec`, with their options."""
    return {
        ":".join(filter(None, (name, ",".join(f"{o}=..." for o in codec.OPTIONS)))): (
            first_line(codec)
        )
        for name, codec in codecs.CODECS.items()
    }


def scores() -> dict[str, str]:
    """Returns the names of `distill.NAME.difficulty`."""
    return {name: _score(name) for name in select.SCORES}


KINDS: dict[str, Callable[[], dict[str, str]]] = {
    "configs": configs,
    "selections": selections,
    "methods": methods,
    "networks": networks,
    "datasets": datasets,
    "losses": label_losses,
    "codecs": label_codecs,
    "protocols": protocols,
    "scores": scores,
}


def check_names(settings: Settings) -> None:
    """Checks every setting that names a piece of code or another setting's entry.

    Raises:
      InputError: an unknown name; lists the known ones.
    """
    known: dict[str, Collection[str]] = {
        "selections": (*select.METHODS, *settings.select.imported),
        "methods": distill.METHODS,
        "networks": models.MODELS,
        "scores": select.SCORES,
        "regimes": settings.labels,
    }
    walk.check_names(settings, known)


def first_line(thing: Any) -> str:
    """Returns the first sentence of a docstring."""
    return (inspect.getdoc(thing) or "").partition("\n")[0]


def module_line(function: Callable) -> str:
    """Returns the first line of the docstring of a function's file."""
    return first_line(inspect.getmodule(function))
