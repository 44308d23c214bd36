"""Artifacts: whole or not at all, reused, checked, one experiment a folder."""

import json
import os

import numpy as np
import pytest

from ddjax import artifacts
from ddjax.artifacts import Cost, Draft, digest, load
from ddjax.data.images import Streamed
from ddjax.errors import InputError
from ddjax.workdir import Workdir

IDENTITY = {"experiment": "a", "source": "s"}


def make(folder):
    (folder / "extra.bin").write_bytes(b"extra")
    return Draft({"x": np.arange(5.0)}, {"note": 1}, Cost(seconds=2.0, train_passes=3))


def made(tmp_path):
    with Workdir(tmp_path / "w", IDENTITY) as workdir:
        return workdir.artifact("kind", {"a": 1}, {"p": "q"}, make)


def test_artifact_writes_arrays_info_cost_and_manifest(tmp_path):
    artifact = made(tmp_path)
    np.testing.assert_array_equal(artifact.arrays["x"], np.arange(5.0))
    assert artifact.info == {"note": 1}
    assert artifact.cost.seconds == 2.0 and artifact.cost.train_passes == 3
    assert artifact.cost.bytes > 0
    assert not artifact.reused
    manifest = json.loads((artifact.path / "manifest.json").read_text())
    assert manifest["settings"] == {"a": 1} and manifest["parents"] == {"p": "q"}
    assert set(manifest["files"]) == {"arrays.npz", "extra.bin"}


def test_artifact_reuses_what_is_there_and_only_that(tmp_path):
    made(tmp_path)

    def fail(folder):
        raise AssertionError("made again")

    with Workdir(tmp_path / "w", IDENTITY) as workdir:
        assert workdir.artifact("kind", {"a": 1}, {"p": "q"}, fail).reused
        for settings, parents in (({"a": 2}, {"p": "q"}), ({"a": 1}, {"p": "r"})):
            assert not workdir.artifact("kind", settings, parents, make).reused


def test_artifact_that_fails_leaves_nothing(tmp_path):
    def fail(folder):
        (folder / "half").write_text("half")
        raise RuntimeError("stopped")

    with Workdir(tmp_path / "w", IDENTITY) as workdir:
        with pytest.raises(RuntimeError):
            workdir.artifact("kind", {}, {}, fail)
    with Workdir(tmp_path / "w", IDENTITY) as workdir:
        assert list(workdir.artifacts.iterdir()) == []
        assert not workdir.artifact("kind", {}, {}, make).reused


@pytest.mark.parametrize("name", ["arrays.npz", "extra.bin"])
def test_load_finds_a_flipped_byte(tmp_path, name):
    path = made(tmp_path).path
    content = bytearray((path / name).read_bytes())
    content[-1] ^= 1
    (path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name}: sha256 .* damaged; advice"):
        load(path, "kind", "advice")


@pytest.mark.parametrize("name", ["arrays.npz", "extra.bin", "manifest.json"])
def test_load_names_a_missing_file(tmp_path, name):
    path = made(tmp_path).path
    (path / name).unlink()
    with pytest.raises(InputError, match=f"{name}: is missing"):
        load(path, "kind", "advice")


