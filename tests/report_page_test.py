"""The page of a run: whole, true to its numbers, for studies of every shape."""

import base64
import gzip
import io
import itertools
import json
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pages
import pandas as pd
import pytest
import scipy.stats
from pages import ARMS, KINDS, MANIFEST, PNG, students

from ddjax import report
from ddjax.errors import InputError
from ddjax.report import Record, contrasts, summarise, verdicts
from ddjax.report.page import cautions, facts
from ddjax.report.page.grid import Grid
from ddjax.report.statistics import FULL, RANDOM

ROOT = pathlib.Path(__file__).parents[1]
PICTURES = {
    "images_ipc1": "Images selected by each method.",
    "images_ipc10": "Images selected by each method, again.",
    "classes": "One image of each class.",
}


@pytest.fixture
def made(tmp_path):
    """Writes the page of made-up students; returns its record and the page."""

    def make(table=None, pictures=PICTURES, **changes):
        figures = []
        for name, caption in pictures.items():
            (tmp_path / f"{name}.png").write_bytes(PNG)
            figures.append(report.PageFigure(f"{name}.png", caption))
        record = Record(
            tmp_path,
            MANIFEST | changes,
            students() if table is None else table,
            figures=tuple(figures),
        )
        text = report.write_page(record).read_text(encoding="utf-8")
        return record, pages.sound(text)

    return make


def settings(**changes):
    return {"settings": MANIFEST["settings"] | changes}


SHAPES = {
    "one seed": {"seeds": 1},
    "two seeds": {"seeds": 2},
    "one budget": {"ipcs": (10,)},
    "many budgets": {"ipcs": (1, 2, 5, 10, 20, 50)},
    "one arm": {"arms": (RANDOM, "cad_prune")},
    "one kind of labels": {"kinds": ("soft_kd",)},
    "first kind is not hard": {"kinds": ("mine", "soft")},
    "random images only": {"arms": (RANDOM,), "kinds": ("hard",)},
    "no random images": {"arms": ("cad_prune", "facility_location")},
    "full data only": {"arms": (FULL,)},
    "labels": {"arms": (RANDOM, FULL), "kinds": ("hard", *"abcdefghijklmnopqrst")},
    "other labels": {"arms": (RANDOM,), "kinds": ("mine", "soft")},
    "a judged set": {"arms": (RANDOM, "images", FULL)},
    "synthetic sets": {"arms": (RANDOM, "dm", "edc", "cad_prune", FULL)},
    "a failure": {"failed": [("cad_prune", 0)]},
    "an arm that failed": {"failed": [("cad_prune", seed) for seed in range(4)]},
    "random failed": {"failed": [(RANDOM, seed) for seed in range(4)]},
    "all failed": {"failed": [*itertools.product(ARMS, range(4))]},
    "many arms": {"arms": (*ARMS, *(f"arm_{i}" for i in range(30)))},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_study_of_any_shape_gives_a_sound_page(made, shape):
    own = settings(distill={"dm": {}, "edc": {}}) if shape == "synthetic sets" else {}
    record, page = made(students(**SHAPES[shape]), **own)
    heads = [cell for row in page.tables["accuracy"] for cell in row if cell[0] == "th"]
    shown = sum("who" in attributes["class"] for _, attributes, _ in heads)
    pairs = record.members.groupby(["method", "regime"]).ngroups
    of_labels = shape in ("labels", "other labels", "full data only")
    assert shown == 1 + pairs / (1 if of_labels else len(record.study.regimes))
    if not record.verdicts:
        assert record.no_verdict in page.text and "No verdict." in page.text
    for verdict in record.verdicts:
        assert verdict.answer in page.text and verdict.text in page.text
    assert page.tags.count("article") == max(len(record.verdicts), 1)
    keys = {verdict.key for verdict in record.verdicts}
    assert ("against random: " in page.text) == ("tested" in keys)
    below = "after Holm over the comparisons of their answer"
    compared = keys and not of_labels and shape != "random failed"
    assert (below in page.text) == bool(compared)


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ("random images only", "nothing is compared"),
        ("other labels", "There are no hard or soft_kd labels to compare others"),
        ("full data only", "No student was trained on random images"),
        ("all failed", "No student succeeded"),
        ("no random images", "No student was trained on random images"),
    ],
)
def test_a_study_without_a_verdict_says_why(made, shape, reason):
    record, page = made(students(**SHAPES[shape]))
    assert record.verdicts == []
    assert reason in page.text
    report.write_verdicts(record)
    found = json.loads((record.folder / "verdicts.json").read_text())
    assert found["verdicts"] == [] and reason in found["why_none"]


