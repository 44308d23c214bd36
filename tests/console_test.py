"""What a terminal shows: stages, bars, tables and verdicts, wide and narrow."""

import contextlib
import fcntl
import os
import pathlib
import pty
import re
import struct
import sys
import termios
import threading

import numpy as np
import pandas as pd
import pytest
import runs

from ddjax import pipeline, report
from ddjax.process import console, progress
from ddjax.stages import printing
from ddjax.stages.outputs import Parts
from ddjax.stages.stage import Plan, Stage, Work

BOLD = re.compile("\x1b\\[1m(.*?)\x1b\\[0m", re.DOTALL)


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("FORCE_COLOR", "NO_COLOR", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


@pytest.fixture
def terminal(monkeypatch):
    """Returns a context of standard output and errors in a pseudo-terminal.

    It gives a list, to which what was shown is added at its end.
    """

    @contextlib.contextmanager
    def opened(columns, encoding="utf-8"):
        shown, pieces = [], []
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 40, columns, 0, 0))

        def read():
            with contextlib.suppress(OSError):  # the other end is closed
                while piece := os.read(ours, 4096):
                    pieces.append(piece)

        reader = threading.Thread(target=read)
        reader.start()
        with monkeypatch.context() as patch:
            stream = os.fdopen(theirs, "w", encoding=encoding)
            for name in ("stdout", "stderr", "__stdout__"):
                patch.setattr(sys, name, stream)
            with console.kept():
                yield shown
            stream.close()
        reader.join()
        os.close(ours)
        shown.append(b"".join(pieces).decode(encoding).replace("\r\n", "\n"))

    return opened


def screen(text):
    """The lines that a terminal has in the end, without spaces at their ends."""
    lines, row, column = [""], 0, 0
    for piece in re.findall("\x1b\\[A|\r|\n|[^\x1b\r\n]+", text):
        if piece == "\x1b[A":
            row -= 1
        elif piece == "\r":
            column = 0
        elif piece == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        else:
            line = lines[row].ljust(column)
            lines[row] = line[:column] + piece + line[column + len(piece) :]
            column += len(piece)
    return [line.rstrip() for line in lines]


# Text

TEXT = "Twenty images of each class are enough, says the first line.\nThe second: no."


def test_text_fits_a_terminal(terminal):
    with terminal(30) as shown:
        print(console.wrapped(TEXT, indent=4, first=2))
    assert shown[0].splitlines() == [
        "  Twenty images of each class",
        "    are enough, says the first",
        "    line.",
        "    The second: no.",
    ]
    with terminal(500) as shown:
        print(console.wrapped("word " * 100))
    assert max(map(len, shown[0].splitlines())) <= 100  # which is good to read
    with terminal(8) as shown:
        print(console.wrapped(TEXT, indent=4))
    assert max(map(len, shown[0].splitlines())) <= 24


def test_text_is_whole_without_a_terminal(capsys):
    assert console.width() is None
    print(console.wrapped(TEXT, indent=4, first=2))
    first, second = TEXT.split("\n")
    assert capsys.readouterr().out == f"  {first}\n    {second}\n"


@pytest.mark.parametrize(
    ("variables", "there", "elsewhere"),
    [
        ({}, True, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": ""}, True, False),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": "0"}, True, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False),
        ({"TERM": "dumb"}, False, False),
    ],
)
def test_where_text_is_bold(terminal, monkeypatch, variables, there, elsewhere):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with terminal(80) as shown:
        print(console.bold("best"), console.bold(""))
    assert shown == ["\x1b[1mbest\x1b[0m \n" if there else "best \n"]
    assert (console.bold("best") != "best") == elsewhere


def test_an_encoding_without_a_character_has_a_plainer_one(terminal):
    with terminal(80, "latin-1") as shown:
        print("−3.2 ±1.0 – 猫")
    assert shown == ["-3.2 ±1.0 - ?\n"]
    with terminal(80, "ascii") as shown:
        print("2 × 3 ±1")
    assert shown == ["2 x 3 +-1\n"]


