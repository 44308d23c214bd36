"""The console: output may be lost, but no failure of it stops a computation."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any


class Console:
    """A stream of text whose reader may go away, or read fewer characters.

    What its encoding lacks is printed as "?". Once a write fails, as behind
    `| head -1`, at a full disk or where the terminal was closed, the rest is dropped.
    """

    def __init__(self, stream: Any):
        self._stream = stream

    def write(self, text: str) -> int:
        encoding = getattr(self._stream, "encoding", None)
        with self._may_be_lost():
            if encoding:
                self._stream.write(text.encode(encoding, "replace").decode(encoding))
            else:
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._may_be_lost():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextlib.contextmanager
    def _may_be_lost(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError):  # the latter where it is closed
            try:
                # What the stream still holds must go somewhere, at the latest at the
                # end of the program.
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._stream.fileno())
                os.close(nowhere)
            except (OSError, ValueError):  # no file is behind it
                self._stream = _Nowhere()


class _Nowhere:
    """Takes text and keeps none."""

    encoding = None

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        """Has nothing to do."""

    def isatty(self) -> bool:
        return False


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Surrounds a program, so that it goes on when its console fails."""
    for number in range(3):  # where one is closed, the next file would take its place
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = map(_console, before)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before


def _console(stream: Any) -> Any:
    if isinstance(stream, Console):
        return stream
    if stream is None:  # it was closed when Python began
        stream = _Nowhere()
    return Console(stream)


def shown_path(path: str | os.PathLike) -> str:
    """Returns a path relative to the current folder, while that is there."""
    try:
        return os.path.relpath(path)
    except OSError:
        return os.fspath(path)