def cells(page, record):
    """(method, kind of labels, budget or None) -> (attributes, text) of a cell."""
    found = {}
    for row in page.tables["accuracy"][2:]:
        (_, _, name), *rest = row
        arm = next(a for a in {*record.members["method"]} if name.endswith(a))
        places = itertools.product(record.study.regimes, (*record.budgets, None))
        for (kind, ipc), (_, attributes, text) in zip(places, rest, strict=True):
            found[arm, kind, ipc] = attributes, text
    return found


def test_cells_have_the_numbers_of_the_summary(made):
    record, page = made()
    found = cells(page, record)
    summary = summarise(record.members)
    assert len(found) == len(summary) * 3 / 2
    for row in summary.itertuples():
        attributes, text = found[row.method, row.regime, row.ipc]
        assert float(attributes["data-v"]) == pytest.approx(row.accuracy, abs=1e-4)
        assert text.startswith(f"{row.accuracy:.1f} ±{row.ci95:.1f}")
        if row.method != RANDOM:
            gap = f"{row.gap:+.1f}\u00a0±{row.gap_ci95:.1f}".replace("-", "−")
            assert gap in text


def test_marks_and_tints_are_those_of_the_tests(made):
    record, page = made(students(seeds=3, arms=(*ARMS, *(f"a{i}" for i in range(9)))))
    found = cells(page, record)
    accuracy = record.members.pivot(
        index=["regime", "ipc", "seed"], columns="method", values="accuracy"
    )
    marks, doubled = set(), 0
    for kind, ipc in itertools.product(KINDS, record.budgets):
        table = accuracy.loc[kind, ipc]
        gaps = table.drop(columns=RANDOM).sub(table[RANDOM], axis=0)
        p = pd.Series(scipy.stats.ttest_1samp(gaps, 0).pvalue, gaps.columns)
        family = p.drop(FULL).sort_values()
        factors = np.arange(len(family), 0, -1)
        holm = np.minimum(np.maximum.accumulate(family * factors), 1)
        for arm in gaps:
            attributes, text = found[arm, kind, ipc]
            sign = ("▲" if gaps[arm].mean() > 0 else "▼") if p[arm] < 0.05 else ""
            twice = arm != FULL and holm[arm] < 0.05
            own = re.findall("[▲▼]+", text)
            assert own == ([sign * (2 if twice else 1)] if sign else [])
            tint = re.search(r"\b[ud]\d", attributes["class"])
            assert bool(tint) == bool(sign)
            if tint:
                size = abs(gaps[arm].mean())
                level = sum(size >= least for least in (1, 3, 10))
                assert tint[0] == f"{'u' if sign == '▲' else 'd'}{level}"
            marks |= {*own}
            doubled += twice
    assert {"▼", "▼▼"} <= marks and doubled


def test_the_best_of_a_column_is_bold(made):
    record, _ = made()
    text = (record.folder / "report.html").read_text()
    bold = re.findall(r'<span class="[ag] top">([^<]*)', text)
    summary = record.summary[record.summary["method"] != FULL]
    best = summary.groupby(["regime", "ipc"])["accuracy"].max()
    assert {f"{value:.1f}" for value in best} <= {*bold}
    assert len(bold) == len(best) * 3 / 2


def test_the_first_picture_has_every_gap_and_what_verdicts_quote(made):
    record, page = made()
    hard = record.members[record.members["regime"] == "hard"]
    accuracy = hard.groupby(["seed", "method"])["accuracy"].mean().unstack()
    gap = accuracy["cad_prune"] - accuracy[RANDOM]
    half = scipy.stats.t.ppf(0.975, 3) * gap.std() / 2
    words = f"CAD-Prune, hard: {gap.mean():+.1f}\u00a0±{half:.1f}".replace("-", "−", 2)
    assert words.replace("CAD−Prune", "CAD-Prune") in " ".join(page.words)
    for verdict in record.verdicts:
        for each in verdict.contrasts:
            mean = f"{each.mean:+.1f}".replace("-", "−")
            assert f"{mean} ±{each.half_width:.1f}" in page.words


def test_a_page_says_how_to_run_it_again_and_where_it_ran(made):
    record, page = made()
    raw = (record.folder / "report.html").read_text()
    assert "ddjax run cad_prune:digits --workdir &#39;~/a  b&#39;" in raw
    for words in (
        "Digits: 1 and 10 images per class",
        "8×8 grey, 2 classes",
        "0.2 % and 2 % kept",
        "ConvNet-D2, width 8",
        "80 students, 4 seeds",
        "2026-01-02 03:04 UTC",
        "90.0 s",
        "2 min, 92.0 s of it reused",
        "0123456789ab",
        "jax 0.10.2, python 3.11",
        "2 × cpu, 2 cores of A processor",
        "9 epochs of AdamW at batch 20",
        "made_up",
        "A remark.",
    ):
        assert words in page.text, words


