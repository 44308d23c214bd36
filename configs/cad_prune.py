"""CAD-Prune draft; docstring follows measurements."""

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
    config.augment.pad = 1
    config.augment.cutmix = 1.0
    config.sweep.driver = "mesh"
    for network in (config.student.network, config.teacher.network):
        network.convnet.depth = 2
        network.convnet.width = 32
    if variant == "digits":
        config.select.ipcs = (2, 5, 10)
        config.student.epochs = 100
        config.student.learning_rates = (3e-3, 1e-2, 3e-2, 1e-1)
        config.teacher.epochs = 30
    elif variant == "smoke":
        config.select.methods = ("random", "cad_prune", "facility_location")
        config.select.ipcs = (2,)
        config.student.epochs = 10
        config.student.learning_rates = (1e-2,)
        config.teacher.epochs = 2
        config.protocol.seeds = (0, 1)
    elif variant == "fashion_mnist":
        config.data.source = "fashion_mnist"
        config.data.image_size = 14
        config.data.pool = 7000
        config.data.validation = 1 / 7
        config.augment.flip = True
        for network in (config.student.network, config.teacher.network):
            network.convnet.depth = 3
        config.student.epochs = 150
        config.student.batch_size = 25
        config.select.ipcs = (10, 50)
        config.select.methods = (
            "random",
            "el2n_easy",
            "el2n_hard",
            "el2n_best_window",
            "forgetting_easy",
            "forgetting_hard",
            "cad_prune_true_prob",
            "cad_prune_el2n",
            "facility_location",
            "cad_facility_location",
        )
        config.teacher.batch_size = 50
        config.teacher.epochs = 30
    else:
        raise ValueError(
            f"variant {variant!r}: unknown, allowed are digits, fashion_mnist and smoke"
        )
    return config
