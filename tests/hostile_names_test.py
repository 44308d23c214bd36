"""Names and shapes that a report stumbles over: refused first, or shown as they are."""

import csv
import errno
import html
import json
import os
import re
import types

import matplotlib.figure
import numpy as np
import pages
import pandas as pd
import pytest
import tiny
from runs import drawing, numbers_of

from ddjax import data, mesh, pipeline, report
from ddjax.errors import InputError
from ddjax.process.ending import Preempted
from ddjax.report import image_plots
from ddjax.settings import Distill, Labels, Settings, from_config
from ddjax.stages import exports
from ddjax.stages.checks import check_classes
from ddjax.stages.figures import write_figures
from ddjax.stages.outputs import Parts

HOSTILE = (
    "$_$",
    r"$\frac$",
    "a/b",
    "=1+1",
    "<script>alert(1)</script>",
    "x" * 300,
    "猫 🐈",
    "_hidden",
    '"quoted", ',
    "{{ 7 * 7 }}",
    "../up",
    "100%s",
)
NO_TEXT = ("a\nb", "tab\t", "\udcff", "bell\a", "\x1b[31m", "line\u2028", "", "\0")


@pytest.mark.parametrize("name", NO_TEXT)
def test_a_class_that_is_no_text_is_refused(name):
    with pytest.raises(InputError, match="data.source: found the class .*; rename it"):
        check_classes(("good", name))


def test_a_class_that_is_no_text_is_refused_before_compute(tmp_path):
    names = np.array(["left", "mid\ndle", "right"])
    source = tiny.write(tmp_path / "tiny.npz", class_names=names)
    with pytest.raises(InputError, match=r"found the class 'mid\\ndle' with '\\n'"):
        pipeline.run(from_config(tiny.config(source)), tmp_path / "w")
    assert not (tmp_path / "w").exists()


def test_printable_names_are_accepted():
    check_classes(HOSTILE)


@pytest.mark.parametrize("name", ["_hidden", "a" * 61, "a/b", "é", "=1", "a b"])
def test_an_entry_that_files_cannot_be_called_by_is_refused(name):
    for section in ({"labels": {name: Labels()}}, {"distill": {name: Distill()}}):
        with pytest.raises(InputError, match="at most 60 ASCII letters, digits and _,"):
            Settings(**section)


