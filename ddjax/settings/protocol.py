"""How choices are made and repeated, and how members and devices are used."""

import dataclasses

from ddjax.declare import setting
from ddjax.declare.walk import require

DRIVERS = ("auto", "vmap", "loop", "mesh")
SPLITS = ("validation", "test")


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How choices are made and repeated."""

    seeds: tuple[int, ...] = setting(
        (0, 1, 2),
        "One student each.",
        "[0, 2147483647]",
        counts="[1, 1000]",
        each="once",
    )
    search_seeds: int = setting(
        1, "Seeds spent on choosing learning rates and windows.", "[1, 1000]"
    )
    resample: bool = setting(
        False,
        "Whether each seed draws its own pool and validation split and trains its own "
        "teachers, so that intervals include them; else all seeds share those of seed "
        "0. Each seed then tunes for itself, and keeps a pool in memory.",
    )
    select_on: str = setting(
        "validation",
        "The split that choices are made on; `test` only to reproduce papers that did "
        "so.",
        SPLITS,
    )
    widen: int = setting(
        3,
        "Learning rates that are tried beyond each end of learning_rates while the "
        "best so far lies there.",
        "[0, 20]",
    )
    tune_each: bool = setting(
        False,
        "Whether each selection has learning rates of its own; else all have those "
        "that random subsets do best with.",
    )
    curves: int = setting(
        0,
        "Points of a training at which train and test accuracy are measured, for the "
        "report's curves; nothing is chosen by them. 0: none.",
        "[0, 10000]",
    )

    def check(self, key: str) -> None:
        """Raises InputError where values do not fit each other."""
        require(
            self.search_seeds <= len(self.seeds),
            f"{key}.search_seeds",
            self.search_seeds,
            f"at most the {len(self.seeds)} of {key}.seeds",
        )
        require(
            not self.resample or self.search_seeds == 1,
            f"{key}.search_seeds",
            self.search_seeds,
            f"1 with {key}.resample, where each seed tunes for itself",
        )


@dataclasses.dataclass(frozen=True)
class Sweep:
    """How the member axis is run; changes speed, never results beyond float noise."""

    driver: str = setting("auto", "What runs the members.", DRIVERS)
    members: int = setting(
        8, "At most this many students in one compiled program.", "[1, 10000]"
    )
    checkpoint_seconds: float = setting(
        60.0, "Between saves inside a long group.", "(0, 1e6]"
    )


@dataclasses.dataclass(frozen=True)
class Mesh:
    """How devices are used; changes speed, never results beyond float noise."""

    data: int = setting(
        0, "Devices that share a batch, see ddjax.mesh.grid; 0: chosen.", "[0, 1000000]"
    )
