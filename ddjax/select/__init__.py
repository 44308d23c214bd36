"""From scores or features and a budget to example ids.

Every selection returns sorted int32 example ids, which are positions in `labels`.
`METHODS` maps the names that configs use to what the selections declare of themselves;
`DEFAULT` is the one to take without a study of one's own: on every data set that was
tried it was ahead of random under hard labels (results/README.md). It is ours.
"""

from ddjax.scores import SCORES, Inputs
from ddjax.select.beta import DUAL_BETA, beta
from ddjax.select.bws import BWS, bws
from ddjax.select.craig import CRAIG, craig
from ddjax.select.d2 import D2, d2
from ddjax.select.facility_location import (
    CAD_FACILITY_LOCATION,
    FACILITY_LOCATION,
    facility_location,
)
from ddjax.select.glister import GLISTER, glister
from ddjax.select.gradmatch import GRADMATCH, gradmatch
from ddjax.select.graph_cut import GRAPH_CUT, graph_cut
from ddjax.select.herding import CAD_HERDING, HERDING, herding
from ddjax.select.k_center import K_CENTER, k_center
from ddjax.select.k_means import K_MEANS, k_means
from ddjax.select.random import RANDOM, random
from ddjax.select.ranking import (
    EL2N_BEST_WINDOW,
    best_window,
    cad_prune,
    hardest,
    highest,
    imported,
    lowest,
    top,
    window,
)
from ddjax.select.selection import Selection
from ddjax.select.strata import CCS, EL2N_STRATIFIED, ccs, stratified

METHODS = {
    "random": RANDOM,
    "el2n_easy": lowest("el2n"),
    "el2n_hard": hardest("el2n"),
    "el2n_best_window": EL2N_BEST_WINDOW,
    "el2n_stratified": EL2N_STRATIFIED,
    "el2n_sl_easy": lowest("el2n_sl"),
    "el2n_sl_hard": hardest("el2n_sl"),
    "forgetting_easy": lowest("forgetting"),
    "forgetting_hard": hardest("forgetting"),
    "aum_easy": lowest("aum"),
    "aum_hard": hardest("aum"),
    "entropy": hardest("entropy"),
    "least_confidence": hardest("least_confidence"),
    "margin": hardest("margin"),
    "dyn_unc": highest("dyn_unc"),
    "tdds": highest("tdds"),
    "dual": highest("dual"),
    "dual_beta": DUAL_BETA,
    "cad_prune": cad_prune("cad"),
    "cad_prune_true_prob": cad_prune("cad_true_prob"),
    "cad_prune_el2n": cad_prune("cad_el2n"),
    "ccs": CCS,
    "bws": BWS,
    "grand_easy": lowest("grand"),
    "grand_hard": hardest("grand"),
    "grand_last_layer_easy": lowest("grand_last_layer"),
    "grand_last_layer_hard": hardest("grand_last_layer"),
    "k_center": K_CENTER,
    "k_means": K_MEANS,
    "herding": HERDING,
    "cad_herding": CAD_HERDING,
    "graph_cut": GRAPH_CUT,
    "facility_location": FACILITY_LOCATION,
    "cad_facility_location": CAD_FACILITY_LOCATION,
    "prototypes_easy": lowest("prototypes"),
    "prototypes_hard": hardest("prototypes"),
    "d2": D2,
    "craig": CRAIG,
    "gradmatch": GRADMATCH,
    "glister": GLISTER,
}

DEFAULT = "cad_facility_location"

__all__ = [
    "DEFAULT",
    "METHODS",
    "Inputs",
    "Selection",
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
    "k_means",
    "options",
    "random",
    "stratified",
    "top",
    "window",
]


def options() -> dict[str, type]:
    """Returns the classes of options by the section of the settings that holds them.

    A section has the name of the first score or selection that declares its class.
    """
    found: dict[str, type] = {}
    for name, declared in [*SCORES.items(), *METHODS.items()]:
        if declared.options and declared.options not in found.values():
            found[name] = declared.options
    return found


def __dir__() -> list[str]:
    return __all__
