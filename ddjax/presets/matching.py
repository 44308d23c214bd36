"""Learned sets on small images: how few iterations two CPU cores can do."""

from ml_collections import ConfigDict

from ddjax import settings
from ddjax.distill import METHODS

# A tenth of the authors' iterations, or fewer.
_FEW = {
    "dm": {"iterations": 2000},
    "datadam": {"iterations": 2000},
    "cafe": {"iterations": 100},
    "dc": {"iterations": 100},
    "dsa": {"iterations": 100},
    "idc": {"iterations": 20, "rounds": 20},
    "mtt": {"iterations": 500, "steps": 20},
    "tesla": {"iterations": 500, "steps": 20},
    "datm": {"iterations": 500, "steps": 20, "max_start": 10},
    "frepo": {"iterations": 2000, "learning_rate": 3e-3},
}
LEARNED = tuple(_FEW)
_REAL, _BATCH, _RATE = 64, 64, 1.0


def learned(config: ConfigDict, names: tuple[str, ...], sets: int) -> None:
    """Adds synthetic sets that are learned, for images of 8 or 14 pixels.

    Methods that compare with real images take 64 of a class; those that match
    trajectories learn images at a rate of 1, where their authors' 100 for 32 pixels
    learned nothing on digits.

    Args:
      config: of an experiment.
      names: of `LEARNED`.
      sets: of each.
    """
    for name in names:
        settings.add_distillation(config, name)
        entry = config.distill[name]
        entry.sets = sets
        entry[name].update(_FEW[name])
        if "real" in entry[name] and name != "frepo":
            entry[name].real = _REAL
        if METHODS[name].uses_experts:
            entry.experts.batch_size = _BATCH
            entry[name].learning_rate = _RATE