def test_what_a_run_did_not_record_is_left_out(made):
    _, page = made(run={}, environment={}, costs=[], notes=[], pictures={})
    details = page.text.split("Details", 1)[1]
    for word in ("date", "duration", "commit", "host", "Environment", "Stages"):
        assert word not in details, word
    assert "Figures" not in page.heads
    assert page.text.count("ddjax run") == 0
    assert 'id="command"' not in page.text


def test_a_page_lists_the_files_beside_it(made, tmp_path):
    for name in ("summary.csv", "members.jsonl", "unknown.bin"):
        (tmp_path / name).write_text("1234")
    (tmp_path / "subsets").mkdir()
    (tmp_path / "subsets" / "a.csv").write_text("")
    _, page = made()
    linked = {address for tag, address in page.links if tag == "a"}
    assert {"summary.csv", "members.jsonl", "subsets/", "manifest.json"} <= linked
    assert "unknown.bin" not in linked and "scores/" not in linked
    assert "subsets/ every selected subset, 1 file" in page.text


@pytest.mark.parametrize("count", [4, 300])
def test_a_page_alone_has_the_students(made, count):
    record, page = made(students(seeds=count, kinds=("hard", "soft")))
    (uri,) = (uri for tag, uri in page.links if tag == "a" and uri[:5] == "data:")
    kind, data = uri.split(";base64,")
    data = base64.b64decode(data)
    assert kind.startswith("data:text/csv" if count == 4 else "data:application/gzip")
    text = data if count == 4 else gzip.decompress(data)
    found = pd.read_csv(io.BytesIO(text))
    names = ["method", "ipc", "regime", "seed", "accuracy", "val_accuracy"]
    pd.testing.assert_frame_equal(
        found[names], record.members[names], atol=1e-4, check_exact=False
    )


def test_figures_of_a_kind_stand_together_one_of_them_open(made):
    record, page = made()
    images = [address for tag, address in page.links if tag == "img"]
    assert len(images) == 3 and all(uri.startswith("data:image/png") for uri in images)
    raw = (record.folder / "report.html").read_text()
    one, other = PICTURES["images_ipc1"], PICTURES["images_ipc10"]
    between = raw[raw.index(f">{one}<") : raw.index(f">{other}<")]
    assert "<summary>IPC 10</summary>" in between
    assert [head for head in page.heads if head == "Images"] == ["Images"]


def test_figures_that_do_not_fit_are_linked(tmp_path):
    large = 'difficulty #1 & "2"_ipc1.png'
    (tmp_path / large).write_bytes(PNG + bytes(2_000_000))
    (tmp_path / "dcs.png").write_bytes(PNG)
    figures = tuple(report.PageFigure(file) for file in (large, "dcs.png"))
    record = Record(tmp_path, MANIFEST, students(), figures=figures)
    for embed in (True, False):
        page = pages.sound(report.write_page(record, embed).read_text())
        other, one = (address for tag, address in page.links if tag == "img")
        assert one == "difficulty%20%231%20%26%20%222%22_ipc1.png"
        assert other.startswith("data:image/png") if embed else other == "dcs.png"


CAUTIONS = {
    "degrees of freedom": ({"seeds": 3}, {"seeds": 10}),
    "One seed: means have no interval": ({"seeds": 1}, {"seeds": 2}),
    "by luck alone": ({"ipcs": (1, 2, 5, 10)}, {"ipcs": (1,), "kinds": ("hard",)}),
    "1 student failed": ({"failed": [(FULL, 0)], "ipcs": (1,), "kinds": ("hard",)}, {}),
}


def cautions_of(table, **changes):
    """What a page tells its readers to mind, as one text."""
    record = Record(pathlib.Path(), MANIFEST | changes, table)
    return " ".join(cautions.cautions(record, Grid(record)))


@pytest.mark.parametrize("words", CAUTIONS)
def test_a_caution_is_there_where_it_applies(words):
    applies, not_ = CAUTIONS[words]
    assert words in cautions_of(students(**applies))
    assert words not in cautions_of(students(**not_))


