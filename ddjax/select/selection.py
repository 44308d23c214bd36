"""What a selection declares of itself."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ddjax.scores import SCORES, Inputs, options_of


@dataclasses.dataclass(frozen=True, kw_only=True)
class Selection:
    """What a named selection declares of itself.

    A selection that searches has a subset for each of its starts; the caller trains
    students on each and picks one by validation accuracy (`best_window`).

    Attributes:
      function: the public function of arrays; its docstring begins with a line on the
        selection and names the source.
      title: its name for people.
      control: whether it is bad on purpose, so that a spread that has it in means
        little.
      claim: whether it is what a study tests that has no synthetic sets.
      summary: a line that stands for that one; "": none.
      key: the name of the key that `function` takes first, "" for none.
      score: the name in `scores.SCORES` of the score that it reads, "" for none.
      requires: which of `scores.REQUIREMENTS` it reads besides its score.
      options: the class of its options, a frozen dataclass of `declare.setting`; None
        without any. The section of the settings has the name of the selection.
      choose: (inputs, per_class) -> sorted int32 ids; with a score its values [N] come
        third, and what searches has the start as its last argument. None: `function`
        of the key, the values, what it requires, the labels and per_class in this
        order, of those that there are, then the start or, by their names, the options.
      own: options that take the place of the inputs', of a variant.
      starts: options -> what a search tries; None: it does not search.
      check: (options, ipcs, images of the smallest class); raises InputError, before
        any compute, where these do not fit each other.
    """

    function: Callable[..., np.ndarray]
    title: str
    control: bool = False
    claim: bool = False
    summary: str = ""
    key: str = ""
    score: str = ""
    requires: tuple[str, ...] = ()
    options: type | None = None
    choose: Callable[..., np.ndarray] | None = None
    own: tuple[Any, ...] = ()
    starts: Callable[[Any], tuple[float, ...]] | None = None
    check: Callable[[Any, Sequence[int], int], None] | None = None

    @property
    def searches(self) -> bool:
        """Whether the caller has to choose among candidates."""
        return self.starts is not None

    @property
    def requirements(self) -> tuple[str, ...]:
        """Which of `scores.REQUIREMENTS` it and its score read."""
        by_score = SCORES[self.score].requires if self.score else ()
        return tuple(dict.fromkeys((*by_score, *self.requires)))

    def tried(self, options: Iterable[Any] = ()) -> tuple[float, ...]:
        """Returns the starts that a search tries, () of what does not search.

        Args:
          options: as of `scores.Inputs`.
        """
        if not self.starts:
            return ()
        options = (*self.own, *options)
        return self.starts(self.options and options_of(options, self.options))

    def select(self, inputs: Inputs, per_class: int) -> np.ndarray:
        """Returns the sorted int32 ids of a selection that does not search.

        Raises:
          InputError: a requirement is missing, or see `function`.
        """
        inputs = self._given(inputs)
        return self._choose(inputs, per_class, self.values(inputs))

    def candidates(self, inputs: Inputs, per_class: int) -> dict[float, np.ndarray]:
        """Returns {start: ids} of a selection that searches; else as `select`."""
        inputs = self._given(inputs)
        values = self.values(inputs)
        return {
            start: self._choose(inputs, per_class, values, start)
            for start in self.tried(inputs.options)
        }

    def values(self, inputs: Inputs) -> tuple[np.ndarray, ...]:
        """Returns the score that it reads, [N], in a tuple; () without one."""
        return (SCORES[self.score].of(self._given(inputs)),) if self.score else ()

    def _given(self, inputs: Inputs) -> Inputs:
        """Returns the inputs with its own options first."""
        options = (*self.own, *inputs.options)
        return dataclasses.replace(inputs, options=options) if self.own else inputs

    def _choose(self, inputs, per_class, values, *start):
        if self.choose:
            return self.choose(inputs, per_class, *values, *start)
        key = (inputs.key_of(self.key),) if self.key else ()
        required = [inputs.require(name) for name in self.requires]
        named = {}
        if self.options and not self.starts:
            named = dataclasses.asdict(inputs.options_of(self.options))
        return self.function(
            *key, *values, *required, inputs.labels, per_class, *start, **named
        )
