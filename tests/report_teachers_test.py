"""What is drawn and written about the training of teachers."""

import re

import numpy as np
import pandas as pd
import pytest

from ddjax import report
from ddjax.errors import InputError

NAN = float("nan")
TRAININGS = {
    "teacher": {
        "loss": np.array([2.0, NAN, 1.0, 0.5]),
        "epochs": np.array([1, 4, 8]),
        "validation": np.array([40.0, 60.0, 70.0]),
    },
    "small": {
        "loss": np.array([3.0, 2.5]),
        "epochs": np.array([2]),
        "validation": np.array([30.0]),
    },
}


def lines(axes):
    """Label -> the points of its line."""
    return {line.get_label(): line.get_xydata().tolist() for line in axes.lines}


def test_a_training_has_its_losses_above_its_accuracies():
    losses, accuracies = report.learning_curve_figure(TRAININGS).axes
    # Four parts of eight epochs, each at its middle; the second has no number.
    assert lines(losses) == {
        "teacher": [[1, 2.0], [5, 1.0], [7, 0.5]],
        "small": [[0.5, 3.0], [1.5, 2.5]],
    }
    assert lines(accuracies) == {
        "teacher": [[1, 40], [4, 60], [8, 70]],
        "small": [[2, 30]],
    }
    assert "loss" in losses.get_ylabel() and "%" in accuracies.get_ylabel()
    assert accuracies.get_xlabel() == "epochs"
    for one, other in zip(losses.lines, accuracies.lines, strict=True):
        assert one.get_color() == other.get_color()
    assert losses.lines[0].get_color() != losses.lines[1].get_color()


def test_names_are_shown_where_there_are_several():
    losses, _ = report.learning_curve_figure(TRAININGS).axes
    texts = [text.get_text() for text in losses.get_legend().get_texts()]
    assert texts == ["teacher", "small"]
    losses, _ = report.learning_curve_figure({"one": TRAININGS["small"]}).axes
    assert losses.get_legend() is None


def test_the_figure_can_be_drawn():
    figure = report.learning_curve_figure(TRAININGS)
    figure.canvas.draw()
    assert np.asarray(figure.canvas.buffer_rgba()).std() > 1


def test_no_training_is_refused():
    with pytest.raises(InputError, match="trainings: found none"):
        report.learning_curve_figure({})


@pytest.fixture
def page(tmp_path):
    """Writes a page; returns its text."""
    report.save_png(report.learning_curve_figure(TRAININGS), tmp_path / "teachers.png")

    def write(**changes):
        parts = {
            "title": "teachers on <blobs>",
            "table": pd.DataFrame(
                {
                    "teacher": ["teacher", "small"],
                    "epoch": ["8", ""],
                    "parameters": [547, 275],
                    "test_accuracy": [61.23456, 50.0],
                }
            ),
            "figures": [("Learning curves", tmp_path / "teachers.png")],
            "settings": {"teacher": {"epochs": 8}},
            "costs": [
                {"stage": "teacher", "seconds": 90.0, "compile_seconds": 2.0},
                {"stage": "small", "seconds": 7.0, "reused": True},
            ],
            "environment": {"backend": "cpu"},
            "notes": ["Its classes may be in another order."],
        }
        path = tmp_path / "report.html"
        report.write_teachers_html(path, **parts | changes)
        assert sorted(p.name for p in tmp_path.iterdir()) == [
            "report.html",
            "teachers.png",
        ]
        return path.read_text()

    return write


def cells(text):
    """The rows of the page's first table."""
    table = re.search(r"<table.*?</table>", text, re.S).group()
    rows = re.findall(r"<tr.*?</tr>", table, re.S)
    return [
        [cell.strip() for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S)]
        for row in rows
    ]


def test_the_page_has_the_table_as_it_is(page):
    assert cells(page()) == [
        ["teacher", "epoch", "parameters", "test_accuracy"],
        ["teacher", "8", "547", "61.23"],
        ["small", "", "275", "50.00"],
    ]


def test_the_page_tells_what_it_rests_on(page):
    text = page()
    for part in (
        "teachers on &lt;blobs&gt;",
        "Its classes may be in another order.",
        "Learning curves",
        "teacher.epochs",
        "backend",
        "This run spent 92.0 s, compilation included, and reused what had taken 7.0 s.",
    ):
        assert part in text, part
    assert "another order" not in page(notes=[])


def test_the_page_needs_no_other_file(page):
    text = page()
    assert text.count("data:image/png;base64,") == 1
    sources = re.findall(r"(?:src|href)=[\"']([^\"']*)", text)
    assert all(source.startswith(("data:", "#")) for source in sources)
    assert "<script" not in text and "http" not in text
    assert page(figures=[]).count("data:image/png") == 0


def test_a_missing_figure_is_refused(page, tmp_path):
    with pytest.raises(InputError, match="no.png' does not exist"):
        page(figures=[("Nothing", tmp_path / "no.png")])
