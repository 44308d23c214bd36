"""What a protocol is: the training of students that a paper or its code describes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ml_collections import ConfigDict

# The number of classes and whether images are grey -> settings as in `Protocol`.
Varies = Callable[[int, bool], Mapping[str, Any]]
# The images of the smallest set -> settings as in `Protocol`.
Sized = Callable[[int], Mapping[str, Any]]


def _nothing(*given: Any) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How students are trained on a set, by whatever method it came about.

    Attributes:
      meaning: one line, whose protocol and what marks it.
      source: the paper and the code that it follows.
      notes: what it leaves open and where we deviate: the docstring of its file.
      settings: key -> value of every setting that is not the default; a batch is at
        most the whole set.
      varies: settings that depend on the data.
      sized: settings that depend on the set.
      published: the rows of published.csv that it stands for, (protocol, labels,
        setting) in its columns of these names.
    """

    meaning: str
    source: str
    notes: str | None = None
    settings: Mapping[str, Any]
    varies: Varies = field(default=_nothing)
    sized: Sized = field(default=_nothing)
    published: tuple[tuple[str, str, str], ...] = ()

    def apply(self, config: ConfigDict, classes: int, grey: bool, ipc: int) -> None:
        """Sets what the protocol sets.

        Args:
          config: of `ddjax.settings.defaults`, changed or not.
          classes: their number.
          grey: whether images have one channel.
          ipc: the smallest budget, in images per class.
        """
        chosen = dict(self.settings) | dict(self.varies(classes, grey))
        chosen |= self.sized(ipc * classes)
        chosen["student.batch_size"] = min(chosen["student.batch_size"], ipc * classes)
        config.update_from_flattened_dict(chosen)

    def text(self) -> str:
        """Returns the protocol in words: meaning, settings, source and notes."""
        lines = [f"Protocol of {self.meaning}", *_lines(self.settings)]
        if varied := _lines(self.varies(1000, False)):
            lines += ["At 1,000 classes of colour images:", *varied]
        if sized := _lines(self.sized(100)):
            lines += ["With 100 images:", *sized]
        return "\n".join([*lines, f"Source: {self.source}", "", self.notes or ""])


def _lines(settings: Mapping[str, Any]) -> list[str]:
    return [f"  {key} = {value}" for key, value in settings.items()]
