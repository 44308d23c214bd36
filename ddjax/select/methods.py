"""The named selections: what each looks at, and how it chooses."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import jax
import numpy as np

from ddjax.scores.rows import unit_rows
from ddjax.select.beta import beta
from ddjax.select.bws import bws
from ddjax.select.ccs import ccs
from ddjax.select.craig import craig
from ddjax.select.d2 import d2
from ddjax.select.difficulty import SCORES, easiness
from ddjax.select.facility_location import facility_location
from ddjax.select.glister import glister
from ddjax.select.gradmatch import gradmatch
from ddjax.select.graph_cut import graph_cut
from ddjax.select.herding import herding
from ddjax.select.inputs import Inputs
from ddjax.select.k_center import k_center
from ddjax.select.random import random
from ddjax.select.ranking import top, window
from ddjax.select.stratified import stratified

if TYPE_CHECKING:
    from ddjax.settings import Select


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
    """A named selection.

    Attributes:
      select: (inputs, per_class) -> sorted int32 ids, or None if the method searches.
      candidates: (inputs, per_class, starts) -> {start: ids}, or None. The caller
        trains a student on each and picks by validation accuracy (`best_window`).
      score: the name in `SCORES` of the difficulty the method goes by, "" for none.
      needs: which of `inputs.NEEDS` it reads.
    """

    select: Callable[[Inputs, int], np.ndarray] | None = None
    candidates: Callable[[Inputs, int, Sequence[float]], dict] | None = None
    score: str = ""
    needs: tuple[str, ...] = ()

    @property
    def searches(self) -> bool:
        """Whether the caller has to choose among candidates."""
        return self.candidates is not None


def _ranked(score: str, hard: bool) -> Method:
    def select(inputs, per_class):
        return top(SCORES[score].of(inputs), inputs.labels, per_class, largest=hard)

    return Method(select=select, score=score, needs=SCORES[score].needs)


def _scored(score: str, choose: Callable, needs: tuple[str, ...] = ()) -> Method:
    """A method of choose(inputs, per_class, the score's values)."""

    def select(inputs, per_class):
        return choose(inputs, per_class, SCORES[score].of(inputs))

    needs = tuple(dict.fromkeys((*SCORES[score].needs, *needs)))
    return Method(select=select, score=score, needs=needs)


def _of_features(choose: Callable) -> Method:
    def select(inputs, per_class):
        return choose(inputs.require("features"), inputs.labels, per_class)

    return Method(select=select, needs=("features",))


def _of_gradients(choose: Callable) -> Method:
    def select(inputs, per_class):
        return choose(inputs.require("gradients"), inputs.labels, per_class)

    return Method(select=select, needs=("gradients",))


def _random(inputs, per_class):
    # A clone, so that a key's random subset is the one that `random` gives for it.
    return random(jax.random.clone(inputs.key), inputs.labels, per_class)


def _el2n_windows(inputs, per_class, starts):
    values = SCORES["el2n"].of(inputs)
    return {start: window(values, inputs.labels, per_class, start) for start in starts}


def _cad_prune(inputs, per_class, values):
    highest = inputs.settings.cad_keep == "highest"
    return top(values, inputs.labels, per_class, largest=highest)


def _ccs(inputs, per_class, values):
    drop = inputs.settings.drop_hardest
    return ccs(inputs.key_of("ccs"), values, inputs.labels, per_class, drop)


def _stratified(inputs, per_class, values):
    return stratified(inputs.key_of("stratified"), values, inputs.labels, per_class)


def _beta(inputs, per_class, values):
    key, probs = inputs.key_of("beta"), easiness(inputs)
    return beta(key, values, probs, inputs.labels, per_class, inputs.settings.beta_c)


def _bws(inputs, per_class, values):
    return bws(values, inputs.require("features"), inputs.labels, per_class)


def _d2(inputs, per_class, values):
    settings = inputs.settings
    return d2(
        values,
        # Raw features lie so far apart that no message arrives: exp(-distance).
        unit_rows(inputs.require("features")),
        inputs.labels,
        per_class,
        neighbors=settings.neighbors,
        gamma=settings.d2_gamma,
        drop_hardest=settings.drop_hardest,
    )


def _k_center(inputs, per_class):
    features = inputs.require("features")
    return k_center(inputs.key_of("k_center"), features, inputs.labels, per_class)


def _cad_facility_location(inputs, per_class, values):
    features = inputs.require("features")
    return facility_location(features, inputs.labels, per_class, weights=values)


def _glister(inputs, per_class):
    return glister(
        inputs.require("gradients"),
        inputs.labels,
        per_class,
        inputs.held_out,
        inputs.held_out_labels,
    )


METHODS = {
    "random": Method(select=_random),
    "el2n_easy": _ranked("el2n", hard=False),
    "el2n_hard": _ranked("el2n", hard=True),
    "el2n_best_window": Method(
        candidates=_el2n_windows, score="el2n", needs=("traces",)
    ),
    "el2n_stratified": _scored("el2n", _stratified),
    "el2n_sl_easy": _ranked("el2n_sl", hard=False),
    "el2n_sl_hard": _ranked("el2n_sl", hard=True),
    "forgetting_easy": _ranked("forgetting", hard=False),
    "forgetting_hard": _ranked("forgetting", hard=True),
    "aum_easy": _ranked("aum", hard=False),
    "aum_hard": _ranked("aum", hard=True),
    "entropy": _ranked("entropy", hard=True),
    "least_confidence": _ranked("least_confidence", hard=True),
    "margin": _ranked("margin", hard=True),
    "dyn_unc": _ranked("dyn_unc", hard=True),
    "tdds": _ranked("tdds", hard=True),
    "dual": _ranked("dual", hard=True),
    "dual_beta": _scored("dual", _beta),
    "cad_prune": _scored("cad", _cad_prune),
    "cad_prune_true_prob": _scored("cad_true_prob", _cad_prune),
    "cad_prune_el2n": _scored("cad_el2n", _cad_prune),
    "ccs": _scored("aum", _ccs),
    "bws": _scored("el2n", _bws, needs=("features",)),
    "grand_easy": _ranked("grand", hard=False),
    "grand_hard": _ranked("grand", hard=True),
    "grand_last_layer_easy": _ranked("grand_last_layer", hard=False),
    "grand_last_layer_hard": _ranked("grand_last_layer", hard=True),
    "k_center": Method(select=_k_center, needs=("features",)),
    "herding": _of_features(herding),
    "graph_cut": _of_features(graph_cut),
    "facility_location": _of_features(facility_location),
    # Not in the paper: an extension tried by an independent re-implementation.
    "cad_facility_location": _scored(
        "cad", _cad_facility_location, needs=("features",)
    ),
    "prototypes_easy": _ranked("prototypes", hard=False),
    "prototypes_hard": _ranked("prototypes", hard=True),
    "d2": _scored("aum", _d2, needs=("features",)),
    "craig": _of_gradients(craig),
    "gradmatch": _of_gradients(gradmatch),
    "glister": Method(select=_glister, needs=("gradients",)),
}


def imported(name: str, settings: Select) -> Method:
    """Returns the selection of an entry of `settings.imported`.

    Its scores or ids are read from `inputs.imported[name]`.
    """
    entry = settings.imported[name]

    def select(inputs, per_class):
        values = inputs.imported[name]
        if entry.subset:
            return values
        return top(values, inputs.labels, per_class, largest=entry.keep == "highest")

    return Method(select=select)
