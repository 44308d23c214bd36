"""Figures of trainings: what is drawn, with which style, where."""

import io
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

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


def test_method_styles_are_distinct_and_follow_the_order():
    names = [f"method_{i}" for i in range(60)]
    styles = report.method_styles(["full", *names, "random"])
    assert len({(style.colour, style.marker) for style in styles.values()}) == 62
    assert len({styles[name].colour for name in names[:9]}) == 9
    assert report.method_styles([*names, "random"])["method_3"] == styles["method_3"]


def test_save_png_gives_equal_files_for_equal_figures(tmp_path):
    for name in ("a", "b"):
        report.save_png(report.learning_curve_figure(TRAININGS), tmp_path / name)
    first = (tmp_path / "a").read_bytes()
    assert first == (tmp_path / "b").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
    image = np.asarray(Image.open(io.BytesIO(first)).convert("RGB"))
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 50


def test_importing_the_report_loads_no_plotting_library():
    code = (
        "import sys, ddjax.report\n"
        "assert not {'matplotlib', 'jinja2', 'jax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


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
    styles = report.method_styles(["random", "aum", "sre2l"])
    *_, soft = report.dynamics_figure(pd.DataFrame(rows), styles).axes
    (line,) = soft.lines
    assert line.get_color() == styles["sre2l"].colour != styles["aum"].colour
    assert line.get_marker() == styles["sre2l"].marker
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
