"""The parts of a report: where one cannot be made, the others are."""

import contextlib
from collections.abc import Iterator

from ddjax.process.ending import Preempted

_NAMED = 3  # parts that a sentence names


class Parts:
    """Takes note of the parts that failed."""

    def __init__(self) -> None:
        self._failed: dict[str, list[str]] = {}  # why -> which

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Surrounds the making of a part; all that was computed is there already.

        Args:
          name: what to call it, such as "figures/gap.png".
        """
        try:
            yield
        except Preempted:
            raise
        # Whatever it is: a library that stumbles over a name, a full disk.
        except Exception as error:
            self._failed.setdefault(_reason(error), []).append(name)

    @property
    def missing(self) -> list[str]:
        """A sentence for every reason why parts are missing."""
        return [
            f"Missing in the report: {_listed(names)}; {reason}. The same command "
            "writes what is missing."
            for reason, names in self._failed.items()
        ]


def _reason(error: BaseException) -> str:
    if isinstance(error.__cause__, OSError):
        error = error.__cause__
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    says = str(error).strip().partition("\n")[0].rstrip(".")
    return f"{says or 'it failed'} ({type(error).__name__})"


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMED
    shown = ", ".join(names[:_NAMED])
    return f"{shown} and {more} more" if more > 0 else shown
