"""How the program ends: its exit codes, Ctrl-C, and SIGTERM, a scheduler's warning."""

import gc
import os
import signal
import threading
from types import FrameType

DONE = 0
DEFECT = 1
WRONG_INPUT = 2
INCOMPLETE = 3
SYSTEM = 74
STOPPED = 75
INTERRUPTED = 130
MEANINGS = {
    DONE: "done",
    DEFECT: "a defect of ddjax, with a traceback",
    WRONG_INPUT: "wrong input, found before anything was computed",
    INCOMPLETE: "all is computed, a part of the report is missing: a note names it",
    SYSTEM: "the system refused something, such as a full disk; run again to resume",
    STOPPED: "stopped by SIGTERM, all is saved; run again to resume",
    INTERRUPTED: "Ctrl-C; run again to resume",
}

_AGAIN_SECONDS = 1.0  # from one try to interrupt the program to the next
_SOON_SECONDS = 0.01  # where it must wait for the garbage collector
_REQUESTED = threading.Event()


def leave_at_once() -> None:
    """Lets Ctrl-C and SIGTERM end the program with one line, before it does anything.

    What ignores a signal, as in the background of a shell, goes on ignoring it.
    """
    usual = (signal.default_int_handler, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) in usual:
            signal.signal(number, _leave)


def _leave(signum: int, frame: FrameType | None) -> None:
    # Not an exception, which the modules that are being imported might catch.
    code = INTERRUPTED if signum == signal.SIGINT else STOPPED
    os.write(2, b"Stopped before anything was done; the same command begins.\n")
    os._exit(code)


class Interrupt:
    """Ends the program on Ctrl-C, and tries again until that succeeds.

    What is raised while Python collects garbage, in a finaliser or in the callback that
    JAX has there, is dropped with a traceback on the console; so it waits for the end.
    """

    def __init__(self):
        self._collecting = False

    def listen(self) -> None:
        """Takes the place of Python's own handler and of `leave_at_once`.

        In place of Python's own one, and only of that one, asyncio puts another while
        Orbax saves, and a Ctrl-C then is lost if the save ends before it is cancelled.
        """
        if signal.getsignal(signal.SIGINT) not in (signal.default_int_handler, _leave):
            return
        signal.signal(signal.SIGINT, self._handle)
        signal.signal(signal.SIGALRM, self._handle)
        gc.callbacks.insert(0, self._collects)  # before any other at the start
        gc.callbacks.append(self._has_collected)  # after any other at the end

    def _handle(self, signum, frame):
        seconds = _SOON_SECONDS if self._collecting else _AGAIN_SECONDS
        signal.setitimer(signal.ITIMER_REAL, seconds)
        if not self._collecting:
            raise KeyboardInterrupt

    def _collects(self, phase, info):
        if phase == "start":
            self._collecting = True

    def _has_collected(self, phase, info):
        if phase == "stop":
            self._collecting = False


class Preempted(Exception):
    """The run received SIGTERM and has saved what a resumed run needs."""


def listen() -> None:
    """Takes note of SIGTERM from now on, instead of ending at once."""
    signal.signal(signal.SIGTERM, lambda signum, frame: _REQUESTED.set())


def stop_requested() -> bool:
    """Whether this process received SIGTERM; others may not have yet."""
    return _REQUESTED.is_set()


def stop_if_requested() -> None:
    """Stops here if any process received SIGTERM; all processes must call it.

    Raises:
      Preempted: in all of them.
    """
    from ddjax import mesh  # imports JAX, which `leave_at_once` must not wait for

    (stop,) = mesh.most([stop_requested()])
    if stop:
        raise Preempted
