"""What a run tells: metrics that survive a kill, event files, a trace, its costs."""

import json
import math
import os
import signal
import struct
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import runs
import tiny
from tensorboardX.proto import event_pb2

from ddjax import observe
from ddjax.errors import InputError
from ddjax.problem import open_problem
from ddjax.settings import Settings, from_config
from ddjax.settings.observe import Observe
from ddjax.stages import costs, report


def lines_of(folder):
    def refuse(constant):
        raise AssertionError(constant)

    text = (folder / "metrics.jsonl").read_text()
    assert text.endswith("\n")
    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


def steps_of(folder):
    return [line["step"] for line in lines_of(folder)]


def test_a_line_has_time_stage_step_and_numbers(tmp_path):
    metrics = observe.Metrics(tmp_path / "run")
    metrics.write("teacher", 3, loss=jnp.float32(0.5), passes=np.int64(12), rate=0.25)
    # Before it is closed: a kill loses nothing that was written.
    (line,) = lines_of(tmp_path / "run")
    metrics.close()
    time = line.pop("time")
    assert 1.7e9 < time < 1e11
    assert line == {
        "stage": "teacher",
        "step": 3,
        "loss": 0.5,
        "passes": 12,
        "rate": 0.25,
    }
    assert list((tmp_path / "run").iterdir()) == [tmp_path / "run" / "metrics.jsonl"]


@pytest.mark.parametrize("value", [math.nan, math.inf, np.float32("-inf")])
def test_what_is_not_finite_is_null(tmp_path, value):
    with observe.Metrics(tmp_path) as metrics:
        metrics.write("teacher", 1, loss=value, rate=1.0)
    (line,) = lines_of(tmp_path)
    assert line["loss"] is None and line["rate"] == 1.0


def test_a_vector_is_refused_and_nothing_written(tmp_path):
    with observe.Metrics(tmp_path) as metrics, pytest.raises(ValueError):
        metrics.write("teacher", 1, loss=np.zeros(2))
    assert not (tmp_path / "metrics.jsonl").read_text()


LINE = '{"time": 1.5, "stage": "a", "step": %d, "loss": 2.0}'


@pytest.mark.parametrize(
    ("torn", "kept"),
    [
        ("", [1, 2]),
        ('{"time": 1.5, "st', [1, 2]),
        ("{", [1, 2]),
        ("\0" * 50, [1, 2]),
        (LINE % 3, [1, 2, 3]),  # only the end of the line was lost
        ('{"stage": "' + "a" * 200_000, [1, 2]),  # longer than a block
    ],
)
def test_a_resumed_run_appends_after_the_last_whole_line(tmp_path, torn, kept):
    path = tmp_path / "metrics.jsonl"
    path.write_text(LINE % 1 + "\n" + LINE % 2 + "\n" + torn)
    with observe.Metrics(tmp_path) as metrics:
        metrics.write("a", 7, loss=1.0)
    assert steps_of(tmp_path) == [*kept, 7]


