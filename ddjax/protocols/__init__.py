"""Protocols of the literature: how students are trained on a set, one file a family.

A file declares protocols; a line of `PROTOCOLS` names each. `ddjax list protocols` and
the published numbers of a report read the declarations, and `configs/protocols/NAME.py`
applies one to a data set.
"""

from ddjax.protocols import (
    condensation,
    edc,
    frepo,
    g_vbsm,
    minimax,
    pca,
    rd3,
    rded,
    sre2l,
)
from ddjax.protocols.protocol import Protocol

PROTOCOLS: dict[str, Protocol] = {
    "cda": sre2l.CDA,
    "d4m": sre2l.D4M,
    "datm": condensation.DATM,
    "dc": condensation.DC,
    "dsa": condensation.DSA,
    "dwa": sre2l.DWA,
    "edc": edc.EDC,
    "frepo": frepo.FREPO,
    "g_vbsm": g_vbsm.G_VBSM,
    "hard_truths_small": condensation.HARD_TRUTHS,
    "hard_truths_small_soft": condensation.HARD_TRUTHS_SOFT,
    "idc": condensation.IDC,
    "minimax": minimax.MINIMAX,
    "mtt": condensation.MTT,
    "pca": pca.PCA,
    "rd3_cross": rd3.CROSS,
    "rd3_resnet18": rd3.RESNET18,
    "rded": rded.RDED,
    "sre2l": sre2l.SRE2L,
}

__all__ = ["PROTOCOLS", "Protocol"]


def __dir__() -> list[str]:
    return __all__
