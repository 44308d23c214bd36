"""Who is told of a training while it goes on."""


class Watch:
    """Is told, and does nothing; those who show or keep something override it."""

    def progress(self, steps: int) -> None:
        """Is told that so many member-steps were done."""

    def say(self, line: str) -> None:
        """Is told what a reader should know, such as that a checkpoint is damaged."""

    def at_most(self, count: int) -> int:
        """Returns how many of `count` steps may be done in one call."""
        return count

    def stepped(self, step: int, count: int, numbers: dict[str, float]) -> None:
        """Is told after every call.

        Args:
          step: steps that were done since the beginning.
          count: of them, those of the call.
          numbers: name -> what was measured.
        """
