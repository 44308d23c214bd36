"""Distillation methods: they synthesise images, or stitch them of real ones.

Each is declared in its own file, which names its source; `METHODS` lists them.

    METHODS["rded"].synthesise(task, entry) -> SyntheticSet
"""

from ddjax.distill import (
    cafe,
    centroids,
    cim,
    cv_dd,
    datadam,
    datm,
    dc,
    delt,
    dm,
    dwa,
    edc,
    fadrm,
    frepo,
    g_vbsm,
    idc,
    lpld,
    mtt,
    rded,
    sre2l,
    tesla,
)
from ddjax.distill.task import Method, Outline, SyntheticSet, Task, Teacher

METHODS: dict[str, Method] = {
    "ca2d": rded.CA2D,
    "cafe": cafe.CAFE,
    "cda": sre2l.CDA,
    "centroids": centroids.CENTROIDS,
    "cim": cim.CIM,
    "cv_dd": cv_dd.CV_DD,
    "datadam": datadam.DATADAM,
    "datm": datm.DATM,
    "dc": dc.DC,
    "delt": delt.DELT,
    "dm": dm.DM,
    "dsa": dc.DSA,
    "dwa": dwa.DWA,
    "edc": edc.EDC,
    "fadrm": fadrm.FADRM,
    "frepo": frepo.FREPO,
    "g_vbsm": g_vbsm.G_VBSM,
    "idc": idc.IDC,
    "lpld": lpld.LPLD,
    "mtt": mtt.MTT,
    "pca": rded.PCA,
    "random_crops": rded.RANDOM_CROPS,
    "rded": rded.RDED,
    "sre2l": sre2l.SRE2L,
    "sre2lpp": sre2l.SRE2LPP,
    "tesla": tesla.TESLA,
}

__all__ = ["METHODS", "Method", "Outline", "SyntheticSet", "Task", "Teacher"]


def __dir__() -> list[str]:
    return __all__
