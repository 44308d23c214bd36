"""What methods share that learn images through networks whose weights are drawn anew.

`options` are the settings that all of them have, `loop` runs the iterations of a set
and resumes after a stop. `real` draws real images of every class, `siamese` shows real
and synthetic images under one augmentation, `distances` are minimised. `inner` trains
networks on the set in between, `pool` keeps several that are, `experts` are
trajectories of trained ones, and `regression` predicts by the ridge.
"""

__all__: list[str] = []


def __dir__() -> list[str]:
    return __all__
