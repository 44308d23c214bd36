"""Data of one's own, from a folder to the chosen images in another one."""

import csv
import importlib.util
import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from ddjax import data, mesh, pipeline, plan
from ddjax.errors import InputError
from ddjax.settings import from_config

CONFIG = pathlib.Path(__file__).parents[1] / "configs" / "own.py"
COUNTS = {"cat": 12, "dog": 30, "emu": 20}


def get_config(*arguments, **keywords):
    spec = importlib.util.spec_from_file_location("own", CONFIG)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(*arguments, **keywords)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Three unequal classes of JPEGs of mixed sizes, a grey one among them."""
    root = tmp_path_factory.mktemp("own") / "birds"
    rng = np.random.default_rng(0)
    for label, (name, count) in enumerate(COUNTS.items()):
        (root / name).mkdir(parents=True)
        for index in range(count):
            height, width = rng.integers(12, 40, 2)
            image = rng.integers(0, 120, (height, width, 3), dtype=np.uint8)
            image[..., label] += 90
            picture = Image.fromarray(image)
            if index == 0:
                picture = picture.convert("L")
            picture.save(root / name / f"img {index}.jpg")
    (root / "notes.txt").write_text("left out")
    return root


@pytest.fixture(scope="module")
def done(pictures, tmp_path_factory):
    """The workdir and the export of the smoke variant."""
    place = tmp_path_factory.mktemp("run")
    settings = from_config(get_config("smoke", data=str(pictures)))
    pipeline.run(settings, place / "run", place / "chosen")
    return place / "run", place / "chosen"


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_the_answer_is_a_list_of_files(done, pictures):
    folder, _ = done
    rows = rows_of(folder / "subset.csv")
    assert list(rows[0]) == ["id", "class", "path", "digest"]
    ipc = len(rows) // len(COUNTS)
    assert [row["class"] for row in rows] == np.repeat(list(COUNTS), ipc).tolist()
    source = data.load(f"folder:{pictures}", image_size=8)
    for row in rows:
        path = pathlib.Path(row["path"])
        assert path.is_file() and path.parent == pictures / row["class"]
        assert str(path.relative_to(pictures)) == source.paths[int(row["id"])]


def test_the_answer_is_the_choice_of_validation(done):
    folder, chosen = done
    told = json.loads((chosen / ".ddjax_export.json").read_text())
    students = [
        json.loads(line) for line in (folder / "members.jsonl").read_text().splitlines()
    ]
    means = {
        name: np.mean([s["val_accuracy"] for s in students if s["method"] == name])
        for name in ("random", "facility_location")
    }
    assert means[told["method"]] == max(means.values())
    end = f"{told['method']}_ipc{told['ipc']}_seed{told['seed']}.csv"
    assert rows_of(folder / "subsets" / end) == rows_of(folder / "subset.csv")
    assert told["text"] in (folder / "report.html").read_text()


def test_the_export_holds_the_same_files(done, pictures):
    folder, chosen = done
    exported = {p.relative_to(chosen): p for p in chosen.glob("*/*")}
    listed = {
        pathlib.Path(row["path"]).relative_to(pictures)
        for row in rows_of(folder / "subset.csv")
    }
    assert set(exported) == listed
    for name, path in exported.items():
        assert path.read_bytes() == (pictures / name).read_bytes()


def test_the_files_of_a_run_are_read_again(done, pictures):
    folder, _ = done
    source = data.load(f"folder:{pictures}", image_size=8)
    ids, count = source.train.ids, len(source.train)
    for path in ("subset.csv", *(folder / "subsets").iterdir()):
        positions = data.read_subset(folder / path, ids, count)
        rows = rows_of(folder / path)
        assert positions.tolist() == [int(row["id"]) for row in rows]


def test_the_run_says_what_was_derived_and_left_out(done, pictures):
    manifest = json.loads((done[0] / "manifest.json").read_text())
    assert "its numbers mean nothing" in manifest["settings"]["remarks"][0]
    aside, left_out = manifest["source"]["remarks"]
    assert "12 of 62 images" in aside and "notes.txt" in left_out


def test_the_plan_says_so_too(pictures, capsys):
    config = get_config("smoke", data=str(pictures))
    config.remarks = get_config(data=str(pictures)).remarks
    plan.show(from_config(config))
    printed = capsys.readouterr().out
    for remark in config.remarks:
        assert remark in printed
    assert "image size 16 px: the median side is" in printed
    assert "are set aside as one" in printed


def test_remarks_are_no_part_of_what_is_made(done, pictures, capsys):
    folder, _ = done
    config = get_config("smoke", data=str(pictures))
    config.remarks = ("Another remark.",)
    pipeline.run(from_config(config), folder)
    printed = capsys.readouterr().out
    assert "Another remark." in printed and "reused" in printed
    assert "done in" not in printed


def test_smoke_runs_without_data():
    assert get_config("smoke").data.source == "digits"
    assert get_config("smoke").name == "own_smoke"


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((), "--data: missing, e.g. ddjax run own --data=PATH"),
        (("full", "/nowhere"), "--data: found '/nowhere', allowed is the path"),
        (("tiny",), "variant: found 'tiny', allowed is one of full, smoke"),
    ],
)
def test_what_the_config_refuses(arguments, message):
    with pytest.raises(InputError, match=message):
        get_config(*arguments)


def test_an_export_is_refused_before_anything_is_written(pictures, tmp_path):
    settings = from_config(get_config("smoke", data=str(pictures)))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("")
    for target, message in (
        (tmp_path / "full", "holds thesis.txt, which no export wrote"),
        (pictures / "cat", "allowed is a folder apart from the source's"),
        (tmp_path, "does not hold the workdir"),
    ):
        with pytest.raises(InputError, match=message):
            pipeline.run(settings, tmp_path / "run", target)
    config = get_config("smoke", data=str(pictures))
    config.regimes = ()
    with pytest.raises(InputError, match="a run without regimes selects no images"):
        pipeline.run(from_config(config), tmp_path / "run", tmp_path / "new")
    assert not (tmp_path / "run").exists()


def test_the_accelerator_decides(pictures, monkeypatch):
    assert get_config(data=str(pictures)).student.network.name == "convnet_d3"
    monkeypatch.setattr(mesh, "has_accelerator", lambda: True)
    assert get_config(data=str(pictures)).student.network.name == "resnet18"


def test_arrays_go_the_same_road(tmp_path):
    """Grey images of 8 px without files: ids are the answer, PNGs the export."""
    x = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "mine.npz", x=x, y=np.arange(60) % 2)
    config = get_config("smoke", data=str(tmp_path / "mine.npz"))
    pipeline.run(from_config(config), tmp_path / "run", tmp_path / "chosen")
    rows = rows_of(tmp_path / "run" / "subset.csv")
    assert list(rows[0]) == ["id", "class", "digest"]
    source = data.load(config.data.source)
    chosen = source.train.take([int(row["id"]) for row in rows])
    for label in (0, 1):
        files = sorted((tmp_path / "chosen" / str(label)).iterdir())
        pixels = np.stack([np.asarray(Image.open(path)) for path in files])
        np.testing.assert_array_equal(
            pixels, chosen.images[chosen.labels == label, ..., 0]
        )
