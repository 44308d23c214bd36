"""Distillation methods: they synthesise images, or stitch them of real ones.

Each is declared in its own file, which names its source; `METHODS` lists them.

    METHODS["rded"].synthesise(task, entry) -> SyntheticSet
"""

from ddjax.distill import (
    cafe,
    cv_dd,
    datadam,
    dc,
    dm,
    dwa,
    edc,
    g_vbsm,
    idc,
    lpld,
    rded,
    sre2l,
)
from ddjax.distill.task import Method, Outline, SyntheticSet, Task, Teacher

METHODS: dict[str, Method] = {
    "ca2d": rded.CA2D,
    "cafe": cafe.CAFE,
    "cda": sre2l.CDA,
    "cv_dd": cv_dd.CV_DD,
    "datadam": datadam.DATADAM,
    "dc": dc.DC,
    "dm": dm.DM,
    "dsa": dc.DSA,
    "dwa": dwa.DWA,
    "edc": edc.EDC,
    "g_vbsm": g_vbsm.G_VBSM,
    "idc": idc.IDC,
    "lpld": lpld.LPLD,
    "pca": rded.PCA,
    "random_crops": rded.RANDOM_CROPS,
    "rded": rded.RDED,
    "sre2l": sre2l.SRE2L,
    "sre2lpp": sre2l.SRE2LPP,
}

__all__ = ["METHODS", "Method", "Outline", "SyntheticSet", "Task", "Teacher"]


def __dir__() -> list[str]:
    return __all__
