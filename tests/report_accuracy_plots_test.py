"""Figures of accuracy and of labels: what is drawn, with which style, where."""

import io
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PolyCollection
from PIL import Image

from ddjax import report
from ddjax.errors import InputError
from ddjax.report import statistics

NAN = float("nan")
METHODS = ["random", "el2n", "cad", "full"]
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


@pytest.fixture(scope="module")
def summary():
    rows = [
        {
            "method": method,
            "ipc": ipc,
            "regime": regime,
            "accuracy": 50.0 + ipc / 10 + place,
            "ci95": 1.0 + place / 10,
            "gap": NAN if method == "random" else place / len(regime),
            "gap_ci95": NAN if method == "random" else 0.5,
        }
        for regime in ("hard", "soft_kd")
        for ipc in (10, 50)
        for place, method in enumerate(METHODS)
    ]
    rows.append(
        {
            "method": statistics.SELECTION_GAIN,
            "ipc": 10,
            "regime": statistics.LABEL_EFFECT,
            "gap": 1.0,
            "gap_ci95": 0.5,
        }
    )
    return pd.DataFrame(rows)


def points_of(axes):
    """Per method the (x, y) of its markers and the half widths of its bars."""
    found = {}
    for container in axes.containers:
        line, _, (bars,) = container
        ends = np.array([segment[:, 1] for segment in bars.get_segments()])
        half = (ends[:, 1] - ends[:, 0]) / 2
        found[container.get_label()] = (*line.get_data(orig=False), half)
    return found


def legend_of(figure):
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def png_of(figure, path):
    report.save_png(figure, path)
    return np.asarray(Image.open(io.BytesIO(path.read_bytes())).convert("RGB"))


def test_method_styles_are_distinct_and_follow_the_order():
    names = [f"method_{i}" for i in range(60)]
    styles = report.method_styles(["full", *names, "random"])
    assert len({(style.colour, style.marker) for style in styles.values()}) == 62
    assert len({styles[name].colour for name in names[:9]}) == 9
    assert report.method_styles([*names, "random"])["method_3"] == styles["method_3"]


def test_accuracy_figure_draws_means_intervals_and_reference(summary, tmp_path):
    figure = report.accuracy_figure(summary)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "hard labels",
        "soft_kd labels",
    ]
    for axes in figure.axes:
        points = points_of(axes)
        assert list(points) == ["random", "el2n", "cad"]
        x, y, half = points["cad"]
        np.testing.assert_allclose(y, [53.0, 57.0])
        np.testing.assert_allclose(half, [1.2, 1.2])
        # Each budget keeps to its own slot, methods side by side in order.
        np.testing.assert_array_equal(np.round(x), [0, 1])
        assert points["random"][0][0] < points["el2n"][0][0] < x[0]
        dashed = [line for line in axes.lines if line.get_linestyle() == "--"]
        assert [set(line.get_ydata()) for line in dashed] == [{54.0}, {58.0}]
        bands = [c for c in axes.collections if isinstance(c, PolyCollection)]
        heights = [band.get_paths()[0].get_extents().height for band in bands]
        np.testing.assert_allclose(heights, [2.6, 2.6])
    assert [t.get_text() for t in axes.get_xticklabels()] == ["10", "50"]
    assert set(legend_of(figure)) == {
        "random",
        "el2n",
        "cad",
        "full data,\nsame compute",
    }
    image = png_of(figure, tmp_path / "accuracy.png")
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 50
    assert [file.name for file in tmp_path.iterdir()] == ["accuracy.png"]


def test_gap_figure_has_a_zero_line_and_leaves_the_references_out(summary):
    figure = report.gap_figure(summary)
    assert len(figure.axes) == 2
    for axes, letters in zip(figure.axes, (len("hard"), len("soft_kd")), strict=True):
        points = points_of(axes)
        assert list(points) == ["el2n", "cad"]
        np.testing.assert_allclose(points["cad"][1], [2 / letters] * 2)
        np.testing.assert_allclose(points["cad"][2], [0.5, 0.5])
        zero = [line for line in axes.lines if line.get_label() == "random"]
        assert list(zero[0].get_ydata()) == [0.0, 0.0]
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()


def test_figures_give_a_method_the_style_they_are_given(summary):
    styles = report.method_styles(["aum", "dual", *METHODS])
    assert styles["cad"] != report.method_styles(METHODS)["cad"]
    figure = report.gap_figure(summary, styles)
    (line,) = [c[0] for c in figure.axes[0].containers if c.get_label() == "cad"]
    assert line.get_color() == styles["cad"].colour
    assert line.get_marker() == styles["cad"].marker


def test_figures_of_one_student_without_interval():
    lonely = {"method": "full", "ipc": 10, "regime": "hard", "accuracy": 50.0}
    lonely = pd.DataFrame([{**lonely, "ci95": NAN, "gap": 1.0, "gap_ci95": NAN}])
    (axes,) = report.accuracy_figure(lonely).axes
    assert len(axes.lines) == 1 and not axes.containers
    (axes,) = report.gap_figure(lonely).axes
    assert not axes.containers


