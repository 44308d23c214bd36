"""The parts of a report: where one cannot be made, the others are."""

import contextlib
from collections.abc import Iterator

from ddjax.preemption import Preempted


class Parts:
    """Takes note of the parts that failed.

    Attributes:
      missing: a sentence on each of them.
    """

    def __init__(self) -> None:
        self.missing: list[str] = []

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
            says = str(error).strip().partition("\n")[0]
            self.missing.append(
                f"{name} is missing: {says or 'it failed'} ({type(error).__name__})."
            )