# Bars


def frames(text):
    return [frame.strip() for frame in re.split("\r|\n", text) if frame.strip()]


def advanced(label, total, steps, unit="step"):
    """Shows a bar: a minute of compilation and 4 steps, then 2 a second."""
    now = [0.0]
    with progress.Bar(label, total, unit) as bar:
        bar._time = lambda: now[0]
        bar.start_t = 0.0
        for seconds, count in [(60, 4), *[(1, 2)] * steps]:
            now[0] += seconds
            bar.update(count)


def test_a_bar_has_its_name_rate_and_time_left(terminal):
    with terminal(72) as shown:
        advanced("students, hard, IPC 2", 20, 2)
    first, compiled, *_, last = frames(shown[0])
    assert re.fullmatch(r"students, hard, IPC 2   0 % +0/20 steps", first)
    assert re.fullmatch(r"students, hard, IPC 2  20 % █.* 4/20 steps", compiled)
    assert re.fullmatch(
        r"students, hard, IPC 2  40 % █.* 8/20 steps, 2\.0/s, 0:06 left", last
    )
    assert screen(shown[0]) == [""]  # it is gone


@pytest.mark.parametrize(
    ("columns", "total", "numbers"),
    [
        (100, 20, "8/20 steps, 2.0/s, 0:06 left"),
        (50, 20, "8/20 steps, 0:06 left"),
        (38, 20, "8/20 steps"),
        (38, 0, "8 steps, 2.0/s"),
        (100, 123456, "8/123456 steps, 2.0/s, 17:08:44 left"),
        (72, 123456, "8/123456 steps, 17:08:44 left"),
        (50, 123456, "8/123456 steps"),
    ],
)
def test_a_bar_fits_its_terminal(terminal, columns, total, numbers):
    with terminal(columns) as shown:
        advanced("students of all networks, hard, IPC 2", total, 2)
    found = frames(shown[0])
    assert max(map(len, found)) <= columns
    assert found[-1].startswith("students") and found[-1].endswith(f" {numbers}")


def test_a_bar_of_a_plain_encoding(terminal):
    with terminal(72, "latin-1") as shown:
        advanced("teacher", 20, 3)
    assert re.fullmatch(r"teacher  50 % #.* 10/20 steps.* left", frames(shown[0])[-1])


def test_a_line_above_a_bar(terminal, tmp_path):
    with terminal(60) as shown, runs.running(tmp_path / "run") as run:
        with progress.Bar("teacher", 10, "step") as bar:
            bar.update(2)
            run.say("  teacher: " + "half of it is done " * 3)
            bar.update(5)
    lines = screen(shown[0])
    said = r"\[ +[\d.]+ s\]   teacher: half of it is done half of it is done"
    assert re.fullmatch(said, lines[0])
    assert lines[1:] == [" " * 13 + "half of it is done", ""]


def test_a_bar_is_silent_without_a_terminal(capsys):
    from ddjax.run import progress_bar

    with progress_bar("teacher", 10) as bar:
        bar.update(3)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (6.2, "0:07"), (60, "1:00"), (750, "12:30"), (3723, "1:02:03")],
)
def test_times(seconds, text):
    assert progress.clock(seconds) == text


# Stages


class Told:
    """A run that hears what is said."""

    def __init__(self):
        self.lines, self.costs = [], []

    def say(self, line):
        self.lines.append(line)


