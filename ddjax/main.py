"""The command line: flags -> config -> experiment.run(settings, workdir)."""

import gc
import os
import signal
import sys
import time
import traceback

import jax
from absl import app, flags, logging
from ml_collections import config_flags

from ddjax import experiment, mesh, preemption
from ddjax.errors import InputError
from ddjax.joining import join
from ddjax.settings import from_config

_AGAIN_SECONDS = 1.0  # from one try to interrupt the program to the next
_SOON_SECONDS = 0.01  # where it must wait for the garbage collector
_GRACE_SECONDS = 2.0  # the first process ends so much later than it could

_CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "Experiment, e.g. configs/cad_prune.py or configs/cad_prune.py:smoke.",
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder for artifacts and results; default runs/EXPERIMENT."
)
_DRY_RUN = flags.DEFINE_boolean(
    "dry_run", False, "Check the settings and print what a run costs; write nothing."
)
_DISTRIBUTED = flags.DEFINE_enum(
    "distributed",
    "auto",
    ["auto", "on", "off"],
    "Whether this is one of several processes of a run; auto: as the environment says.",
)
_TRACEBACK = flags.DEFINE_boolean(
    "traceback", False, "Show where in the code a wrong input was noticed."
)


def _parse(argv: list[str]) -> list[str]:
    """Parses flags; a wrong one ends the program with one line and exit code 2."""
    logging.set_verbosity(logging.ERROR)
    try:
        rest = flags.FLAGS(argv)
        if _CONFIG.value is None:
            raise flags.Error("--config: missing, e.g. --config=configs/cad_prune.py")
        _CONFIG.value.get("name")  # a file that was not read says so only when asked
        if len(rest) > 1:
            raise flags.Error(f"{rest[1]}: unknown argument, flags start with --")
        return rest
    except Exception as error:  # a config file may raise anything
        if "--traceback" in argv:
            raise
        message = " ".join(str(error).split())
        print(f"error: {message or type(error).__name__}", file=sys.stderr)
        sys.exit(2)


def _main(argv: list[str]) -> None:
    del argv
    logging.set_verbosity(logging.WARNING)  # Orbax tells every step of a save
    try:
        settings = from_config(_CONFIG.value)
        if _DRY_RUN.value:
            experiment.dry_run(settings)
            return
        join(_DISTRIBUTED.value)
        preemption.listen()  # behind `join`, which puts JAX's own handler there
        if not mesh.primary():
            sys.stdout = open(os.devnull, "w")
        workdir = _WORKDIR.value or os.path.join("runs", settings.name)
        experiment.run(settings, workdir)
    except InputError as error:
        if _TRACEBACK.value and not jax.distributed.is_initialized():
            raise
        _end(2, f"error: {error}")
    except preemption.Preempted:
        message = "Told to stop. All is saved; the same command resumes."
        _end(preemption.EXIT_CODE, message)
    except KeyboardInterrupt:
        signal.setitimer(signal.ITIMER_REAL, 0)
        _end(130, "\nInterrupted. What is finished is kept; the same command resumes.")
    except Exception:
        if not jax.distributed.is_initialized():
            raise
        traceback.print_exc()
        _end(1, f"error: process {jax.process_index()} failed; the others end with it")


def _end(code: int, message: str) -> None:
    """Ends the program, and with it the other processes of the run.

    At once: the devices' threads may still compute, and an orderly exit that takes
    their memory away has crashed; it would also wait for processes that wait for this.
    """
    print(message, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    if code == 2 and not jax.distributed.is_initialized():
        sys.exit(code)
    if jax.distributed.is_initialized() and mesh.primary():
        # The others end by themselves where all of them stop; the first one serves
        # them until then.
        time.sleep(_GRACE_SECONDS)
    os._exit(code)


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


def run() -> None:
    """Runs the program."""
    # Without an accelerator every core is a device, so that the `mesh` driver can
    # train a student on each.
    if "JAX_NUM_CPU_DEVICES" not in os.environ:
        jax.config.update("jax_num_cpu_devices", os.cpu_count() or 1)
    jax.config.update("jax_enable_preemption_service", False)  # SIGTERM is ours
    # In place of Python's own handler, and only of that one, asyncio puts another while
    # Orbax saves, and a Ctrl-C then is lost if the save ends before it is cancelled.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        Interrupt().listen()
    app.run(_main, flags_parser=_parse)


if __name__ == "__main__":
    run()
