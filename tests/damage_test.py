"""Damaged files of a run's folder are found by name, or made again and said so."""

import contextlib
import json
import shutil

import numpy as np
import pytest
import tiny
from killing import differences, results_of
from wrong_files import damage

from ddjax import artifacts, pipeline, settings
from ddjax.artifacts import digest
from ddjax.distill import synthesis
from ddjax.errors import InputError
from ddjax.labels import LabelStore, labeller
from ddjax.settings import from_config
from ddjax.settings.config import add_labels
from ddjax.stages import report
from ddjax.train import checkpoint

pytestmark = pytest.mark.slow

# Which write of an unfinished state a run stops at, so that all kinds are unfinished.
# In the order in which a run comes to them.
STOPS = {"teacher": 2, "trace": 1, "synthetic": 1, "students": 1, "store": 2}


class Stopped(Exception):
    pass


def config(source):
    """All kinds of artifacts, as small as they are."""
    made = tiny.config(source, sweep__checkpoint_seconds=1e-9)
    made.teacher.network.name = "convnet_d1"
    made.teacher.network.convnet.width = 4
    made.teacher.network.convnet.norm = "batch"
    made.teacher.snapshots = (1,)
    made.protocol.curves = 2
    add_labels(made, "stored", codec="fp16", pool_epochs=4)
    made.regimes = ("hard", "stored")
    settings.add_distillation(made, "sre2l")
    made.distill.sre2l.sets = 1
    made.distill.sre2l.recover.iterations = 6
    return from_config(made)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """(settings, a whole run's folder, kind -> a folder where it is unfinished)."""
    folder = tmp_path_factory.mktemp("runs")
    chosen = config(tiny.write(folder / "tiny.npz"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(artifacts, "sync", lambda path: None)  # disks are slow
        patch.setattr(report, "draw", lambda *everything: [])  # and figures slower
        patch.setattr(labeller, "_WRITE_SECONDS", 0.0)
        patch.setattr(labeller, "_VIEWS", 1)
        patch.setattr(synthesis, "SEGMENT", 2)
        pipeline.run(chosen, folder / "whole")
        unfinished = {}
        for kind, count in STOPS.items():
            # Goes on where it stopped before.
            with stopping(kind, count), contextlib.suppress(Stopped):
                pipeline.run(chosen, folder / "parts")
            unfinished[kind] = copied(folder / "parts", folder / kind)
            assert list(unfinished[kind].glob(f"partial/{kind}-*/*")), kind
        yield chosen, folder / "whole", unfinished


@contextlib.contextmanager
def stopping(kind, count):
    """Stops runs behind so many writes of what is unfinished of a kind."""
    done = []

    def counted(function, of_kind):
        def call(first, *rest):
            result = function(first, *rest)
            if of_kind(first):
                done.append(first)
                if len(done) == count:
                    raise Stopped
            return result

        return call

    save, write = checkpoint.save, LabelStore.write_payload
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            checkpoint, "save", counted(save, lambda at: f"/{kind}-" in f"{at}")
        )
        stored = counted(write, lambda store: kind == "store")
        patch.setattr(LabelStore, "write_payload", stored)
        yield


def copied(folder, path):
    shutil.copytree(folder, path)
    return path


def outcome(chosen, folder, whole, capsys):
    """Runs once more; returns ("found" or "made again", what was said)."""
    capsys.readouterr()
    try:
        pipeline.run(chosen, folder)
    except InputError as error:
        return "found", str(error)
    assert differences(results_of(folder), results_of(whole)) == []
    return "made again", capsys.readouterr().out


def changed_digit(path):
    """Changes the first digit of an artifact's forward passes."""
    text = path.read_text()
    place = text.index('"train_passes": ') + len('"train_passes": ')
    digit = str((int(text[place]) + 1) % 10)
    path.write_text(text[:place] + digit + text[place + 1 :])


@pytest.mark.parametrize("kind", ["teacher", "trace", "students"])
def test_a_changed_digit_of_a_cost_is_found(world, tmp_path, capsys, kind):
    chosen, whole, _ = world
    folder = copied(whole, tmp_path / "run")
    path = sorted(folder.glob(f"artifacts/{kind}-*"))[0]
    changed_digit(path / "manifest.json")
    what, said = outcome(chosen, folder, whole, capsys)
    assert what == "found"
    assert f"{path}/manifest.json: is damaged (does not match its checksum)" in said
    assert said.endswith(f"delete the folder {path} to compute it again")
    shutil.rmtree(path)
    assert outcome(chosen, folder, whole, capsys)[0] == "made again"


def test_a_changed_run_marker_is_found(world, tmp_path, capsys):
    chosen, whole, _ = world
    folder = copied(whole, tmp_path / "run")
    marker = folder / "run.json"
    for changed in (
        {"experiment": "tine"},
        {"digest": digest("other")},
    ):
        sound = json.loads((whole / "run.json").read_text())
        marker.write_text(json.dumps(sound | changed))
        what, said = outcome(chosen, folder, whole, capsys)
        assert (what, "run.json: is damaged" in said) == ("found", True)


@pytest.mark.parametrize("kind", STOPS)
def test_a_damaged_unfinished_state_starts_afresh_and_says_so(
    world, tmp_path, capsys, kind
):
    chosen, whole, unfinished = world
    folder = copied(unfinished[kind], tmp_path / "run")
    files = [p for p in folder.glob(f"partial/{kind}-*/**/*") if p.is_file()]
    (largest, *_) = sorted(files, key=lambda path: -path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-7])
    what, said = outcome(chosen, folder, whole, capsys)
    assert what == "made again"
    (line,) = [line for line in said.splitlines() if "afresh" in line]
    assert str(largest.relative_to(folder).parts[1]) in line  # the group's folder
    assert {"teacher": "teacher: ", "store": "labels, stored"}.get(kind, kind) in line


@pytest.mark.slow
def test_random_damages_are_found_or_made_again(world, tmp_path, capsys):
    chosen, whole, unfinished = world
    rng = np.random.default_rng(90)
    tally = {}
    for number in range(100):
        kind = None if number % 2 else list(STOPS)[number // 2 % len(STOPS)]
        origin = whole if kind is None else unfinished[kind]
        folder = copied(origin, tmp_path / f"run{number}")
        places = folder if kind is None else folder / "partial"
        done = damage(places, rng)
        what, said = outcome(chosen, folder, whole, capsys)
        if kind is not None:
            assert what == "made again", (number, done, said)
            told = "afresh" in said
            what += ", told" if told else ", not told"
            sealed = "store-" not in str(done[1])
            assert told or not sealed, (number, done, said)
        row = ("finished" if kind is None else "unfinished", done[0], what)
        tally[row] = tally.get(row, 0) + 1
        shutil.rmtree(folder)
        with capsys.disabled():
            print(number, *row, done[1].relative_to(folder), sep=" | ", flush=True)
    with capsys.disabled():
        print()
        for row, count in sorted(tally.items()):
            print(*row, count, sep=" | ")
