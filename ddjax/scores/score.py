"""What a score declares of itself, and what scores and selections are computed from."""

import dataclasses
import inspect
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import jax
import numpy as np

from ddjax.errors import InputError
from ddjax.scores.trace import Trace

if TYPE_CHECKING:
    from ddjax.scores.gradients import LastLayer

# What costs something to have; a score or selection names those that it requires.
REQUIREMENTS = ("traces", "soft_traces", "features", "gradients", "grand")
SNAPSHOTS = 9  # of a trace, for scores that declare no other number

_Options = TypeVar("_Options")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Inputs:
    """What scores and selections are computed from: never the test set.

    One `Inputs` serves any number of scores and selections.

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
      options: of scores and selections, such as `CadOptions(span=6)`; what is not here
        has its defaults.
    """

    key: jax.Array
    labels: Any
    traces: tuple[Trace, ...] = ()
    soft_traces: tuple[Trace, ...] = ()
    features: Any = None
    gradients: "LastLayer | None" = None
    held_out: "LastLayer | None" = None
    held_out_labels: Any = None
    grand: Any = None
    imported: dict[str, Any] = dataclasses.field(default_factory=dict)
    options: tuple[Any, ...] = ()

    def require(self, name: str) -> Any:
        """Returns one of `REQUIREMENTS`; an InputError if it is not there."""
        found = getattr(self, name)
        if found is None or (isinstance(found, tuple) and not found):
            raise InputError(f"inputs.{name}: missing, but the method requires it")
        return found

    def options_of(self, kind: type[_Options]) -> _Options:
        """Returns the options of a class, or its defaults."""
        return options_of(self.options, kind)

    def key_of(self, name: str) -> jax.Array:
        """Returns a key for draws of a name, independent of those of other names."""
        return jax.random.fold_in(self.key, zlib.crc32(name.encode()))


def options_of(options: Iterable[Any], kind: type[_Options]) -> _Options:
    """Returns the options of a class among those of others, or its defaults."""
    return next((each for each in options if isinstance(each, kind)), kind())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Score:
    """What a named score declares of itself.

    Attributes:
      function: the public function of arrays; its docstring begins with a line on the
        score and names the source.
      title: its name for people.
      requires: which of `REQUIREMENTS` it reads.
      options: the class of its options, a frozen dataclass of `declare.setting`; None
        without any.
      of_trace: (trace, options) -> [N], of scores that are averaged over traces; None:
        `function` of the trace and, by their names, the options.
      of_inputs: inputs -> [N], of all other scores.
      snapshots: options (None without any) -> snapshots that its traces should have.
    """

    function: Callable[..., np.ndarray]
    title: str
    requires: tuple[str, ...] = ("traces",)
    options: type | None = None
    of_trace: Callable[[Trace, Any], np.ndarray] | None = None
    of_inputs: Callable[[Inputs], np.ndarray] | None = None
    snapshots: Callable[[Any], int] = lambda options: SNAPSHOTS

    @property
    def summary(self) -> str:
        """The first line of the function's docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    def of(self, inputs: Inputs) -> np.ndarray:
        """Returns the score, [N] float32, higher = harder or more uncertain.

        Raises:
          InputError: a requirement is missing, or see the score.
        """
        if self.of_inputs:
            return self.of_inputs(inputs)
        options = self.options and inputs.options_of(self.options)
        named: dict[str, Any] = dataclasses.asdict(options) if options else {}

        def of_trace(trace):
            if self.of_trace:
                return self.of_trace(trace, options)
            return self.function(trace, **named)

        (name,) = self.requires
        return mean_over_runs(of_trace, inputs.require(name))


def mean_over_runs(
    score: Callable[[Trace], np.ndarray], traces: Sequence[Trace]
) -> np.ndarray:
    """The mean of a score over runs that differ in their seed only.

    Args:
      score: of one trace, such as `el2n`, or a partial application of it.
      traces: one or more, of the same N examples.

    Returns:
      [N] float32; infinite where a run's score is.

    Raises:
      InputError: there is no trace, or they differ in N.

    Source: mansheej/data_diet averages ten runs; mtoneva/example_forgetting sums over
    runs, which gives the same order.
    """
    if not traces:
        raise InputError("traces: none, expected at least one")
    sizes = [trace.num_examples for trace in traces]
    if len(set(sizes)) > 1:
        raise InputError(f"traces: of {sizes} examples, expected all to be of the same")
    total_N = np.zeros(sizes[0])
    for trace in traces:
        total_N += score(trace)
    return (total_N / len(traces)).astype(np.float32)