def test_stages_are_announced_when_they_start(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(pipeline.time, "perf_counter", lambda: now[0])

    def stage(name, seconds, passes, counts=True):
        def make(run):
            run.say(f"  {name} works")
            now[0] += seconds

        work = (Work(name, 0, passes, lambda: 0.0),)
        return Stage(name, {}, make, lambda: Plan(work), counts)

    told = Told()
    pipeline.execute(
        told,
        [
            stage("teacher", 8.0, 100),
            stage("drivers", 5.0, 0, counts=False),
            stage("students, hard", 8.0, 100),
            stage("students, soft", 1.0, 2000),
            stage("report", 1.0, 0),
        ],
    )
    assert told.lines == [
        "stage 1 of 4: teacher",
        "  teacher works",
        "  drivers works",
        "stage 2 of 4: students, hard (about 3 min left)",
        "  students, hard works",
        "stage 3 of 4: students, soft (about 3 min left)",
        "  students, soft works",
        "stage 4 of 4: report",
        "  report works",
    ]


# The end of a run

MEANS = {"random": 70.0, "cad_prune": 64.0, "herding": 73.0}


def record(folder):
    generator = np.random.default_rng(0)
    rows = [
        {
            "method": method,
            "ipc": 10,
            "regime": regime,
            "seed": seed,
            "status": "ok",
            "accuracy": mean + (3 if regime == "soft_kd" else 0) + noise,
            "val_accuracy": mean + noise,
            "learning_rate": 0.01,
            "image_passes": 1,
            "find_passes": 0,
            "find_seconds": 0.0,
            "train_seconds": 0.0,
        }
        for method, mean in MEANS.items()
        for regime in ("hard", "soft_kd")
        for seed in range(8)
        for noise in [generator.normal(0, 0.3)]
    ]
    manifest = {"settings": {}, "source": {"test": 360}}
    return report.Record(folder, manifest, students=pd.DataFrame(rows))


COST = {"stage": "students, hard, IPC 10", "reused": False, "seconds": 3.0}
COST |= {"compile_seconds": 1.0, "forward_passes": 0, "train_passes": 600, "flops": 0}


def end(folder):
    found = record(folder / "run")
    with runs.running(folder / "run") as run:
        run.costs.append(COST)
        pathlib.Path(run.folder, "report.html").touch()
        printing.print_accuracies(Parts(), found.summary, None)
        printing.print_end(run, Parts(), ["A note."], ["Recommended: it."], found)
    return found


@pytest.mark.parametrize("columns", [50, 80, 200])
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_run_ends_with_its_verdicts(
    terminal, tmp_path, monkeypatch, columns, encoding
):
    monkeypatch.chdir(tmp_path)
    with terminal(columns, encoding) as shown:
        found = end(tmp_path)
    text, minus = shown[0], "−" if encoding == "utf-8" else "-"
    plain = BOLD.sub(r"\1", text)
    assert max(map(len, plain.splitlines())) <= columns
    parts = ["hard labels", "most expensive of 1 stages", "Note: A note."]
    parts.append("Recommended: it.")
    for verdict in found.verdicts:
        parts += [verdict.question, verdict.answer, verdict.text]
    parts = [part.replace("−", minus) for part in [*parts, "± is the 95 %", "report: "]]
    places = [one_line(plain).index(part) for part in parts]
    assert places == sorted(places) and len(found.verdicts) == 3
    hard, best, soft, best_soft, *answers = map(one_line, BOLD.findall(text))
    assert (hard, soft) == ("hard labels", "soft_kd labels")
    assert f"Herding {best}" in one_line(plain) and "(+3." in best
    assert f"Herding {best_soft}" in one_line(plain)
    assert answers == [v.answer.replace("−", minus) for v in found.verdicts]
    assert ("compiling" in plain) == (columns > 50)


def one_line(text):
    return " ".join(text.split())


def test_a_run_ends_likewise_without_a_terminal(tmp_path, capsys):
    found = end(tmp_path)
    lines = capsys.readouterr().out.splitlines()
    for verdict in found.verdicts:
        place = lines.index(verdict.question)
        assert lines[place + 1 : place + 4] == [
            f"  {verdict.answer}",
            f"  {verdict.text}",
            "",
        ]


def test_why_there_is_no_verdict_is_said(tmp_path, capsys):
    found = record(tmp_path / "run")
    only = found.students.query("method == 'random' and regime == 'hard'")
    found = report.Record(found.folder, found.manifest, students=only)
    with runs.running(tmp_path / "run") as run:
        run.costs.append(COST)
        printing.print_end(run, Parts(), [], [], found)
    out = capsys.readouterr().out
    assert "No verdict: Only random images under one kind of labels" in out