def test_what_the_test_set_and_one_set_for_all_seeds_hide():
    few = {"kinds": ("hard",), "ipcs": (1,)}
    table = students(**few)
    found = cautions_of(table)
    assert "200 test images: one is worth 0.50 points" in found
    assert "One set for all seeds" not in found
    table.loc[table["method"] == "cad_prune", "subset"] = "same"
    found = cautions_of(table, source=MANIFEST["source"] | {"test": 10_000})
    assert "one is worth" not in found
    assert "One set for all seeds: the intervals of CAD-Prune leave out" in found


def test_gaps_that_change_sides_are_named(made):
    table = students()
    own = table["method"] == "facility_location"
    table.loc[own, "accuracy"] += np.where(table.loc[own, "ipc"] == 1, 30, -30)
    words = (
        "The mean over budgets hides gaps that change sides: Facility location under "
        "hard and Facility location under soft_kd."
    )
    assert words in made(table)[1].text
    assert "change sides" not in cautions_of(students())


def test_remarks_on_the_ends_of_rates_become_one():
    new = (
        "The learning rate 0.1 chosen for random under {} labels at IPC {} lies at the "
        "end of those that were tried; a further one may do better."
    )
    old = (
        "The learning rate 0.001 chosen for the full data under hard labels with "
        "resnet18 at IPC 1 lies at the edge of the grid (0.001, 0.01)."
    )
    remarks = [new.format("hard", 1), "Else.", new.format("hard", 10), old]
    assert cautions.notes(remarks) == [
        "Else.",
        "Learning rates at an end of those that were tried, where a further one may do "
        "better: random images under hard at IPC 1, 10; the full data with resnet18 "
        "under hard at IPC 1.",
    ]


def test_verdicts_json_has_the_verdicts_and_what_intervals_include(made):
    record, _ = made(students(seeds=3, arms=(RANDOM, "cad_prune", "a", "b")))
    path = report.write_verdicts(record)

    def refuse(constant):
        raise AssertionError(constant)

    found = json.loads(path.read_text(), parse_constant=refuse)
    assert [each["key"] for each in found["verdicts"]] == ["choice", "tested", "labels"]
    for each, verdict in zip(found["verdicts"], record.verdicts, strict=True):
        assert each["answer"] == verdict.answer and each["states"] == verdict.states
        own = verdicts.as_json(verdict)["contrasts"]
        for one, other in zip(each["contrasts"], own, strict=True):
            assert one["values"] == pytest.approx(other.pop("values"))
            known = {name: value for name, value in other.items() if value == value}
            assert one == one | known
    assert (found["level"], found["margin"]) == (contrasts.LEVEL, contrasts.MARGIN)
    assert found["intervals"] == {
        "include": [
            *("first weights", "order of the images", "augmentation"),
            *("random subset", "scoring run"),
        ],
        "exclude": ["pool", "teacher", "validation split"],
    }


@pytest.mark.parametrize(
    ("shape", "changes", "include", "exclude"),
    [
        ({"kinds": ("hard",)}, {}, "scoring run", ["pool", "validation split"]),
        ({"arms": (RANDOM, FULL)}, {}, "random subset", None),
        ({}, {"protocol": {"resample": True}}, "validation split", []),
    ],
)
def test_intervals_include_what_seeds_vary(made, shape, changes, include, exclude):
    record, page = made(students(**shape), **settings(**changes))
    found = cautions.intervals(record)
    assert found["include"][-1] == include
    if exclude is not None:
        assert found["exclude"] == exclude
    assert ("They do not include" in page.text) == bool(found["exclude"])


def test_a_label_study_has_labels_as_rows_and_their_bytes(made):
    record, page = made(
        students(arms=(RANDOM, FULL), kinds=("hard", "fp16", "top1"), ipcs=(10,))
    )
    head, *rows = page.tables["accuracy"]
    assert [text for _, _, text in head] == ["labels", "bytes", "IPC 10"]
    assert [row[0][2] for row in rows[:1]] == ["hard"]
    assert {row[0][2] for row in rows[-3:]} >= {"Full data, hardhard/full"}
    assert [row[1][2] for row in rows[:1]] == ["40 B"]
    assert "gap to hard labels" in page.text
    assert "random − " not in page.text and record.verdicts


@pytest.fixture
def teachers(tmp_path):
    table = pd.DataFrame(
        {
            "teacher": ["<b>", "small"],
            "network": ["mlp", "mlp"],
            "parameters": [85130, 275],
            "test_accuracy": [61.23456, np.nan],
        }
    )
    table.to_csv(tmp_path / "summary.csv", index=False)
    (tmp_path / "teachers.png").write_bytes(PNG)
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
    return tmp_path


