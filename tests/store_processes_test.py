"""Label stores written by several processes, by killed ones and on full disks."""

import json
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest
from store_test import IDENTITY

from ddjax.labels import codecs
from ddjax.labels.store import LabelStore

EPOCHS, EXAMPLES, CLASSES = 8, 240, 50
TESTS = pathlib.Path(__file__).parent
PROGRAM = """
import json
import resource
import signal
import sys

sys.path[:0] = sys.argv[1:]
import numpy as np
import store_processes_test as here
from ddjax.errors import InputError

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for line in sys.stdin:
    path, parts, rounds, limit = json.loads(line)
    made = here.create(path)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        for _ in range(rounds):
            for epoch, ids in eval(parts):
                made.write(epoch, ids, here.values(epoch)[ids])
                print(epoch, flush=True)
    except InputError as error:
        print(error, flush=True)
    print("end", flush=True)
"""


class Writer:
    """A process that writes parts of stores."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, TESTS.parent, TESTS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def write(self, path, parts, rounds=1, limit=-1):
        """Starts to write what the expression `parts` yields, (epoch, ids).

        With a `limit` it cannot write a larger file, as if the disk were full.
        """
        print(
            json.dumps([str(path), parts, rounds, limit]),
            file=self.process.stdin,
            flush=True,
        )

    def line(self):
        return self.process.stdout.readline().rstrip()

    def lines(self):
        """What it says until it is done."""
        return list(iter(self.line, "end"))

    def kill(self):
        self.process.kill()
        self.process.communicate()


def create(path):
    return LabelStore.create(
        path,
        epochs=EPOCHS,
        example_ids=np.arange(EXAMPLES),
        num_classes=CLASSES,
        codec=codecs.parse("fp32"),
        identity=IDENTITY,
    )


def values(epoch):
    rng = np.random.default_rng(epoch)
    return rng.normal(0, 5, (EXAMPLES, CLASSES)).astype(np.float32)


def contents(path):
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in path.rglob("*")
        if file.is_file()
    }


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The files of a store that one process wrote."""
    path = tmp_path_factory.mktemp("reference") / "s"
    made = create(path)
    for epoch in range(EPOCHS):
        made.write(epoch, made.example_ids, values(epoch))
    assert made.complete
    return contents(path)


@pytest.fixture(scope="module")
def writers():
    """Three processes that are ready, so that their writes really overlap."""
    started = [Writer() for _ in range(3)]
    yield started
    for writer in started:
        writer.kill()


@pytest.mark.parametrize(
    ("parts", "calls"),
    [
        ("[(e, np.arange(240)) for e in range({p}, 8, 3)]", 8),
        ("[(e, np.arange({p}, 240, 3)) for e in range(8)]", 24),
        ("[(e, np.arange(80 * {p}, 80 * {p} + 80)) for e in range(8)]", 24),
    ],
    ids=["epochs", "examples", "blocks"],
)
def test_processes_that_write_disjoint_parts_make_one_sound_store(
    tmp_path, reference, writers, parts, calls
):
    path = tmp_path / "s"
    for p, writer in enumerate(writers):
        writer.write(path, parts.format(p=p))
    done = [line for writer in writers for line in writer.lines()]
    assert len(done) == calls and set(done) == set("01234567")
    assert LabelStore.open(path).verify() == []
    assert contents(path) == reference


def test_full_disk_is_reported_and_marks_nothing_that_is_not_there(
    tmp_path, reference, writers
):
    path = tmp_path / "s"
    parts = "[(e, np.arange(240)) for e in range(8)]"
    writers[0].write(path, parts, limit=150_000)
    *written, error = writers[0].lines()
    assert str(path) in error and "cannot be written" in error
    assert "keeps what is complete, and the same command resumes" in error
    assert written == ["0", "1", "2"]
    found = LabelStore.open(path)
    assert found.missing().keys() == {3, 4, 5, 6, 7}
    assert len(found.verify()) == 1
    writers[0].write(path, parts)
    assert writers[0].lines() == list("01234567")
    assert contents(path) == reference


def test_killed_writer_loses_only_what_is_not_marked_and_is_resumed(
    tmp_path, reference, writers
):
    path = tmp_path / "s"
    # Epochs 0 to 5 in a loop without end: the signal falls somewhere into a write.
    parts = "[(e, np.arange(p, 240, 4)) for e in range(6) for p in range(4)]"
    writers[2].write(path, parts, rounds=1000)
    assert [writers[2].line() for _ in range(10)] == list("0000111122")
    time.sleep(0.005)
    writers[2].kill()
    found = LabelStore.open(path)
    missing = found.missing()
    assert not {0, 1} & missing.keys() and {6, 7} <= missing.keys()
    for epoch in range(EPOCHS):
        there = np.setdiff1d(np.arange(EXAMPLES), missing.get(epoch, []))
        np.testing.assert_array_equal(found.read(epoch, there), values(epoch)[there])
    assert len(found.verify()) == 1  # labels are missing, nothing is damaged
    resumed = create(path)
    for epoch, ids in resumed.missing().items():
        resumed.write(epoch, ids, values(epoch)[ids])
    assert resumed.verify() == []
    left = {k: v for k, v in contents(path).items() if not k.endswith("__lock")}
    assert left == reference
