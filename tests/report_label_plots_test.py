"""Figures of label studies: what is drawn, at which place."""

import numpy as np
import pandas as pd
import pytest

from ddjax.report import label_plots

NAN = float("nan")


@pytest.fixture(scope="module")
def summary():
    regimes = {"hard": 50.0, "soft_kd": NAN, "vq": 2000.0, "fp16": 80000.0}
    rows = [
        {
            "method": "random",
            "ipc": ipc,
            "regime": regime,
            "accuracy": 60.0 + 5 * place + ipc / 10,
            "ci95": 1.0,
            "label_bytes": size * ipc / 10,
        }
        for ipc in (10, 50)
        for place, (regime, size) in enumerate(regimes.items())
    ]
    rows.append(rows[1] | {"method": "full", "accuracy": 90.0})
    return pd.DataFrame(rows)


def points(axes):
    """Label -> (x, y) of the markers."""
    found = {}
    for container in axes.containers:
        x, y = container[0].get_data(orig=False)
        found.setdefault(container.get_label(), []).extend(zip(x, y, strict=True))
    return found


def test_labels_figure_has_a_line_per_regime_and_a_panel_per_budget(summary):
    figure = label_plots.labels_figure(summary)
    first, second = figure.axes
    assert [t.get_text() for t in first.get_yticklabels()] == [
        "hard",
        "soft_kd",
        "vq",
        "fp16",
    ]
    assert points(first)["random"] == [(61, 0), (66, 1), (71, 2), (76, 3)]
    assert points(first)["full data, same compute"] == [(90, 1)]
    assert points(second)["random"] == [(65, 0), (70, 1), (75, 2), (80, 3)]


def test_bytes_figure_puts_stored_labels_on_a_logarithmic_axis(summary):
    figure = label_plots.bytes_figure(summary)
    first, second = figure.axes
    assert first.get_xscale() == "log"
    assert points(first) == {
        "hard": [(50, 61)],
        "vq": [(2000, 71)],
        "fp16": [(80000, 76)],
    }
    assert points(second)["vq"] == [(10000, 75)]
    # soft_kd on the fly is the dashed line, and 40x below float16 is marked.
    dashed = [line for line in first.lines if line.get_linestyle() == "--"]
    assert [set(line.get_ydata()) for line in dashed] == [{66}]
    marks = {text.get_text(): text.get_position()[0] for text in first.texts}
    assert marks["40x"] == 2000 and set(marks) == {"1x", "10x", "40x", "80x", "200x"}


def test_bytes_figure_without_float16_has_no_marks(summary):
    figure = label_plots.bytes_figure(summary[summary["regime"] != "fp16"])
    assert all(not axes.texts for axes in figure.axes)


def test_figures_can_be_drawn(summary):
    for draw in (label_plots.labels_figure, label_plots.bytes_figure):
        figure = draw(summary)
        figure.canvas.draw()
        assert np.asarray(figure.canvas.buffer_rgba()).std() > 1