@pytest.mark.parametrize(
    "shape", [(1, 300), (300, 1), (1, 1), (5, 4000), (64, 65), (129, 2), (1, 64)]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_thumbnails_of_any_shape_have_pixels(shape, channels):
    image = np.full((*shape, channels), 7, np.uint8)
    thumbnail = image_plots._thumbnail(image)
    height, width, colours = thumbnail.shape
    assert 1 <= min(height, width) and max(height, width) <= 96 and colours == 3
    assert (thumbnail == 7).all()


def test_a_figure_shows_names_as_they_are(tmp_path):
    count = len(HOSTILE)
    images = np.zeros((count, 1, 300, 3), np.uint8)
    subsets = {name: np.arange(count) for name in HOSTILE[:4]}
    figure = report.contact_sheet(images, np.arange(count), subsets, HOSTILE, 1, count)
    report.save_png(figure, tmp_path / "sheet.png")
    (axes,) = figure.axes
    shown = [text.get_text() for text in axes.get_xticklabels()]
    assert shown[0] == "$_$"
    assert all(not text.get_parse_math() for text in axes.get_xticklabels())
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_a_users_style_does_not_reach_figures(tmp_path):
    import matplotlib

    scores = {"a": np.arange(5.0), "b": np.arange(5.0)[::-1]}
    report.save_png(report.correlation_figure(scores), tmp_path / "a.png")
    with matplotlib.rc_context({"text.usetex": True, "font.size": 40}):
        report.save_png(report.correlation_figure(scores), tmp_path / "b.png")
        assert matplotlib.rcParams["font.size"] == 40
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


PATHS = ("new\nline", "return\rhere", "tab\t", '"', ",", "'=1", "\u202eleft", "NA", "1")


def as_read(path, name):
    """A column as Python's csv and as pandas read it."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = [row[name] for row in csv.DictReader(file)]
    table = pd.read_csv(path, dtype={name: str}, keep_default_na=False)
    return rows, table[name].tolist()


def test_names_in_tables_are_read_back_as_they_are(tmp_path):
    """A spreadsheet may take some for a formula, as docs/outputs.md warns."""
    names = [*HOSTILE, *PATHS, "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)"]
    ids = np.arange(len(names))
    texts, path = {"class": names, "path": names[::-1]}, tmp_path / "subset.csv"
    data.write_subset(path, ids, texts)
    assert as_read(path, "class") == (names, names)
    assert as_read(path, "path") == (names[::-1], names[::-1])
    path = tmp_path / "scores.csv"
    data.write_scores(path, ids, {"cad": ids / 3}, len(names), texts)
    assert as_read(path, "class") == (names, names)
    again = data.read_scores(path, ids, len(names), "cad", texts)
    np.testing.assert_array_equal(again, ids / 3)
    rows = [
        {"method": name, "ipc": 1, "regime": name, "seed": 0, "status": "ok"}
        for name in names
    ]
    numbers = ("accuracy", "val_accuracy", "learning_rate", "find_passes")
    numbers += ("find_seconds", "image_passes", "train_seconds")
    members = pd.DataFrame(rows).assign(**dict.fromkeys(numbers, 1.0))
    report.write_csv(report.summarise(members), tmp_path / "summary.csv")
    for name in ("method", "regime"):
        found, _ = read = as_read(tmp_path / "summary.csv", name)
        assert read[0] == read[1] and set(found) == set(names)


RIGHT_TO_LEFT = "\u05e2\u05d1\u05e8\u05d9\u05ea"
NAMES = (*HOSTILE, "two\nlines", RIGHT_TO_LEFT, "\u202eleft", "=cmd()")
HIDDEN = {"regime": "</dl>"}


@pytest.mark.parametrize("what", ["methods", "labels"])
def test_a_page_shows_names_as_they_are(tmp_path, what):
    if what == "methods":
        students = pages.students(("random", *NAMES), ("hard", NAMES[4]), (1,), 2)
    else:
        students = pages.students(("random", "full"), ("hard", *NAMES), (1,), 2)
    (tmp_path / "classes.png").write_bytes(pages.PNG)
    manifest = pages.MANIFEST | {
        "run": {"command": " ".join(NAMES)},
        "settings": {"name": "</title><b>", "labels": dict.fromkeys(NAMES, HIDDEN)},
        "source": pages.MANIFEST["source"] | {"name": "x/</h1>", "classes": NAMES},
        "notes": [f"See {name}." for name in NAMES],
        "costs": [{"stage": name, "seconds": 1.0} for name in NAMES],
        "recommended": NAMES[4],
    }
    figures = (report.PageFigure("classes.png", '"><script>'),)
    record = report.Record(tmp_path, manifest, students, figures=figures)
    text = report.write_page(record).read_text(encoding="utf-8")
    page = pages.sound(text)
    assert page.tags.count("script") == 1
    for name in NAMES:
        assert squeezed(name) in squeezed(page.text), name
        assert squeezed(f"See {name}.") in squeezed(page.text)
    drawn = [
        squeezed("".join(svg.itertext())).casefold() for svg in pages.pictures(text)
    ]
    for name in NAMES:
        title = squeezed(name if what == "labels" else report.title(name))
        assert any(title.casefold() in words for words in drawn), name
    report.write_verdicts(record)
    assert json.loads((tmp_path / "verdicts.json").read_text())["verdicts"]


def squeezed(text):
    return "".join(text.split())


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """The folder of a source of twelve classes with such names, and settings."""
    folder = tmp_path_factory.mktemp("hostile")
    random, count = np.random.default_rng(0), len(HOSTILE)
    found = {"class_names": np.array(HOSTILE)}
    for split, many in (("train", 6), ("test", 2)):
        found[f"y_{split}"] = np.repeat(np.arange(count), many)
        shape = (count * many, 8, 8)
        found[f"x_{split}"] = random.integers(0, 256, shape, np.uint8)
    np.savez(folder / "hostile.npz", **found)
    config = tiny.config(
        folder / "hostile.npz",
        regimes=("hard",),
        select__methods=("random",),
        select__ipcs=(1,),
    )
    return folder, from_config(config)


def test_a_run_on_such_names_ends_well(hostile):
    folder, settings = hostile
    with drawing():
        summary = pipeline.run(settings, folder / "w", folder / "export")
    assert summary.attrs["missing"] == []
    page = (folder / "w" / "report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert len(list((folder / "export").glob("*/*.png"))) == len(HOSTILE)
    found, table = as_read(folder / "w" / "subset.csv", "class")
    assert found == table and set(found) == set(HOSTILE)


@pytest.fixture
def failing(monkeypatch):
    """Makes a function of the report fail."""

    def fail(name, error):
        def stumble(*arguments, **options):
            raise error

        monkeypatch.setattr(report, name, stumble)

    return fail


def test_a_part_that_fails_costs_no_other(hostile, failing, capsys):
    folder, settings = hostile
    pipeline.run(settings, folder / "whole")
    failing("contact_sheet", ValueError("ParseException: Expected end\nof text"))
    failing("write_csv", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    failing("console_table", UnicodeEncodeError("ascii", "–", 0, 1, "no dash"))
    summary = pipeline.run(settings, folder / "part")
    notes = summary.attrs["missing"]
    assert len(notes) == 3 and len(summary) == 2
    assert notes[0] == (
        "Missing in the report: summary.csv; No space left on device. The same command "
        "writes what is missing."
    )
    figure = (
        "Missing in the report: figures/images_ipc1.png; ParseException: Expected end ("
    )
    assert notes[1].startswith(figure) and "\n" not in notes[1]
    names = {path.name for path in (folder / "whole").iterdir()}
    assert names - {path.name for path in (folder / "part").iterdir()} == {
        "summary.csv"
    }
    manifest = json.loads((folder / "part" / "manifest.json").read_text())
    assert manifest["notes"][-2:] == notes[:2]
    assert figure in html.unescape((folder / "part" / "report.html").read_text())
    assert figure in capsys.readouterr().out
    # The same command writes what is missing, with all its columns.
    rows = numbers_of(folder / "part")
    assert rows == numbers_of(folder / "whole")


def test_the_same_command_writes_what_was_missing(hostile, monkeypatch):
    folder, settings = hostile
    with monkeypatch.context() as patch:
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def refuse(*arguments, **options):
            raise full

        patch.setattr(exports.data, "write_subset", refuse)
        patch.setattr(report, "write_csv", refuse)
        patch.setattr(report, "write_page", refuse)
        summary = pipeline.run(settings, folder / "again")
    (note,) = summary.attrs["missing"]
    assert re.match(
        "Missing in the report: summary.csv, subsets/.* and 2 more; N", note
    )
    assert not (folder / "again" / "report.html").exists()
    summary = pipeline.run(settings, folder / "again")
    assert summary.attrs["missing"] == []
    with open(folder / "again" / "summary.csv", newline="") as file:
        assert list(csv.DictReader(file).fieldnames) == list(summary.columns)
    assert (folder / "again" / "report.html").exists()


def test_being_told_to_stop_is_no_failure():
    parts = Parts()
    with pytest.raises(Preempted), parts.part("figures"):
        raise Preempted
    assert parts.missing == []


def test_a_second_process_keeps_the_figures_of_the_first(tmp_path, monkeypatch):
    path = tmp_path / "figures" / "dcs.png"
    path.parent.mkdir()
    path.write_bytes(b"of the first")
    monkeypatch.setattr(mesh, "primary", lambda: False)
    run = types.SimpleNamespace(folder=tmp_path)
    parts = Parts()
    drawn = [("DCS", matplotlib.figure.Figure, "dcs")]
    with drawing():
        assert write_figures(run, parts, drawn) == [("DCS", path)]
    assert path.read_bytes() == b"of the first" and parts.missing == []
