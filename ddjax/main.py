"""The program: a command is parsed, its config read and changed, and then run.

`ddjax ...` and `python -m ddjax ...` take the commands of `ddjax.command`, and
`python -m ddjax.main --config=CONFIG ...` is the same as `ddjax run CONFIG ...`.
"""

import os
import signal
import sys
import time
import traceback

import ddjax
from ddjax import command, config_files
from ddjax.command import Command
from ddjax.errors import InputError
from ddjax.settings import Settings, from_config, override

_GRACE_SECONDS = 2.0  # the first process ends so much later than it could


def run() -> None:
    """Runs the program; a wrong input ends it with one line and exit code 2."""
    arguments = sys.argv[1:]
    try:
        asked = command.parse(arguments)
        if asked.verb == "help":
            print(command.help_text())
        elif asked.verb == "version":
            print(f"ddjax {ddjax.__version__}")
        elif asked.verb == "list":
            _list(asked.argument)
        elif asked.verb == "show":
            _show(asked.argument)
        else:
            settings = _settings(asked)
            _configure()
            (_plan if asked.verb == "plan" else _run)(asked, settings)
    except InputError as error:
        if "--traceback" in arguments:
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # `ddjax list configs | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _settings(asked: Command) -> Settings:
    """Returns a command's settings: its config with its overrides."""
    config = config_files.load(asked.argument, asked.flags.get("data", ""))
    for key, text in asked.overrides:
        override(config, key, text)
    return from_config(config)


def _list(kind: str) -> None:
    from ddjax import catalogue

    if kind not in catalogue.KINDS:
        known = ", ".join(catalogue.KINDS)
        raise InputError(f"list: found {kind!r}, allowed is one of {known}")
    rows = catalogue.KINDS[kind]()
    width = max(map(len, rows))
    for name, says in rows.items():
        print(f"{name:<{width}}  {says}".rstrip())


def _show(name: str) -> None:
    from ddjax import explain

    print(explain.explain(name))


def _plan(asked: Command, settings: Settings) -> None:
    del asked
    from ddjax import experiment

    experiment.dry_run(settings)


def _run(asked: Command, settings: Settings) -> None:
    from ddjax import experiment, mesh, preemption
    from ddjax.joining import join

    try:
        join(asked.flags.get("distributed", "auto"))
        preemption.listen()  # behind `join`, which puts JAX's own handler there
        if not mesh.primary():
            sys.stdout = open(os.devnull, "w")
        workdir = asked.flags.get("workdir") or os.path.join("runs", settings.name)
        export = asked.flags.get("export")
        if export is True:
            export = os.path.join(workdir, "export")
        experiment.run(settings, workdir, export)
    except InputError as error:
        if not _several():
            raise
        _end(2, f"error: {error}")
    except preemption.Preempted:
        message = "Told to stop. All is saved; the same command resumes."
        _end(preemption.EXIT_CODE, message)
    except KeyboardInterrupt:
        signal.setitimer(signal.ITIMER_REAL, 0)
        _end(130, "\nInterrupted. What is finished is kept; the same command resumes.")
    except Exception:
        if not _several():
            raise
        import jax

        traceback.print_exc()
        _end(1, f"error: process {jax.process_index()} failed; the others end with it")


def _several() -> bool:
    import jax

    return jax.distributed.is_initialized()


def _end(code: int, message: str) -> None:
    """Ends the program, and with it the other processes of the run.

    At once: the devices' threads may still compute, and an orderly exit that takes
    their memory away has crashed; it would also wait for processes that wait for this.
    """
    from ddjax import mesh

    print(message, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    if _several() and mesh.primary():
        # The others end by themselves where all of them stop; the first one serves
        # them until then.
        time.sleep(_GRACE_SECONDS)
    os._exit(code)


def _configure() -> None:
    """Sets up JAX, logging and Ctrl-C, before anything is computed."""
    import jax
    from absl import logging

    from ddjax.interrupt import Interrupt

    logging.set_verbosity(logging.WARNING)  # Orbax tells every step of a save
    # Without an accelerator every core is a device, so that the `mesh` driver can
    # train a student on each.
    if "JAX_NUM_CPU_DEVICES" not in os.environ:
        jax.config.update("jax_num_cpu_devices", os.cpu_count() or 1)
    jax.config.update("jax_enable_preemption_service", False)  # SIGTERM is ours
    # In place of Python's own handler, and only of that one, asyncio puts another while
    # Orbax saves, and a Ctrl-C then is lost if the save ends before it is cancelled.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        Interrupt().listen()


if __name__ == "__main__":
    run()
