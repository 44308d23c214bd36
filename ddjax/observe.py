"""What a run reports while it goes on: metrics, TensorBoard's event files, a profile.

All of it is for a reader's eyes; nothing of it is read again, and no result depends on
it. Of several processes the first one is given a folder, the others None.
"""

import contextlib
import json
import math
import pathlib
import re
import sys
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from ddjax.errors import InputError

_BLOCK = 1 << 16  # bytes read at once from the end of a file


class Metrics:
    """Appends numbers to `metrics.jsonl`, and to event files where they are wanted.

    A line is `{"time": seconds since 1970, "stage": ..., "step": ..., NAME: number}`,
    with null for a number that is not finite. A run that resumes appends; the steps
    since its last checkpoint then stand there twice, and the later line counts.
    """

    def __init__(self, folder: pathlib.Path | None, tensorboard: bool = False):
        """Opens the files; a line that a kill left unfinished is removed.

        Args:
          folder: the run's folder; None: nothing is ever written.
          tensorboard: whether event files go to `folder`/tensorboard/STAGE.

        Raises:
          InputError: event files cannot be written, see `require_tensorboard`.
        """
        if tensorboard:
            require_tensorboard()
        self._folder, self._tensorboard = folder, tensorboard
        self._file: Any = None
        self._events: Any = None
        self._stage: str | None = None
        self._files = 0  # event files opened so far
        if folder is not None:
            with self._may_fail():
                folder.mkdir(parents=True, exist_ok=True)
                _mend(folder / "metrics.jsonl")
                self._file = open(folder / "metrics.jsonl", "ab", buffering=0)

    def __enter__(self) -> "Metrics":
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def write(self, stage: str, step: int, **numbers: Any) -> None:
        """Writes a line; it is in the file when the call returns.

        Args:
          stage: what trains, such as "teacher".
          step: steps that were done.
          **numbers: name -> a number, or an array that holds one.
        """
        if self._file is None:
            return
        now = time.time()
        values = {name: np.asarray(value).item() for name, value in numbers.items()}
        line = {"time": round(now, 3), "stage": stage, "step": int(step)}
        line |= {n: v if math.isfinite(v) else None for n, v in values.items()}
        with self._may_fail():
            self._file.write(json.dumps(line, allow_nan=False).encode() + b"\n")
            if self._tensorboard:
                self._write_event(stage, int(step), values, now)

    @contextlib.contextmanager
    def _may_fail(self) -> Iterator[None]:
        """Surrounds writing, on which no result depends.

        Where it is refused, no more is written until the next training.
        """
        try:
            yield
        except OSError as error:
            print(f"Note: metrics are not written ({error})", file=sys.stderr)
            if self._file is not None:
                self._file.close()
            self._file = self._events = None

    def close(self) -> None:
        """Closes the files; more cannot be written."""
        for file in (self._file, self._events):
            if file is not None:
                with self._may_fail():
                    file.close()
        self._file = self._events = None

    def _write_event(self, stage, step, values, now):
        # The library's plain writer: its SummaryWriter has a queue that a flush leaves
        # out, and a kill would lose it.
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto import event_pb2, summary_pb2

        if stage != self._stage:
            if self._events is not None:
                self._events.close()
            folder = self._folder / "tensorboard" / _file_name(stage)
            folder.mkdir(parents=True, exist_ok=True)
            self._stage, self._files = stage, self._files + 1
            # A name ends in seconds, host and this: a file of a run that was killed a
            # moment ago is not overwritten.
            suffix = f".{time.time_ns()}.{self._files}"
            self._events = EventsWriter(str(folder / "events"), suffix)
            # Has the viewer forget what a killed run wrote from this step on.
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._events.write_event(
                event_pb2.Event(wall_time=now, step=step, session_log=start)
            )
        scalars = [
            summary_pb2.Summary.Value(tag=name, simple_value=value)
            for name, value in values.items()
        ]
        summary = summary_pb2.Summary(value=scalars)
        self._events.write_event(
            event_pb2.Event(wall_time=now, step=step, summary=summary)
        )
        self._events.flush()


def require_tensorboard() -> None:
    """Checks that event files can be written.

    Raises:
      InputError: the package that writes them is not installed.
    """
    try:
        import tensorboardX  # noqa: F401
    except ImportError as error:
        raise InputError(
            "observe.tensorboard: found True, but the package tensorboardX is not "
            "installed; run: pip install 'ddjax[tensorboard]'"
        ) from error


class Profiler:
    """Traces a few training steps once, with `jax.profiler`.

    The trace lies in `folder`/profile/STAGE and opens in XProf, in TensorBoard's
    profile tab and, the `.trace.json.gz`, in Perfetto. Calls around a training:

        with profiler.training("teacher"):
            while ...:
                count = profiler.at_most(count)
                ...  # one call that does `count` steps and waits for them
                profiler.step(count)
    """

    def __init__(self, folder: pathlib.Path | None, steps: int):
        """Traces nothing yet.

        Args:
          folder: the run's folder; None: nothing is traced, but steps are cut into
            calls as where something is.
          steps: how many to trace; 0: none.
        """
        self._folder = folder
        self._left = steps
        self._stage: str | None = None  # that trains and may be traced
        self._tracing = False

    @contextlib.contextmanager
    def training(self, stage: str) -> Iterator[None]:
        """Surrounds a training; a trace ends with it, if not before.

        Args:
          stage: what trains, such as "teacher".
        """
        self._stage = stage
        try:
            yield
        finally:
            self._stage = None
            if self._tracing:
                self._stop()

    def at_most(self, count: int) -> int:
        """Returns how many of `count` steps one call may do.

        At most those that a running trace still lacks.
        """
        return min(count, self._left) if self._tracing else count

    def step(self, count: int = 1) -> None:
        """Counts steps that were done.

        The first call of a training is when its program is compiled, so the trace
        begins here.

        Args:
          count: how many.
        """
        if self._tracing:
            self._left -= count
            if self._left <= 0:
                self._stop()
        elif self._left > 0 and self._stage is not None:
            self._tracing = True
            if self._folder is not None:
                folder = self._folder / "profile" / _file_name(self._stage)
                jax.profiler.start_trace(folder)

    def _stop(self):
        self._tracing, self._left = False, 0
        if self._folder is not None:
            jax.profiler.stop_trace()


def _file_name(stage: str) -> str:
    """Returns a stage's name without what is awkward in a path."""
    return re.sub(r"[^\w.=+-]+", "_", stage).strip("_.") or "_"


def _mend(path: pathlib.Path) -> None:
    """Completes or removes a last line without an end."""
    if not path.exists():
        return
    with open(path, "r+b") as file:
        end = size = file.seek(0, 2)
        tail = b""
        while end > 0 and b"\n" not in tail:
            start = max(0, end - _BLOCK)
            file.seek(start)
            tail = file.read(end - start) + tail
            end = start
        last = tail[tail.rfind(b"\n") + 1 :]
        if not last:
            return
        try:
            json.loads(last)
        except ValueError:
            file.truncate(size - len(last))
        else:
            file.seek(0, 2)
            file.write(b"\n")
