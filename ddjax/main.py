"""The program: a command is parsed, its config read and changed, and then run.

`ddjax ...` and `python -m ddjax ...` take the commands of `ddjax.cli.command`, and
`python -m ddjax.main --config=CONFIG ...` is the same as `ddjax run CONFIG ...`.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any

from ddjax.process import ending

if TYPE_CHECKING:
    from ddjax.cli.command import Command
    from ddjax.settings import Settings

_GRACE_SECONDS = 2.0  # the first process ends so much later than it could


def run() -> None:
    """Runs the program; a wrong input ends it with one line and exit code 2."""
    ending.leave_at_once()  # before all imports that take a while
    from ddjax.process import console

    with console.kept():
        _execute(sys.argv[1:])


def _execute(arguments: list[str]) -> None:
    import ddjax
    from ddjax.cli import command
    from ddjax.errors import InputError
    from ddjax.process import switches

    aside = switches.set_aside()  # before JAX is imported, as settings do
    try:
        parsed = command.parse(arguments)
        if parsed.verb == "help":
            print(command.help_text())
        elif parsed.verb == "version":
            print(f"ddjax {ddjax.__version__}")
        elif parsed.verb == "list":
            _list(parsed.argument)
        elif parsed.verb == "show":
            from ddjax.cli import explain

            print(explain.explain(parsed.argument))
        elif parsed.verb == "report":
            folders = [parsed.argument, *parsed.more]
            _report(folders, linked=parsed.flags.get("link", False))
        elif parsed.verb == "compare":
            _compare(parsed)
        elif parsed.verb == "leaderboard":
            _leaderboard(parsed)
        else:
            _configure(aside)
            settings = _settings(parsed)
            if parsed.verb == "plan":
                _plan(settings)
            else:
                _run(parsed, settings)
    except InputError as error:
        if "--traceback" in arguments:
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(ending.WRONG_INPUT)
    except OSError as error:
        if "--traceback" in arguments:
            raise
        print(_refused(error), file=sys.stderr)
        sys.exit(ending.SYSTEM)


def _refused(error: OSError) -> str:
    """Returns a line on what the operating system refused."""
    where = f"{error.filename}: " if error.filename else ""
    reason = error.strerror or str(error).partition("\n")[0] or type(error).__name__
    return (
        f"error: {where}{reason}. What is finished is kept; once there is room or "
        "access, the same command resumes."
    )


def _settings(parsed: Command) -> Settings:
    """Returns a command's settings: its config with its overrides."""
    from ddjax.cli import config_files
    from ddjax.settings import from_config, override

    config = config_files.load(parsed.argument, parsed.flags.get("data", ""))
    for key, text in parsed.overrides:
        override(config, key, text)
    return from_config(config)


def _list(kind: str) -> None:
    from ddjax.cli import catalogue

    rows = catalogue.rows(kind)
    width = max(map(len, rows))
    for name, line in rows.items():
        print(f"{name:<{width}}  {line}".rstrip())


def _report(folders: list[str], linked: bool) -> None:
    from ddjax import report
    from ddjax.process.console import shown_path

    for folder in folders:
        page = report.render(folder, embed=not linked)
        print(f"report: {shown_path(page)}")


def _compare(parsed: Command) -> None:
    from ddjax.process.console import shown_path
    from ddjax.report import compare, comparison_page

    runs = compare.read([parsed.argument, *parsed.more])
    compared = compare.table(runs)
    print(comparison_page.console_text(runs, compared))
    if out := parsed.flags.get("out"):
        for path in comparison_page.write(out, runs, compared):
            print(f"written: {shown_path(path)}")


def _leaderboard(parsed: Command) -> None:
    from ddjax.errors import named
    from ddjax.process.console import shown_path
    from ddjax.report import augmentations, leaderboard, leaderboard_page, ranking
    from ddjax.report.setups import setups

    flags = parsed.flags
    weights = flags.get("w", ranking.WEIGHT), flags.get("gamma", ranking.WEIGHT)
    with named("", **{name: f"--{name}" for name in ("w", "gamma", "quirks")}):
        quirks = ranking.Quirks.of(flags.get("quirks", ""))
        runs = leaderboard.read([parsed.argument, *parsed.more])
        found = leaderboard.entries(runs, *weights, quirks)
    ranked = leaderboard.table(found, *weights)
    measured = augmentations.table(setups(runs, quirks.best_on_test))
    print(leaderboard_page.console_text(found, ranked, measured, quirks))
    if out := flags.get("out"):
        written = leaderboard_page.write(out, found, ranked, measured, quirks)
        for path in written:
            print(f"written: {shown_path(path)}")


