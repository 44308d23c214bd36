"""The named scores: how each difficulty is computed from what a run knows."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ddjax import scores
from ddjax.scores import mean_over_runs
from ddjax.select.inputs import Inputs

if TYPE_CHECKING:
    from ddjax.settings import Select

# The windows of the sources; a trace as short as a student's training gets the longest
# that it allows.
_WINDOW, _DUAL_STOP = 10, 30


@dataclasses.dataclass(frozen=True, kw_only=True)
class Score:
    """A named difficulty.

    Attributes:
      of: inputs -> [N] float32, higher = harder or more uncertain.
      needs: which of `inputs.NEEDS` it reads.
    """

    of: Callable[[Inputs], np.ndarray]
    needs: tuple[str, ...] = ("traces",)


def snapshots_needed(settings: Select) -> int:
    """Snapshots a trace should have for CAD: span + windows + 1, span 0 being 6.

    One more than `scores.cad` insists on, so that the first snapshot, the least
    trained, lies outside every window.
    """
    return (settings.cad_span or 6) + settings.cad_windows + 1


def _traced(score: Callable) -> Score:
    return Score(of=lambda inputs: mean_over_runs(score, inputs.require("traces")))


def _forgetting(inputs):
    reading = inputs.settings.never_learned
    run = functools.partial(scores.forgetting, never_learned=reading)
    return mean_over_runs(run, inputs.require("traces"))


def _aum(inputs):
    run = functools.partial(scores.aum, margins=inputs.settings.aum_margins)
    return mean_over_runs(run, inputs.require("traces"))


def _dyn_unc(trace):
    return scores.dyn_unc(trace, min(_WINDOW, trace.num_snapshots - 1))


def _tdds(trace):
    return scores.tdds(trace, min(_WINDOW, trace.num_snapshots))


def _dual(trace):
    count = trace.num_snapshots
    return scores.dual(trace, min(_WINDOW, count), min(_DUAL_STOP, count))


def easiness(inputs):
    """The mean probability of the true class over DUAL's snapshots."""

    def run(trace):
        return trace.mean("true_prob", 0, min(_DUAL_STOP, trace.num_snapshots))

    return mean_over_runs(run, inputs.require("traces"))


def _cad(quantity):
    def of(inputs):
        settings = inputs.settings
        run = functools.partial(
            scores.cad,
            span=settings.cad_span or None,
            windows=settings.cad_windows,
            quantity=quantity or settings.cad_quantity,
        )
        return mean_over_runs(run, inputs.require("traces"))

    return Score(of=of)


def _el2n_sl(inputs):
    return mean_over_runs(scores.el2n_sl, inputs.require("soft_traces"))


def _prototypes(inputs):
    clusters = len(np.unique(inputs.labels))
    key = inputs.key_of("prototypes")
    return scores.prototypes(key, inputs.require("features"), clusters)


SCORES = {
    "el2n": _traced(scores.el2n),
    "el2n_sl": Score(of=_el2n_sl, needs=("soft_traces",)),
    "forgetting": Score(of=_forgetting),
    "aum": Score(of=_aum),
    "entropy": _traced(scores.entropy),
    "least_confidence": _traced(scores.least_confidence),
    "margin": _traced(scores.margin),
    "dyn_unc": _traced(_dyn_unc),
    "tdds": _traced(_tdds),
    "dual": _traced(_dual),
    "cad": _cad(None),
    "cad_true_prob": _cad("true_prob"),
    "cad_el2n": _cad("el2n"),
    "grand": Score(of=lambda inputs: inputs.require("grand"), needs=("grand",)),
    "grand_last_layer": Score(
        of=lambda inputs: inputs.require("gradients").norms(), needs=("gradients",)
    ),
    "prototypes": Score(of=_prototypes, needs=("features",)),
}
