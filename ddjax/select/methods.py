"""The named selections: what each looks at, and how it chooses."""

import dataclasses
import numbers
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from ddjax.errors import InputError
from ddjax.scores import Trace, aum, cad, dyn_unc, el2n, entropy, forgetting
from ddjax.scores.cad import QUANTITIES
from ddjax.scores.forgetting import NEVER_LEARNED
from ddjax.select.facility_location import facility_location
from ddjax.select.k_center import k_center
from ddjax.select.random import random
from ddjax.select.ranking import top, window

CAD_KEEP = ("highest", "lowest")
_DYN_UNC_WINDOW = 10


@dataclasses.dataclass(frozen=True)
class Settings:
    """The readings of the literature that a user may choose between.

    Attributes:
      cad_span: J of `scores.cad`, at least 2; None is the longest the trace allows.
      cad_windows: W of `scores.cad`, at least 1.
      cad_quantity: what fluctuates for "cad_prune" and "cad_facility_location",
        "true_prob" or "el2n".
      cad_keep: which end of CAD the "cad_prune" methods keep, "highest" or "lowest".
        The paper does not state it in so many words; the highest are those that still
        fluctuate at the end of a run of the students' length.
      never_learned: score of never-learned examples, see `scores.forgetting`.

    Raises:
      InputError: naming the setting, the value and what is allowed.
    """

    cad_span: int | None = None
    cad_windows: int = 2
    cad_quantity: str = "true_prob"
    cad_keep: str = "highest"
    never_learned: str = "max"

    def __post_init__(self):
        if self.cad_span is not None:
            _at_least("cad_span", self.cad_span, 2, " or None")
        _at_least("cad_windows", self.cad_windows, 1)
        _one_of("cad_quantity", self.cad_quantity, QUANTITIES)
        _one_of("cad_keep", self.cad_keep, CAD_KEEP)
        _one_of("never_learned", self.never_learned, NEVER_LEARNED)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Inputs:
    """What a selection may look at: the training pool, never the test set.

    One `Inputs` serves any number of selections; each reads the same key.

    Attributes:
      key: typed PRNG key.
      labels: [N] int, classes 0..C-1.
      trace: the pool's trace, for the methods that need one.
      features: [N, D] float, for the methods that need them.
      settings: readings of the literature.
    """

    key: jax.Array
    labels: Any
    trace: Trace | None = None
    features: Any = None
    settings: Settings = dataclasses.field(default_factory=Settings)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
    """A named selection.

    Attributes:
      select: (inputs, per_class) -> sorted int32 ids, or None if the method searches.
      candidates: (inputs, per_class, starts) -> {start: ids}, or None. The caller
        trains a student on each and picks by validation accuracy (`best_window`).
      score: inputs -> [N] float32, the difficulty the method goes by, or None.
      needs_trace: whether `inputs.trace` must be there.
      needs_features: whether `inputs.features` must be there.
    """

    select: Callable[[Inputs, int], np.ndarray] | None = None
    candidates: Callable[[Inputs, int, Sequence[float]], dict] | None = None
    score: Callable[[Inputs], np.ndarray] | None = None
    needs_trace: bool = False
    needs_features: bool = False

    @property
    def searches(self) -> bool:
        """Whether the caller has to choose among candidates."""
        return self.candidates is not None


def snapshots_needed(settings: Settings) -> int:
    """Snapshots a trace should have for CAD: span + windows + 1, span None being 6.

    One more than `scores.cad` insists on, so that the first snapshot, the least
    trained, lies outside every window.
    """
    span = 6 if settings.cad_span is None else settings.cad_span
    return span + settings.cad_windows + 1


def _at_least(name, value, least, alternative=""):
    if not isinstance(value, numbers.Integral) or value < least:
        raise InputError(
            f"select.{name}: {value!r}, expected an integer of at least {least}"
            f"{alternative}"
        )


def _one_of(name, value, allowed):
    if value not in allowed:
        raise InputError(
            f"select.{name}: {value!r}, expected one of {', '.join(allowed)}"
        )


def _trace(inputs):
    if inputs.trace is None:
        raise InputError("inputs.trace: None, but the selection needs a trace")
    return inputs.trace


def _features(inputs):
    if inputs.features is None:
        raise InputError("inputs.features: None, but the selection needs features")
    return inputs.features


def _el2n(inputs):
    return el2n(_trace(inputs))


def _forgetting(inputs):
    return forgetting(_trace(inputs), inputs.settings.never_learned)


def _aum(inputs):
    return aum(_trace(inputs))


def _entropy(inputs):
    return entropy(_trace(inputs))


def _dyn_unc(inputs):
    # The source's window, or the longest of a trace as short as a student's training.
    trace = _trace(inputs)
    return dyn_unc(trace, min(_DYN_UNC_WINDOW, trace.num_snapshots - 1))


def _cad(inputs, quantity=None):
    settings = inputs.settings
    return cad(
        _trace(inputs),
        settings.cad_span,
        settings.cad_windows,
        quantity or settings.cad_quantity,
    )


def _random(inputs, per_class):
    # A clone, because the key serves every selection made from these inputs.
    return random(jax.random.clone(inputs.key), inputs.labels, per_class)


def _k_center(inputs, per_class):
    key = jax.random.clone(inputs.key)
    return k_center(key, _features(inputs), inputs.labels, per_class)


def _facility_location(inputs, per_class):
    return facility_location(_features(inputs), inputs.labels, per_class)


def _cad_facility_location(inputs, per_class):
    return facility_location(
        _features(inputs), inputs.labels, per_class, weights=_cad(inputs)
    )


def _el2n_windows(inputs, per_class, starts):
    scores = _el2n(inputs)
    return {start: window(scores, inputs.labels, per_class, start) for start in starts}


def _ranked(score, hard):
    def select(inputs, per_class):
        return top(score(inputs), inputs.labels, per_class, largest=hard)

    return Method(select=select, score=score, needs_trace=True)


def _cad_prune(quantity=None):
    def score(inputs):
        return _cad(inputs, quantity)

    def select(inputs, per_class):
        highest = inputs.settings.cad_keep == "highest"
        return top(score(inputs), inputs.labels, per_class, largest=highest)

    return Method(select=select, score=score, needs_trace=True)


METHODS = {
    "random": Method(select=_random),
    "el2n_easy": _ranked(_el2n, hard=False),
    "el2n_hard": _ranked(_el2n, hard=True),
    "el2n_best_window": Method(candidates=_el2n_windows, score=_el2n, needs_trace=True),
    "forgetting_easy": _ranked(_forgetting, hard=False),
    "forgetting_hard": _ranked(_forgetting, hard=True),
    "aum_easy": _ranked(_aum, hard=False),
    "aum_hard": _ranked(_aum, hard=True),
    "entropy": _ranked(_entropy, hard=True),
    "dyn_unc": _ranked(_dyn_unc, hard=True),
    "cad_prune": _cad_prune(),
    "cad_prune_true_prob": _cad_prune("true_prob"),
    "cad_prune_el2n": _cad_prune("el2n"),
    "k_center": Method(select=_k_center, needs_features=True),
    "facility_location": Method(select=_facility_location, needs_features=True),
    # Not in the paper: an extension tried by an independent re-implementation.
    "cad_facility_location": Method(
        select=_cad_facility_location,
        score=_cad,
        needs_trace=True,
        needs_features=True,
    ),
}
