"""From scores or features and a budget to example ids.

Every selection returns sorted int32 example ids, which are positions in `labels`.
`METHODS` maps the names that configs use to the selections.
"""

from ddjax.select.facility_location import facility_location
from ddjax.select.k_center import k_center
from ddjax.select.methods import METHODS, Inputs, Method, Settings, snapshots_needed
from ddjax.select.random import random
from ddjax.select.ranking import best_window, top, window

__all__ = [
    "METHODS",
    "Inputs",
    "Method",
    "Settings",
    "best_window",
    "facility_location",
    "k_center",
    "random",
    "snapshots_needed",
    "top",
    "window",
]