def _plan(settings: Settings) -> None:
    from ddjax import plan

    _start_devices()
    plan.show(settings)


def _run(parsed: Command, settings: Settings) -> None:
    from ddjax import mesh, pipeline
    from ddjax.errors import InputError
    from ddjax.process.joining import join

    try:
        join(parsed.flags.get("distributed", "auto"))
        _start_devices()
        ending.listen()  # behind `join`, which puts JAX's own handler there
        ending.Interrupt().listen()
        if not mesh.primary():
            sys.stdout = open(os.devnull, "w")
        workdir = parsed.flags.get("workdir") or os.path.join("runs", settings.name)
        export = parsed.flags.get("export")
        if export is True:
            export = os.path.join(workdir, "export")
        summary = pipeline.run(settings, workdir, export)
        missing = summary.attrs.get("missing")
    except InputError as error:
        if not _several():
            raise
        _end(ending.WRONG_INPUT, f"error: {error}")
    except ending.Preempted:
        message = "Stopped by SIGTERM. All is saved; the same command resumes."
        _end(ending.STOPPED, message)
    except KeyboardInterrupt:
        signal.setitimer(signal.ITIMER_REAL, 0)
        message = "\nInterrupted. What is finished is kept; the same command resumes."
        _end(ending.INTERRUPTED, message)
    except OSError as error:
        if not _several():
            raise
        _end(ending.SYSTEM, _refused(error))
    except Exception:
        if not _several():
            raise
        import jax

        traceback.print_exc()
        message = f"error: process {jax.process_index()} failed; the others end with it"
        _end(ending.DEFECT, message)
    if missing:
        sys.exit(ending.INCOMPLETE)


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


def _configure(aside: list[str]) -> None:
    """Sets up JAX and logging, before anything is computed.

    Args:
      aside: of `switches.set_aside`.
    """
    from ddjax.errors import InputError
    from ddjax.process import cache, switches

    for name in aside:
        print(
            f"note: {name} is set aside, so that it changes no result", file=sys.stderr
        )
    try:
        import jax
    except ValueError as error:  # a variable that it cannot read
        raise InputError(f"environment: {error}") from error
    switches.check()
    from absl import logging

    # Orbax logs every step of a save, and the errors that it raises as well. Where one
    # ends a save, TensorStore's threads find their event loop closed.
    logging.set_verbosity(logging.FATAL)
    sys.excepthook = _print_unless_late
    sys.unraisablehook = _print_unraisable_unless_late
    # Without an accelerator every core is a device, so that the `mesh` driver can
    # train a student on each.
    count = os.environ.get("JAX_NUM_CPU_DEVICES")
    if count is not None and (not count.isdigit() or int(count) < 1):
        raise InputError(
            f"JAX_NUM_CPU_DEVICES: found {count!r}, allowed is an integer from 1 on"
        )
    if count is None:
        jax.config.update("jax_num_cpu_devices", os.cpu_count() or 1)
    jax.config.update("jax_enable_preemption_service", False)  # SIGTERM is ours
    cache.keep()


def _print_unless_late(kind: type, error: BaseException, trace: Any) -> None:
    """Prints an exception that nobody caught, but not that of a closed event loop."""
    if not _is_late(error):
        sys.__excepthook__(kind, error, trace)


def _print_unraisable_unless_late(found: Any) -> None:
    """Prints an exception that nobody could catch, but not that of an event loop."""
    if not _is_late(found.exc_value):
        sys.__unraisablehook__(found)


def _is_late(error: BaseException | None) -> bool:
    return type(error) is RuntimeError and str(error) == "Event loop is closed"


def _start_devices() -> None:
    """Finds the devices, which JAX does at the first call.

    Raises:
      InputError: there are none of the kind that the environment names.
    """
    import jax

    from ddjax.errors import InputError

    try:
        jax.devices()
    except Exception as error:  # an AssertionError, where a plugin is missing
        chosen = os.environ.get("JAX_PLATFORMS", "")
        reason = str(error).partition("\n")[0] or "no such device"
        raise InputError(
            f"JAX_PLATFORMS: found {chosen!r}, with which JAX finds no device "
            f"({reason}); allowed are platforms that this machine has, such as cpu, or "
            "that it is not set"
        ) from error


if __name__ == "__main__":
    run()
