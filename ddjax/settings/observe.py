"""Settings of what a run tells beside its results."""

import dataclasses

from ddjax.settings import checks


@dataclasses.dataclass(frozen=True)
class Observe:
    """Extras of `metrics.jsonl`, which a run always writes; results do not change."""

    tensorboard: bool = (
        False  # event files too; needs `pip install 'ddjax[tensorboard]'`
    )
    profile_steps: int = 0  # training steps to trace with jax.profiler; 0: none

    def __post_init__(self):
        checks.finite("observe.profile_steps", self.profile_steps, 0)
