"""From scores or features and a budget to example ids.

Every selection returns sorted int32 example ids, which are positions in `labels`.
`METHODS` maps the names that configs use to the selections, `SCORES` those of the
difficulties that they go by.
"""

from ddjax.select.beta import beta
from ddjax.select.bws import bws
from ddjax.select.ccs import ccs
from ddjax.select.craig import craig
from ddjax.select.d2 import d2
from ddjax.select.difficulty import SCORES, Score, snapshots_needed
from ddjax.select.facility_location import facility_location
from ddjax.select.glister import glister
from ddjax.select.gradmatch import gradmatch
from ddjax.select.graph_cut import graph_cut
from ddjax.select.herding import herding
from ddjax.select.inputs import NEEDS, Inputs
from ddjax.select.k_center import k_center
from ddjax.select.methods import METHODS, Method, imported
from ddjax.select.random import random
from ddjax.select.ranking import best_window, top, window
from ddjax.select.stratified import stratified

__all__ = [
    "METHODS",
    "NEEDS",
    "SCORES",
    "Inputs",
    "Method",
    "Score",
    "best_window",
    "beta",
    "bws",
    "ccs",
    "craig",
    "d2",
    "facility_location",
    "glister",
    "gradmatch",
    "graph_cut",
    "herding",
    "imported",
    "k_center",
    "random",
    "snapshots_needed",
    "stratified",
    "top",
    "window",
]


def __dir__() -> list[str]:
    return __all__
