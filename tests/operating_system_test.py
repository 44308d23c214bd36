"""What the operating system refuses: one line, a code of its own, nothing half-made."""

import errno
import io
import itertools
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import matplotlib
import numpy as np
import pytest
import tiny
from runs import numbers_of

from ddjax import artifacts, errors, observe, pipeline
from ddjax.errors import InputError
from ddjax.process import console, ending
from ddjax.settings import from_config
from ddjax.workdir import Workdir

ROOT = pathlib.Path(__file__).parents[1]
IDENTITY = {"experiment": "a", "source": "s"}
# A package that takes its time, in the place of JAX.
SLOW = "import time\nprint('importing', flush=True)\ntime.sleep(60)\n"


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("config")
    source = tiny.write(folder / "tiny.npz")
    few = {"regimes": ("hard",), "select__methods": ("random",)}
    return tiny.write_config(folder / "config.py", source, **few)


def start(*arguments, path=(), **options):
    """Starts the program."""
    places = os.pathsep.join([*map(str, path), str(ROOT)])
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": places}
    environment |= options.pop("variables", {})
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [sys.executable, "-m", "ddjax", *map(str, arguments)]
    return subprocess.Popen(command, env=environment, **pipes | options)


def run(*arguments, **options):
    """Runs the program; returns (exit code, standard output, standard error)."""
    with start(*arguments, **options) as process:
        out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def shell(command, **variables):
    """Runs a line of a shell that ends with the program's exit code."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        env=environment | variables,
        capture_output=True,
        text=True,
    )


def files_of(folder):
    return {path: path.lstat().st_mode for path in sorted(folder.rglob("*"))}


# Workdirs


@pytest.mark.parametrize(
    "content",
    ["[]", "3", "null", '"text"', "{", "", "\0" * 9, "[" * 100_000, b"\xff\xfe", "NaN"],
)
def test_a_marker_that_is_something_else_is_refused(tmp_path, content):
    content = content if isinstance(content, bytes) else content.encode()
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(InputError, match=r"run\.json: is damaged .* another --workdir"):
        Workdir(tmp_path, IDENTITY)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"schema": "2"},
        {"schema": 1e400, **IDENTITY},
        {"schema": 2, "experiment": ["a"], "source": {"s": "s"}},
        {"schema": 2, **IDENTITY, "switches": {"XLA_FLAGS": "--x"}},
        {"schema": 2, "experiment": "b" * 10_000, "source": "s"},
    ],
)
def test_a_marker_of_other_values_is_refused(tmp_path, content):
    (tmp_path / "run.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="holds a run with .* another --work") as told:
        Workdir(tmp_path, IDENTITY)
    assert len(str(told.value)) < 600


@pytest.mark.parametrize("left", [(".tmp-run.json",), (".lock", ".tmp-run.json")])
def test_a_run_that_was_killed_before_its_marker_begins_again(tmp_path, left):
    for name in left:
        (tmp_path / name).write_text("{")
    Workdir(tmp_path, IDENTITY).close()
    assert json.loads((tmp_path / "run.json").read_text())["experiment"] == "a"
    assert not (tmp_path / ".tmp-run.json").exists()


@pytest.mark.parametrize(
    "name", ["report.html", "summary.csv", "metrics.jsonl", "run.json", "subset.csv"]
)
def test_a_folder_where_a_file_belongs_is_refused(tmp_path, name):
    Workdir(tmp_path, IDENTITY).close()
    (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / name).mkdir()
    before = files_of(tmp_path)
    message = f"{name} is a folder, allowed is a file, which a run writes there; move"
    with pytest.raises(InputError, match=message):
        Workdir(tmp_path, IDENTITY)
    assert files_of(tmp_path) == before


@pytest.mark.parametrize("name", ["artifacts", "partial", "figures", "tensorboard"])
def test_a_file_where_a_folder_belongs_is_refused(tmp_path, name):
    with Workdir(tmp_path, IDENTITY):
        pass
    if (tmp_path / name).exists():
        (tmp_path / name).rmdir()
    (tmp_path / name).write_text("")
    with pytest.raises(InputError, match=f"{name} is a file, allowed is a folder"):
        Workdir(tmp_path, IDENTITY)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    places = ["file", "file/below", "x" * 300, "/".join(["y" * 250] * 20), "loop/w"]
    for place in places:
        with pytest.raises(InputError, match="--workdir .*: cannot be made a folder"):
            Workdir(tmp_path / place, IDENTITY)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC])
@pytest.mark.parametrize("what", ["lock", "marker", "folder"])
def test_a_folder_that_cannot_be_written_is_refused(
    tmp_path, monkeypatch, number, what
):
    refusal = OSError(number, os.strerror(number))

    def refuse(*arguments, **options):
        raise refusal

    if what == "lock":
        monkeypatch.setattr("builtins.open", refuse)
    elif what == "marker":
        monkeypatch.setattr(artifacts, "sync", refuse)
    else:
        before = pathlib.Path.mkdir
        monkeypatch.setattr(
            pathlib.Path,
            "mkdir",
            lambda path, *a, **o: (
                refuse() if path.name == "partial" else before(path, *a, **o)
            ),
        )
    says = os.strerror(number)
    with pytest.raises(InputError, match=rf"--workdir .*: cannot be written \({says}"):
        Workdir(tmp_path / "w", IDENTITY)
    monkeypatch.undo()
    Workdir(tmp_path / "w", IDENTITY).close()


def test_a_file_system_without_locks_is_refused(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(InputError, match=r"cannot be locked \(No locks available\)"):
        Workdir(tmp_path / "w", IDENTITY)


# A full disk


def test_a_full_disk_leaves_no_halves_and_the_run_resumes(
    config, tmp_path, monkeypatch
):
    source = config.with_name("tiny.npz")
    changes = {"regimes": ("hard",), "select__methods": ("random",)}
    settings = from_config(tiny.config(source, **changes))
    whole = pipeline.run(settings, tmp_path / "whole")
    counter, before = itertools.count(), artifacts.np.savez

    def savez(file, **arrays):
        if next(counter) == 1:
            file.write(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        before(file, **arrays)

    monkeypatch.setattr(artifacts.np, "savez", savez)
    with pytest.raises(OSError, match=r"No space left on device: '.*full'"):
        pipeline.run(settings, tmp_path / "full")
    left = sorted(path.name for path in (tmp_path / "full" / "artifacts").iterdir())
    assert len(left) == 1 and not any(name.startswith(".") for name in left)
    resumed = pipeline.run(settings, tmp_path / "full")
    assert numbers_of(tmp_path / "full") == numbers_of(tmp_path / "whole")
    assert list(resumed.columns) == list(whole.columns)


def test_metrics_that_cannot_be_written_stop_nothing(tmp_path, capsys):
    (tmp_path / "metrics.jsonl").mkdir()
    with observe.Metrics(tmp_path) as metrics:
        metrics.write("teacher", 1, loss=1.0)
    assert "metrics are not written (" in capsys.readouterr().err


def test_metrics_of_a_disk_that_fills_stop_nothing(tmp_path, capsys):
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    with observe.Metrics(tmp_path) as metrics:
        metrics.write("teacher", 1, loss=1.0)
        metrics.write("teacher", 2, loss=1.0)
    err = capsys.readouterr().err
    assert err.count("metrics are not written") == 1 and "No space left" in err


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (OSError(errno.ENOSPC, "full"), errno.ENOSPC),
        (ValueError("OUT_OF_RANGE: [os_error_code='27']"), errno.EFBIG),
        (RuntimeError("RESOURCE_EXHAUSTED: ... [os_error_code='28']"), errno.ENOSPC),
    ],
)
def test_a_system_error_is_recognised(error, number):
    found = errors.system_error(error, "/w")
    assert (found.errno, found.filename) == (number, "/w")


def test_what_the_system_did_not_refuse_is_none_of_its_errors():
    assert errors.system_error(ValueError("os error"), "/w") is None


@pytest.mark.parametrize(
    ("limit", "methods"),
    [
        ("-f 1", "random"),
        pytest.param("-f 4", "random,cad_prune", marks=pytest.mark.slow),
        pytest.param("-n 8", "random,cad_prune", marks=pytest.mark.slow),
    ],
)
def test_a_limit_ends_in_one_line(config, tmp_path, limit, methods):
    command = f"{sys.executable} -m ddjax run {config} --workdir={tmp_path}/w"
    # Without the cache that tests share, in which it would leave halves, but with
    # matplotlib's own, which it would remark that it cannot write.
    alone = f"env -u JAX_COMPILATION_CACHE_DIR XDG_CACHE_HOME={tmp_path}/cache"
    alone += f" MPLCONFIGDIR={matplotlib.get_cachedir()}"
    done = shell(f"ulimit {limit}; {alone} {command} --select.methods={methods}")
    assert done.returncode == ending.SYSTEM, done.stderr
    line, *more = done.stderr.splitlines()
    assert not more, done.stderr
    assert line.startswith("error: ") and line.endswith("the same command resumes.")
    assert not list(tmp_path.glob("w/artifacts/.tmp-*"))


# Devices and variables


@pytest.mark.parametrize(
    ("verb", "name", "value"),
    [
        ("run", "JAX_PLATFORMS", "cuda"),
        ("plan", "JAX_PLATFORMS", "nonsense"),
        ("run", "JAX_NUM_CPU_DEVICES", "many"),
        ("plan", "JAX_NUM_CPU_DEVICES", "0"),
        ("run", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "soon"),
    ],
)
def test_a_variable_that_jax_cannot_use_is_one_line(config, verb, name, value):
    code, out, err = run(verb, config, variables={name: value})
    assert (code, out) == (2, ""), err
    (line,) = err.splitlines()
    assert line.startswith("error: ") and value in line
    assert name in line or name.lower() in line


# The console


class Broken(io.StringIO):
    """A stream whose reader has gone away."""

    encoding = "utf-8"

    def write(self, text):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


def test_a_console_that_is_lost_stops_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Broken())
    with console.kept():
        print("one")
        print("two")
        sys.stdout.flush()
        with console.kept():  # a run within the program
            print("three")
    assert isinstance(sys.stdout, Broken)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437", "utf-8"])
def test_a_console_shows_what_its_encoding_has(monkeypatch, encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    with console.kept():
        print("5 ± 3 – 猫 \udcff")
    shown = stream.buffer.getvalue()
    assert shown.startswith(b"5 ") and shown.endswith(b" ?\n")
    assert ("–" in shown.decode(encoding)) == (encoding == "utf-8")


def test_a_console_that_was_closed_is_none_at_all(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    with console.kept():
        print("heard by nobody")
        sys.stdout.write("nor this")
        sys.stdout.flush()
        assert not sys.stdout.isatty()


def lose(config, folder, how):
    """Runs the program with a console that is lost."""
    command = f"{sys.executable} -m ddjax run {config} --workdir={folder}/w {how}"
    done = shell(command, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert (folder / "w" / "report.html").is_file()
    assert len(numbers_of(folder / "w")) == 4
    return done.stdout


@pytest.fixture(scope="module")
def unheard(config, tmp_path_factory):
    """The folder of a run whose reader went away after one line, and that line."""
    folder = tmp_path_factory.mktemp("unheard")
    return folder, lose(config, folder, "| head -1")


def test_a_reader_that_goes_away_does_not_stop_a_run(unheard):
    assert unheard[1].startswith("[ ") and unheard[1].count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("lost", [">/dev/full", ">&- 2>&-", "2>/dev/full", "| true"])
def test_losing_the_console_does_not_stop_a_run(config, tmp_path, lost):
    lose(config, tmp_path, lost)


def test_an_incomplete_report_has_a_code_of_its_own(config, unheard):
    # What a run cannot foresee, unlike a folder in the place of report.html.
    place = unheard[0] / "w" / "figures" / "images_ipc2.png"
    place.unlink()
    place.mkdir()
    code, out, err = run("run", config, f"--workdir={unheard[0]}/w")
    assert (code, err) == (ending.INCOMPLETE, "")
    assert "Missing in the report: figures/images_ipc2.png; Is a directory." in out


# Signals


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)]
)
@pytest.mark.parametrize("package", ["jax", "absl", "ml_collections"])
def test_being_told_to_stop_while_modules_are_imported(
    config, tmp_path, number, code, package
):
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text(SLOW)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with start("run", config, path=[tmp_path]) as process:
        assert process.stdout.readline() == "importing\n"
        began = time.monotonic()
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    signal.signal(signal.SIGINT, before)
    assert time.monotonic() - began < 20
    assert (process.returncode, out) == (code, "")
    assert err == "Stopped before anything was done; the same command begins.\n"


def test_what_ignores_a_signal_goes_on_ignoring_it(tmp_path):
    program = (
        "import signal\n"
        "from ddjax.process import ending\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "ending.leave_at_once()\n"
        "ending.Interrupt().listen()\n"
        "assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN\n"
        "assert signal.getsignal(signal.SIGTERM) == ending._leave\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)


def test_help_tells_the_exit_codes():
    code, out, _ = run("--help")
    assert code == 0
    for number, meaning in ending.MEANINGS.items():
        assert f"  {number:<4} {meaning}" in out
    assert np.unique(list(ending.MEANINGS)).size == len(ending.MEANINGS)
