"""Being told to stop, by SIGTERM, as schedulers do before they take a machine away."""

import signal
import threading

from ddjax import mesh

_TOLD = threading.Event()


class Preempted(Exception):
    """The run was told to stop and has saved what it needs to go on."""


def listen() -> None:
    """Takes note of SIGTERM from now on, instead of ending at once."""
    signal.signal(signal.SIGTERM, lambda signum, frame: _TOLD.set())


def told() -> bool:
    """Whether this process was told to stop; others may not have been yet."""
    return _TOLD.is_set()


def heed() -> None:
    """Stops here if any process was told to; all processes must ask.

    Raises:
      Preempted: in all of them.
    """
    (stop,) = mesh.most([told()])
    if stop:
        raise Preempted
