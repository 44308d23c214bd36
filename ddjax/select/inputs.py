"""What a selection may look at."""

from __future__ import annotations

import dataclasses
import zlib
from typing import TYPE_CHECKING, Any

import jax

from ddjax.errors import InputError
from ddjax.scores import LastLayer, Trace

if TYPE_CHECKING:
    from ddjax.settings import Select

# What costs something to have; a method names those it needs.
NEEDS = ("traces", "soft_traces", "features", "gradients", "grand")


def _defaults() -> Select:
    # A selection without settings does without the packages that read them.
    from ddjax.settings import Select

    return Select()


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Inputs:
    """What a selection may look at: never the test set.

    One `Inputs` serves any number of selections.

    Attributes:
      key: typed PRNG key.
      labels: [N] int, classes 0..C-1.
      traces: the pool's scoring runs with hard labels, over which scores are averaged.
      soft_traces: those with the teacher's fixed labels.
      features: [N, D] float.
      gradients: of the last layer, for each example.
      held_out: the same of validation examples.
      held_out_labels: [M] int, theirs.
      grand: [N] float, `scores.grand`.
      imported: name of a selection from a file -> [N] scores, or ids.
      settings: readings of the literature.
    """

    key: jax.Array
    labels: Any
    traces: tuple[Trace, ...] = ()
    soft_traces: tuple[Trace, ...] = ()
    features: Any = None
    gradients: LastLayer | None = None
    held_out: LastLayer | None = None
    held_out_labels: Any = None
    grand: Any = None
    imported: dict[str, Any] = dataclasses.field(default_factory=dict)
    settings: Select = dataclasses.field(default_factory=_defaults)

    def require(self, need: str) -> Any:
        """Returns one of `NEEDS`; an InputError if it is not there."""
        found = getattr(self, need)
        if found is None or (isinstance(found, tuple) and not found):
            raise InputError(f"inputs.{need}: missing, but the selection needs it")
        return found

    def key_of(self, name: str) -> jax.Array:
        """Returns a key for a selection's own draws, independent of the others'."""
        return jax.random.fold_in(self.key, zlib.crc32(name.encode()))