def test_a_run_of_teachers_has_their_table(teachers):
    page = pages.sound(report.render(teachers).read_text())
    rows = [[text for _, _, text in row] for row in page.tables["accuracy"]]
    assert rows == [
        ["teacher", "network", "parameters", "test accuracy"],
        ["<b>", "mlp", "85,130", "61.23"],
        ["small", "mlp", "275", "–"],
    ]
    assert "Learning curves of the teachers" in page.heads
    assert "compares no training sets" in page.text and "A remark." in page.text
    assert not (teachers / "verdicts.json").exists()


@pytest.fixture
def folder(tmp_path):
    """What a run leaves that a page is made of."""
    lines = students().to_json(orient="records", lines=True)
    (tmp_path / "members.jsonl").write_text(lines)
    captions = [{"file": "images_ipc1.png", "caption": "A caption."}]
    (tmp_path / "images_ipc1.png").write_bytes(PNG)
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "mine.png").write_bytes(PNG)
    manifest = MANIFEST | {"figures": captions}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path


def test_a_folder_is_rendered_again(folder):
    path = report.render(folder)
    assert path == folder / "report.html"
    page = pages.sound(path.read_text())
    assert "A caption." in page.text and {"Images", "Mine"} <= {*page.heads}
    assert (folder / "verdicts.json").exists()
    before = path.read_bytes()
    assert report.render(folder).read_bytes() == before


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("manifest.json", None, "manifest.json: is missing"),
        ("manifest.json", "{", "manifest.json: is damaged"),
        ("manifest.json", "[]", "manifest.json: found no object"),
        ("manifest.json", '{"settings": {}}', "'source' is missing"),
        ("members.jsonl", "{", "members.jsonl: is damaged"),
        ("members.jsonl", "", "members.jsonl: is empty"),
        ("members.jsonl", None, "has no members.jsonl"),
    ],
)
def test_a_folder_that_is_no_run_is_refused(folder, file, content, message):
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(content)
    with pytest.raises(InputError, match=message):
        report.render(folder)
    assert not (folder / "report.html").exists()


@pytest.mark.slow
def test_the_command_renders_folders(folder):
    command = [sys.executable, "-m", "ddjax", "report", str(folder), "--link"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "report.html" in done.stdout
    text = (folder / "report.html").read_text()
    assert 'src="images_ipc1.png"' in text and "data:image" not in text
    command[-2] = str(folder / "nowhere")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "manifest.json: is missing" in done.stderr


@pytest.mark.slow
def test_the_largest_study_stays_small(made):
    arms = (*ARMS, *(f"arm_{i}" for i in range(40)))
    kinds = ("hard", *(f"kind_{i}" for i in range(39)))
    source = MANIFEST["source"] | {"classes": [f"class {i}" for i in range(1000)]}
    record, _ = made(students(arms, kinds, (1, 10, 50), 5), source=source)
    size = (record.folder / "report.html").stat().st_size
    assert size < 3_000_000


RESULTS = sorted(path.parent for path in (ROOT / "results").glob("*/members.jsonl"))


@pytest.mark.slow
@pytest.mark.parametrize("study", RESULTS, ids=lambda path: path.name)
def test_kept_results_have_the_verdicts_of_their_students(study, tmp_path):
    folder = tmp_path / study.name
    shutil.copytree(study, folder)
    path = report.render(folder)
    assert path.stat().st_size < 3_000_000
    pages.sound(path.read_text())
    assert (folder / "verdicts.json").read_text() == (
        (study / "verdicts.json").read_text()
    )
    kept = study / "report.html"
    assert kept.stat().st_size < 700_000
    page = pages.sound(kept.read_text())
    for tag, address in page.links:
        if tag == "img" and not address.startswith("data:"):
            assert (study / address).is_file(), address


def test_times_and_networks_are_written_for_people():
    assert facts.network({"network": {"name": "convnet_d7"}}) == "ConvNet-D7"
    old = {"name": "convnet", "convnet": {"width": 32, "depth": 3}}
    assert facts.network({"network": old}) == "ConvNet-D3, width 32"
    assert facts.network({"network": {"name": "resnet18"}}) == "ResNet-18"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("fashion_mnist", "Fashion-MNIST"),
        ("glyphs:some/fonts", "Characters of fonts"),
        ("folder:/data/birds", "birds"),
        ("mine", "mine"),
    ],
)
def test_the_heading_names_the_images(made, source, name):
    record, _ = made(source=MANIFEST["source"] | {"name": source})
    assert facts.title(record) == f"{name}: 1 and 10 images per class"