def test_figures_refuse_a_summary_without_students(summary):
    effects = summary[summary["method"] == statistics.SELECTION_GAIN]
    with pytest.raises(InputError, match="no students"):
        report.accuracy_figure(effects)


def test_save_png_gives_equal_files_for_equal_figures(summary, tmp_path):
    for name in ("a", "b"):
        report.save_png(report.gap_figure(summary), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_importing_the_report_loads_no_plotting_library():
    code = (
        "import sys, ddjax.report\n"
        "assert not {'matplotlib', 'jinja2', 'jax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture(scope="module")
def label_summary():
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


def label_points(axes):
    """Label -> (x, y) of the markers."""
    found = {}
    for container in axes.containers:
        x, y = container[0].get_data(orig=False)
        found.setdefault(container.get_label(), []).extend(zip(x, y, strict=True))
    return found


def test_labels_figure_has_a_line_per_regime_and_a_panel_per_budget(label_summary):
    figure = report.labels_figure(label_summary)
    first, second = figure.axes
    assert [t.get_text() for t in first.get_yticklabels()] == [
        "hard",
        "soft_kd",
        "vq",
        "fp16",
    ]
    assert label_points(first)["random"] == [(61, 0), (66, 1), (71, 2), (76, 3)]
    assert label_points(first)["full data, same compute"] == [(90, 1)]
    assert label_points(second)["random"] == [(65, 0), (70, 1), (75, 2), (80, 3)]


def test_bytes_figure_puts_stored_labels_on_a_logarithmic_axis(label_summary):
    figure = report.bytes_figure(label_summary)
    first, second = figure.axes
    assert first.get_xscale() == "log"
    assert label_points(first) == {
        "hard": [(50, 61)],
        "vq": [(2000, 71)],
        "fp16": [(80000, 76)],
    }
    assert label_points(second)["vq"] == [(10000, 75)]
    # soft_kd on the fly is the dashed line, and 40x below float16 is marked.
    dashed = [line for line in first.lines if line.get_linestyle() == "--"]
    assert [set(line.get_ydata()) for line in dashed] == [{66}]
    marks = {text.get_text(): text.get_position()[0] for text in first.texts}
    assert marks["40x"] == 2000 and set(marks) == {"1x", "10x", "40x", "80x", "200x"}


def test_bytes_figure_without_float16_has_no_marks(label_summary):
    figure = report.bytes_figure(label_summary[label_summary["regime"] != "fp16"])
    assert all(not axes.texts for axes in figure.axes)


def test_label_figures_can_be_drawn(label_summary):
    for draw in (report.labels_figure, report.bytes_figure):
        figure = draw(label_summary)
        figure.canvas.draw()
        assert np.asarray(figure.canvas.buffer_rgba()).std() > 1


def member(method, regime, train, test, **changes):
    row = {"method": method, "regime": regime, "steps": 20, "image_passes": 120}
    row |= {"images": 6, "curve_steps": [10, 20]}
    return row | {"train_curve": train, "test_curve": test} | changes


def test_dynamics_figure_draws_means_and_ranges_over_epochs():
    nan = float("nan")
    rows = [
        member("random", "hard", [50.0, 80.0], [30.0, 40.0]),
        member("random", "hard", [70.0, 100.0], [40.0, 42.0]),
        member("random", "hard", [nan, nan], [nan, nan]),
        member("full", "hard", [1.0, 2.0], [3.0, 4.0]),
        member("sre2l", "soft_kd", [20.0, 30.0], [10.0, 20.0]),
    ]
    figure = report.dynamics_figure(pd.DataFrame(rows))
    own, test, _, soft = figure.axes
    assert "own images" in own.get_title(loc="left")
    (line,) = [line for line in test.lines if len(line.get_xdata())]
    assert line.get_xdata().tolist() == [10.0, 20.0]  # 120 passes of 6 in 20 steps
    assert line.get_ydata().tolist() == [35.0, 41.0]
    heights = test.collections[0].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (30.0, 42.0)
    (line,) = soft.lines
    assert line.get_ydata().tolist() == [10.0, 20.0]
    assert line.get_color() == report.method_styles(["random", "sre2l"])["sre2l"].colour
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()] == ["random", "sre2l"]
    figure.canvas.draw()
    bare = [row | {"curve_steps": []} for row in rows]
    with pytest.raises(InputError, match="no student has a curve"):
        report.dynamics_figure(pd.DataFrame(bare))


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


def test_teachers_are_named_where_there_are_several():
    losses, _ = report.learning_curve_figure(TRAININGS).axes
    texts = [text.get_text() for text in losses.get_legend().get_texts()]
    assert texts == ["teacher", "small"]
    losses, _ = report.learning_curve_figure({"one": TRAININGS["small"]}).axes
    assert losses.get_legend() is None


def test_learning_curves_can_be_drawn():
    figure = report.learning_curve_figure(TRAININGS)
    figure.canvas.draw()
    assert np.asarray(figure.canvas.buffer_rgba()).std() > 1


def test_no_training_is_refused():
    with pytest.raises(InputError, match="trainings: found none"):
        report.learning_curve_figure({})
