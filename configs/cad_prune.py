"""CAD-Prune."""

from ddjax import settings

_METHODS = (
    "random",
    "el2n_easy",
    "el2n_hard",
    "el2n_best_window",
    "cad_prune",
    "facility_location",
    "cad_facility_location",
)


def get_config(variant: str = "digits"):
    config = settings.defaults()
    config.name = f"cad_prune_{variant}"
    config.select.methods = _METHODS
    config.student.network.convnet.depth = 2
    config.student.network.convnet.width = 32
    config.teacher.network.convnet.depth = 2
    config.augment.pad = 1
    config.augment.cutmix = 1.0
    if variant == "smoke":
        config.student.epochs = 10
        config.teacher.epochs = 2
        config.select.ipcs = (2, 5)
        config.protocol.seeds = (0, 1)
        config.student.learning_rates = (3e-3, 1e-2)
    return config
