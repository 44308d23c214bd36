"""The console: output may be lost, but no failure of it stops a computation."""

import contextlib
import os
import shutil
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

_WIDEST = 100  # columns that are good to read
_NARROWEST = 20  # that text has beside its indent
# What is printed for a character that an encoding lacks, if not "?".
_PLAIN = {"−": "-", "–": "-", "±": "+-", "…": "...", "×": "x", "\xa0": " "}


class Console:
    """A stream of text whose reader may go away, or read fewer characters.

    What its encoding lacks is printed by plainer characters, or as "?". Once a write
    fails, as behind `| head -1`, at a full disk or where the terminal was closed, the
    rest is dropped.
    """

    def __init__(self, stream: Any):
        self._stream = stream

    def write(self, text: str) -> int:
        encoding = getattr(self._stream, "encoding", None)
        with self._may_be_lost():
            if encoding:
                self._stream.write(_encodable(text, encoding))
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


def _encodable(text: str, encoding: str) -> str:
    for character in _PLAIN.keys() & set(text):
        try:
            character.encode(encoding)
        except UnicodeEncodeError:
            text = text.replace(character, _PLAIN[character])
    return text.encode(encoding, "replace").decode(encoding)


def is_terminal() -> bool:
    """Whether somebody reads standard output in a terminal."""
    try:
        return sys.stdout.isatty()
    except ValueError:  # it is closed
        return False


def styled() -> bool:
    """Whether text may be bold: in a terminal, or where FORCE_COLOR is set.

    NO_COLOR forbids it (no-color.org), and so does a terminal without styles.
    """
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR", "0") != "0":
        return True
    return is_terminal() and os.environ.get("TERM") != "dumb"


def bold(text: str) -> str:
    """Returns text that a terminal shows bold, where that is `styled`."""
    return f"\x1b[1m{text}\x1b[0m" if styled() and text else text


def width() -> int | None:
    """Returns how many columns a terminal has, None without one."""
    return shutil.get_terminal_size().columns if is_terminal() else None


def wrapped(text: str, indent: int = 0, first: int | None = None) -> str:
    """Returns text as lines that fit a terminal, and as it is elsewhere.

    Args:
      text: its lines are paragraphs.
      indent: spaces in front of lines.
      first: those in front of the first line; None: as many.
    """
    columns, starts = width(), [" " * (indent if first is None else first)]
    starts += [" " * indent] * text.count("\n")
    lines = zip(starts, text.split("\n"), strict=True)
    if columns is None:
        return "\n".join(start + line for start, line in lines)
    columns = max(min(columns, _WIDEST), indent + _NARROWEST)
    return "\n".join(
        textwrap.fill(
            line,
            columns,
            initial_indent=start,
            subsequent_indent=" " * indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for start, line in lines
    )


def shown_path(path: str | os.PathLike) -> str:
    """Returns a path relative to the current folder, while that is there."""
    try:
        return os.path.relpath(path)
    except OSError:
        return os.fspath(path)
