"""Settings of what a run records beside its results."""

import dataclasses

from ddjax.declare import setting


@dataclasses.dataclass(frozen=True)
class Observe:
    """Extras of `metrics.jsonl`, which a run always writes; results do not change."""

    tensorboard: bool = setting(
        False, "Event files too; needs `pip install 'ddjax[tensorboard]'`."
    )
    profile_steps: int = setting(
        0, "Training steps to trace with jax.profiler; 0: none.", "[0, 10000]"
    )