def test_a_file_of_one_torn_line_becomes_empty(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"time": 1')
    observe.Metrics(tmp_path).close()
    assert (tmp_path / "metrics.jsonl").read_bytes() == b""


def test_a_killed_process_loses_no_line(tmp_path):
    program = (
        "import sys, time, pathlib\n"
        "from ddjax import observe\n"
        "metrics = observe.Metrics(pathlib.Path(sys.argv[1]), tensorboard=True)\n"
        "for step in range(20):\n"
        "    metrics.write('a', step, loss=1.0)\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        os.kill(process.pid, signal.SIGKILL)
    assert steps_of(tmp_path) == list(range(20))
    (file,) = tmp_path.glob("tensorboard/a/*")
    assert [e.step for e in events_of(file) if e.summary.value] == list(range(20))


def test_other_processes_write_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with observe.Metrics(None, tensorboard=True) as metrics:
        metrics.write("a", 1, loss=1.0)
    profiler = observe.Profiler(None, 3)
    train(profiler, "a", [2, 2])
    assert not list(tmp_path.iterdir())


def crc32c(data):
    """The checksum of TFRecords, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x82F63B78 * (crc & 1)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def events_of(path):
    """Reads TFRecords: length, its checksum, an event, its checksum."""
    data, at, events = path.read_bytes(), 0, []
    while at < len(data):
        length, check = struct.unpack_from("<QI", data, at)
        body = data[at + 12 : at + 12 + length]
        assert check == crc32c(data[at : at + 8])
        assert struct.unpack_from("<I", data, at + 12 + length)[0] == crc32c(body)
        events.append(event_pb2.Event.FromString(body))
        at += 16 + length
    return events


def test_event_files_hold_the_same_scalars(tmp_path):
    with observe.Metrics(tmp_path, tensorboard=True) as metrics:
        metrics.write("teacher", 2, loss=0.5, rate=np.float32(0.25))
        metrics.write("teacher", 4, loss=math.nan)
        metrics.write("students, IPC 1/2", 1, loss=3)
    folders = {p.parent.name: p for p in tmp_path.glob("tensorboard/*/events.out*")}
    assert sorted(folders) == ["students_IPC_1_2", "teacher"]
    version, start, first, second = events_of(folders["teacher"])
    assert version.file_version == "brain.Event:2"
    # From step 2 on, the viewer forgets what an earlier process wrote.
    assert (start.step, start.session_log.status) == (2, event_pb2.SessionLog.START)
    scalars = {value.tag: value.simple_value for value in first.summary.value}
    assert (first.step, scalars) == (2, {"loss": 0.5, "rate": 0.25})
    assert second.step == 4 and math.isnan(second.summary.value[0].simple_value)
    assert first.wall_time == pytest.approx(lines_of(tmp_path)[0]["time"], abs=0.01)
    other = events_of(folders["students_IPC_1_2"])[-1]
    assert (other.step, other.summary.value[0].simple_value) == (1, 3.0)


def test_a_resumed_run_adds_an_event_file(tmp_path):
    for step in (5, 3):  # in the same second
        with observe.Metrics(tmp_path, tensorboard=True) as metrics:
            metrics.write("teacher", step, loss=1.0)
    files = list(tmp_path.glob("tensorboard/teacher/*"))
    assert sorted(events_of(file)[-1].step for file in files) == [3, 5]


def test_without_the_package_one_is_told_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(InputError, match=r"pip install 'ddjax\[tensorboard\]'"):
        observe.Metrics(tmp_path / "run", tensorboard=True)
    assert not (tmp_path / "run").exists()
    observe.Metrics(tmp_path / "run").close()


@jax.jit
def double(x):
    return 2 * x


def train(profiler, stage, counts, fail=False):
    """A training in calls of some steps; returns the calls as they were made."""
    done = []
    with profiler.training(stage):
        for count in counts:
            while count > 0:
                now = profiler.at_most(count)
                jax.block_until_ready(double(np.ones(3, np.float32)))
                profiler.step(now)
                done.append(now)
                count -= now
        if fail:
            raise RuntimeError
    return done


class Traces:
    """Stands in for jax.profiler and records what is asked of it."""

    def __init__(self, monkeypatch):
        self.calls = []
        monkeypatch.setattr(jax.profiler, "start_trace", self.start)
        monkeypatch.setattr(jax.profiler, "stop_trace", self.stop)

    def start(self, folder):
        self.calls.append(str(folder))

    def stop(self):
        self.calls.append("stop")


def test_the_trace_is_of_the_steps_after_the_first_call(tmp_path, monkeypatch):
    traces = Traces(monkeypatch)
    profiler = observe.Profiler(tmp_path, 5)
    # The first call compiles; the second and a part of the third are traced.
    assert train(profiler, "students, IPC 2", [4, 4, 4]) == [4, 4, 1, 3]
    assert traces.calls == [f"{tmp_path}/profile/students_IPC_2", "stop"]
    # Once a run.
    train(profiler, "teacher", [4, 4])
    assert len(traces.calls) == 2


def test_a_trace_ends_with_the_training_and_with_a_failure(tmp_path, monkeypatch):
    traces = Traces(monkeypatch)
    profiler = observe.Profiler(tmp_path, 50)
    train(profiler, "a", [4, 4])
    train(profiler, "once", [4, 4])
    with pytest.raises(RuntimeError):
        train(observe.Profiler(tmp_path, 50), "b", [4, 4], fail=True)
    folder = f"{tmp_path}/profile"
    assert traces.calls == [f"{folder}/a", "stop", f"{folder}/b", "stop"]


def test_no_steps_are_no_trace(tmp_path, monkeypatch):
    traces = Traces(monkeypatch)
    train(observe.Profiler(tmp_path, 0), "a", [4, 4])
    assert not traces.calls


def test_a_training_of_one_call_leaves_the_trace_to_the_next(tmp_path, monkeypatch):
    traces = Traces(monkeypatch)
    profiler = observe.Profiler(tmp_path, 2)
    profiler.step(1)  # outside of any training
    train(profiler, "empty", [])
    assert not traces.calls
    train(profiler, "teacher", [1, 4])
    assert traces.calls == [f"{tmp_path}/profile/teacher", "stop"]


def test_jax_writes_the_trace(tmp_path):
    train(observe.Profiler(tmp_path, 2), "teacher", [1, 2])
    (trace,) = tmp_path.glob("profile/teacher/**/*.xplane.pb")
    assert b"double" in trace.read_bytes()


def test_settings_name_a_wrong_number_of_steps():
    with pytest.raises(InputError, match=r"observe\.profile_steps: found -1"):
        Settings(observe=Observe(profile_steps=-1))


COSTS = [
    {"stage": "teacher", "reused": True, "seconds": 6.0, "compile_seconds": 2.0}
    | {"forward_passes": 100, "train_passes": 500, "flops": 1e9, "artifact": "x"},
    {"stage": "subsets", "reused": False, "seconds": 2.0, "compile_seconds": 0.0}
    | {"forward_passes": 0, "train_passes": 0, "flops": 0.0, "artifact": "y"},
]


def test_stage_table_by_hand():
    table = costs.stage_table(COSTS)
    assert table["stage"].tolist() == ["teacher", "subsets"]
    assert table["share"].tolist() == [0.8, 0.2]
    assert table["images_per_second"][0] == 100.0
    assert math.isnan(table["images_per_second"][1])
    assert "artifact" not in table


def test_stage_table_of_no_time_and_of_no_stages():
    nothing = [COSTS[1] | {"seconds": 0.0}]
    assert costs.stage_table(nothing)["share"].tolist() == [0.0]
    assert len(costs.stage_table([])) == 0


def test_a_run_of_teachers_leaves_stages_csv(tmp_path, capsys):
    source = tiny.write(tmp_path / "tiny.npz")
    problem = open_problem(from_config(tiny.config(source, regimes=())))
    names = [f"room {index}" for index in range(7)]
    costs = [
        COSTS[0] | {"stage": name, "seconds": float(index)}
        for index, name in enumerate(names)
    ]
    with runs.running(tmp_path / "run") as run:
        run.costs += costs
        runs.result(run, report.teachers_report_stage(problem, {}))
    written = pd.read_csv(tmp_path / "run" / "stages.csv")
    assert written["stage"].tolist() == names
    assert written["reused"].all()
    assert written["share"].sum() == pytest.approx(1, abs=1e-3)
    printed = capsys.readouterr().out.split("most expensive of 7 stages")[1]
    rows = [line.strip() for line in printed.splitlines()]
    order = [row for row in rows if row.startswith("room")]
    assert [line.split()[1] for line in order] == ["6", "5", "4", "3", "2"]
    assert all(line.endswith("reused") for line in order)