def test_load_refuses_a_truncated_manifest(tmp_path):
    path = made(tmp_path).path
    text = (path / "manifest.json").read_text()
    (path / "manifest.json").write_text(text[: len(text) // 2])
    with pytest.raises(InputError, match="is damaged"):
        load(path, "kind", "advice")


@pytest.mark.parametrize(
    "key, value",
    [
        ("cost", {"train_passes": 4}),
        ("info", {"note": 2}),
        ("created", "2020-01-01T00:00:00Z"),
        ("files", {}),
        ("more", 1),
        ("digest", None),
    ],
)
def test_load_refuses_a_changed_manifest(tmp_path, key, value):
    path = made(tmp_path).path
    manifest = json.loads((path / "manifest.json").read_text())
    if isinstance(value, dict) and value:
        value = manifest[key] | value
    (path / "manifest.json").write_text(json.dumps(manifest | {key: value}))
    with pytest.raises(InputError, match="manifest.json: is damaged .*checksum"):
        load(path, "kind", "advice")


def test_sealed_values_come_back_and_changed_ones_do_not():
    value = {"a": [1, 2.5, float("inf")], "b": {"c": None, "d": "é"}, "e": (1, 2)}
    sealed = json.loads(json.dumps(artifacts.seal(value)))
    assert artifacts.unseal(sealed) == value | {"e": [1, 2]}
    for wrong in (sealed | {"a": []}, sealed | {"f": 1}, value, [], None, {}):
        with pytest.raises(ValueError):
            artifacts.unseal(wrong)


def test_load_refuses_another_kind_and_another_address(tmp_path):
    path = made(tmp_path).path
    with pytest.raises(InputError, match="kind is 'kind', expected 'teacher'"):
        load(path, "teacher", "advice")
    with pytest.raises(InputError, match="address is .* expected 'other'"):
        load(path, "kind", "advice", "other")


def test_workdir_refuses_another_experiment(tmp_path):
    made(tmp_path)
    with pytest.raises(InputError, match="holds a run with source 's'"):
        Workdir(tmp_path / "w", {"experiment": "a", "source": "t"})


def test_workdir_refuses_a_folder_of_other_things(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="holds 'thesis.tex' but no run.json"):
        Workdir(tmp_path, IDENTITY)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_workdir_refuses_a_damaged_marker(tmp_path):
    made(tmp_path)
    marker = tmp_path / "w" / "run.json"
    changed = marker.read_text().replace('"source": "s"', '"source": "t"')
    for text in ("{", changed, "[]"):
        marker.write_text(text)
        with pytest.raises(InputError, match="run.json: is damaged"):
            Workdir(tmp_path / "w", IDENTITY)


def test_workdir_refuses_a_folder_of_another_version(tmp_path):
    made(tmp_path)
    (tmp_path / "w" / "run.json").write_text(json.dumps({"schema": 2, **IDENTITY}))
    with pytest.raises(InputError, match="schema 2, this one has"):
        Workdir(tmp_path / "w", IDENTITY)


def test_what_a_killed_run_left_of_a_finished_artifact_goes(tmp_path):
    path = made(tmp_path).path
    with Workdir(tmp_path / "w", IDENTITY) as workdir:
        (workdir.partial / path.name).mkdir()
        workdir.artifact("kind", {"a": 1}, {"p": "q"}, make)
        assert list(workdir.partial.iterdir()) == []


def test_workdir_refuses_a_second_process(tmp_path):
    with Workdir(tmp_path / "w", IDENTITY):
        with pytest.raises(InputError, match="another process is running there"):
            Workdir(tmp_path / "w", IDENTITY)
    Workdir(tmp_path / "w", IDENTITY).close()


def test_workdir_refuses_a_file_in_its_place(tmp_path):
    (tmp_path / "w").write_text("a file")
    with pytest.raises(InputError, match="cannot be made a folder"):
        Workdir(tmp_path / "w", IDENTITY)


def test_workdir_says_when_it_cannot_be_written(tmp_path, monkeypatch):
    # Permission bits do not stop the superuser, so the refusal is provoked at the
    # call that a read-only file system fails.
    def refuse(*args, **kwargs):
        raise OSError(30, os.strerror(30))

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(InputError, match="cannot be written .Read-only file system"):
        Workdir(tmp_path / "w", IDENTITY)


def test_digest_depends_on_value_type_and_shape():
    row = np.arange(6, dtype=np.int32)
    values = [row, row.reshape(2, 3), row.astype(np.int64), {"a": 1}, {"a": 2}]
    assert len({digest(value) for value in values}) == len(values)
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})


def test_write_file_leaves_the_old_file_when_it_fails(tmp_path, monkeypatch):
    path = tmp_path / "summary.csv"
    path.write_text("older")

    def full_disk(*_):
        raise OSError("no space left")

    monkeypatch.setattr(artifacts.os, "replace", full_disk)
    with pytest.raises(OSError, match="no space"):
        artifacts.write_file(path, b"newer")
    assert path.read_text() == "older"
    assert [file.name for file in tmp_path.iterdir()] == ["summary.csv"]


def test_digest_of_a_stream_reads_nothing():
    class Unread:
        identity = None

        def __len__(self):
            return 6

        def read(self, position):
            raise AssertionError(f"image {position} is read")

    def stream(identity, size=8):
        records = Unread()
        records.identity = identity
        return Streamed(records, size, 3)

    one = stream("a")
    assert digest(one) == digest(stream("a"))
    others = one.take([2, 0]), one.take([0, 2]), stream("b"), stream("a", 4)
    assert len({digest(images) for images in (one, *others)}) == 5
