"""Reports leave no files of earlier ones, and nobody else's files go."""

import json
import os
import shutil

import pytest
import tiny

from ddjax import artifacts, pipeline, settings
from ddjax.settings import from_config
from ddjax.stages import report

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return tiny.write(tmp_path_factory.mktemp("source") / "tiny.npz")


@pytest.fixture(scope="module")
def first(source, tmp_path_factory):
    """The folder of a run with selections, curves and an image set."""
    folder = tmp_path_factory.mktemp("first") / "run"
    pipeline.run(config(source, True), folder)
    yield folder


@pytest.fixture
def folder(first, tmp_path):
    return shutil.copytree(first, tmp_path / "run")


def config(source, more):
    methods = ("random", "el2n_easy", "cad_prune") if more else ("random",)
    made = tiny.config(
        source,
        select__methods=methods,
        select__ipcs=(2, 3) if more else (2,),
        protocol__curves=2 * more,
        regimes=("hard",),
    )
    if more:
        settings.add_distillation(made, "rded")
        made.distill.rded.patches.candidates = 6
    return from_config(made)


def files_of(folder):
    """What a run wrote for its reader."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
        and not {"artifacts", "partial"} & set(path.parts)
        and path.name not in (".lock", "run.json", "manifest.json", "metrics.jsonl")
    }


def listed(folder):
    return artifacts.unseal(json.loads((folder / "manifest.json").read_text()))["files"]


def test_the_manifest_lists_what_was_written(folder):
    assert listed(folder).keys() == files_of(folder)
    for name, digest in listed(folder).items():
        assert artifacts.digest((folder / name).read_bytes()) == digest


def test_fewer_methods_leave_the_files_of_a_new_run(source, folder, tmp_path):
    pipeline.run(config(source, False), folder)
    pipeline.run(config(source, False), tmp_path / "new")
    assert files_of(folder) == files_of(tmp_path / "new") == listed(folder).keys()
    assert not (folder / "images").exists()


def test_files_of_others_stay(source, folder, capsys):
    mine = [
        folder / "notes.txt",
        folder / "figures" / "mine.png",
        next((folder / "images").iterdir()) / "left" / "mine.png",
    ]
    for path in mine:
        path.write_text("mine")
    changed = folder / "subsets" / "cad_prune_ipc2_seed0.csv"
    edited = changed.read_text() + "# checked by hand\n"
    changed.write_text(edited)
    pipeline.run(config(source, False), folder)
    assert [path.read_text() for path in mine] == ["mine"] * 3
    assert changed.read_text() == edited
    assert f"{changed}: was changed since ddjax wrote it, and is kept" in (
        capsys.readouterr().out
    )
    assert not (folder / "subsets" / "cad_prune_ipc2_seed1.csv").exists()
    own = {path.relative_to(folder).as_posix() for path in [*mine, changed]}
    assert files_of(folder) == listed(folder).keys() | own


def test_a_made_set_that_is_written_again_leaves_others_files(source, folder):
    mine = next((folder / "images").iterdir()) / "left" / "mine.png"
    mine.write_text("mine")
    before = files_of(folder)
    pipeline.run(config(source, True), folder)
    assert mine.read_text() == "mine" and files_of(folder) == before


@pytest.mark.parametrize("stage", ["write_exports", "draw", "_write_report"])
def test_a_report_that_stopped_is_tidied_by_the_next(
    source, folder, tmp_path, monkeypatch, stage
):
    """Two runs stop within their reports; what both and the first one wrote goes."""

    class Stopped(Exception):
        pass

    done = getattr(report, stage)

    def stop(*arguments, **named):
        done(*arguments, **named)
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(report, stage, stop)
        for _ in range(2):
            with pytest.raises(Stopped):
                pipeline.run(config(source, True), folder)
    assert "figures/images_ipc3.png" in files_of(folder)
    pipeline.run(config(source, False), folder)
    pipeline.run(config(source, False), tmp_path / "new")
    assert files_of(folder) == files_of(tmp_path / "new")


def test_a_failed_run_removes_nothing(source, folder, monkeypatch):
    before = files_of(folder)
    monkeypatch.setattr(report, "_write", lambda *everything: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        pipeline.run(config(source, False), folder)
    assert before <= files_of(folder)


def test_a_damaged_list_removes_nothing_and_is_told(source, folder, capsys):
    before, path = files_of(folder), folder / "manifest.json"
    text = path.read_text()
    path.write_text(text.replace('"subsets/', '"subset_/', 1))
    pipeline.run(config(source, False), folder)
    assert f"{path}: is damaged (does not match its checksum)" in (
        capsys.readouterr().out
    )
    assert before <= files_of(folder)


def test_a_list_cannot_name_files_elsewhere(source, folder, tmp_path):
    other = tmp_path / "thesis.tex"
    other.write_text("thesis")
    (folder / "figures" / "link").symlink_to(tmp_path)
    path = folder / "manifest.json"
    manifest = artifacts.unseal(json.loads(path.read_text()))
    same = artifacts.digest(b"thesis")
    for name in (str(other), "../thesis.tex", "figures/link/thesis.tex"):
        manifest["files"][name] = same
    path.write_text(json.dumps(artifacts.seal(manifest)))
    pipeline.run(config(source, False), folder)
    assert other.read_text() == "thesis"
    assert os.path.lexists(folder / "figures" / "link")
