"""Ctrl-C that is heard, whatever the program does at that moment."""

import gc
import signal

_AGAIN_SECONDS = 1.0  # from one try to interrupt the program to the next
_SOON_SECONDS = 0.01  # where it must wait for the garbage collector


class Interrupt:
    """Ends the program on Ctrl-C, and asks again until it is heard.

    What is raised while Python collects garbage, in a finaliser or in the callback that
    JAX has there, is dropped with a traceback on the console; so it waits for the end.
    """

    def __init__(self):
        self._collecting = False

    def listen(self) -> None:
        """Takes the place of Python's own handler."""
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
