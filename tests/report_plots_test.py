"""Figures: what is drawn, with which style, at which place."""

import io
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PolyCollection
from PIL import Image

from ddjax.errors import InputError
from ddjax.report import plots, sheet, statistics

NAN = float("nan")
METHODS = ["random", "el2n", "cad", "full"]


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
    plots.save_png(figure, path)
    return np.asarray(Image.open(io.BytesIO(path.read_bytes())).convert("RGB"))


def test_method_styles_are_distinct_and_follow_the_order():
    names = [f"method_{i}" for i in range(60)]
    styles = plots.method_styles(["full", *names, "random"])
    assert len({(style.colour, style.marker) for style in styles.values()}) == 62
    assert len({styles[name].colour for name in names[:9]}) == 9
    assert plots.method_styles([*names, "random"])["method_3"] == styles["method_3"]


def test_accuracy_figure_draws_means_intervals_and_reference(summary, tmp_path):
    figure = plots.accuracy_figure(summary)
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
    figure = plots.gap_figure(summary)
    assert len(figure.axes) == 2
    for axes, letters in zip(figure.axes, (len("hard"), len("soft_kd")), strict=True):
        points = points_of(axes)
        assert list(points) == ["el2n", "cad"]
        np.testing.assert_allclose(points["cad"][1], [2 / letters] * 2)
        np.testing.assert_allclose(points["cad"][2], [0.5, 0.5])
        zero = [line for line in axes.lines if line.get_label() == "random"]
        assert list(zero[0].get_ydata()) == [0.0, 0.0]
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()


def test_figures_give_a_method_the_style_they_are_told(summary):
    styles = plots.method_styles(["aum", "dual", *METHODS])
    assert styles["cad"] != plots.method_styles(METHODS)["cad"]
    figure = plots.gap_figure(summary, styles)
    (line,) = [c[0] for c in figure.axes[0].containers if c.get_label() == "cad"]
    assert line.get_color() == styles["cad"].colour
    assert line.get_marker() == styles["cad"].marker


def test_figures_of_one_student_without_interval():
    lonely = {"method": "full", "ipc": 10, "regime": "hard", "accuracy": 50.0}
    lonely = pd.DataFrame([{**lonely, "ci95": NAN, "gap": 1.0, "gap_ci95": NAN}])
    (axes,) = plots.accuracy_figure(lonely).axes
    assert len(axes.lines) == 1 and not axes.containers
    (axes,) = plots.gap_figure(lonely).axes
    assert not axes.containers


def test_figures_refuse_a_summary_without_students(summary):
    effects = statistics.label_effects(summary)
    with pytest.raises(InputError, match="no students"):
        plots.accuracy_figure(effects)


def test_difficulty_figure_shows_where_the_sets_lie(tmp_path):
    scores = np.random.default_rng(0).gamma(2.0, size=200)
    order = np.argsort(scores)
    subsets = {"el2n": order[-20:], "random": np.arange(200), "cad": order[:10]}
    figure = plots.difficulty_figure(scores, "EL2N", subsets)
    (axes,) = figure.axes
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names == ["cad (n=10)", "el2n (n=20)", "random (n=200)"]
    cad, el2n, everything = (patch.get_data() for patch in axes.patches)
    # The 10 easiest of 200 fill the lowest of 20 bins, the 20 hardest the upper two.
    np.testing.assert_allclose(cad.values - cad.baseline, [0.82] + [0.0] * 19)
    np.testing.assert_allclose(el2n.values - el2n.baseline, [0.0] * 18 + [0.82] * 2)
    np.testing.assert_allclose(everything.values - everything.baseline, 0.82)
    medians = [m.get_xdata()[0] for m in axes.lines if m.get_marker() == "^"]
    np.testing.assert_allclose(medians, [2.5, 95.0, 50.0])
    # A set that is spread like the full set meets the dashed line everywhere.
    dashed = [m.get_ydata()[0] for m in axes.lines if m.get_linestyle() == "--"]
    np.testing.assert_allclose(dashed, [0.041, 1.082, 2.82])
    assert "EL2N" in axes.get_xlabel()
    assert png_of(figure, tmp_path / "d.png").std() > 5


def test_difficulty_figure_gives_ties_one_rank():
    figure = plots.difficulty_figure(np.zeros(100), "forgetting", {"cad": [3, 4]})
    marks = [m for m in figure.axes[0].lines if m.get_marker() == "^"]
    assert marks[0].get_xdata()[0] == pytest.approx(50.0)


@pytest.mark.parametrize(
    ("scores", "subsets", "message"),
    [
        ([0.0, NAN], {"cad": [0]}, "EL2N needs one finite number"),
        ([0.0, 1.0], {"cad": [0, 2]}, "'cad' holds example id 2; allowed are 0..1"),
        ([0.0, 1.0], {"cad": [-1]}, "example id -1"),
        ([0.0, 1.0], {"cad": []}, "'cad' is empty"),
        ([0.0, 1.0], {}, "no method"),
    ],
)
def test_difficulty_figure_refuses_bad_input(scores, subsets, message):
    with pytest.raises(InputError, match=message):
        plots.difficulty_figure(np.array(scores), "EL2N", subsets)


def test_contact_sheet_places_every_image(tmp_path):
    # Every image is one flat grey: 10 * id. Labels alternate between two classes.
    images = np.empty((20, 8, 8, 1), np.uint8)
    images[:] = 10 * np.arange(20).reshape(20, 1, 1, 1)
    subsets = {"cad": np.array([7, 5, 3, 2]), "random": np.array([0, 1, 19])}
    figure = sheet.contact_sheet(images, np.arange(20) % 2, subsets, ["cat", "dog"])
    (axes,) = figure.axes
    assert [t.get_text() for t in axes.get_xticklabels()] == ["cat", "dog"]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["random", "cad"]
    (drawn,) = axes.images
    array = np.asarray(drawn.get_array())
    # Two 64-pixel images and a gap of 2 per class, a gap of 10 between classes.
    assert array.shape == (64 + 6 + 64, 130 + 10 + 130, 3)
    centres = array[[32, 102]][:, [32, 98, 172, 238], 0]
    np.testing.assert_array_equal(centres, [[0, 255, 10, 190], [20, 255, 30, 50]])
    # One pixel of the sheet is one pixel of the file.
    image = png_of(figure, tmp_path / "sheet.png")
    top, left = 70, 15 + 10 * len("random")
    np.testing.assert_array_equal(image[top : top + 134, left : left + 270], array)


def test_contact_sheet_reduces_large_images_and_spreads_classes():
    images = np.random.default_rng(0).integers(0, 256, (30, 130, 100, 3), np.uint8)
    figure = sheet.contact_sheet(
        images,
        np.arange(30),
        {"random": np.arange(30)},
        [f"a rather long class name {i}" for i in range(30)],
        per_class=1,
        columns=3,
    )
    array = np.asarray(figure.axes[0].images[0].get_array())
    assert array.shape == (43, 3 * 33 + 2 * 10, 3)
    # The first class shown is class 0, its first pixel the mean of a 3 x 3 block.
    np.testing.assert_allclose(array[0, 0], images[0, :3, :3].mean((0, 1)), atol=0.51)
    np.testing.assert_allclose(
        array[0, -33], images[29, :3, :3].mean((0, 1)), atol=0.51
    )
    assert "3 of 30 classes" in figure.get_suptitle()
    assert figure.axes[0].get_xticklabels()[0].get_text() == "a rather long…"


def test_contact_sheet_refuses_float_images():
    with pytest.raises(InputError, match="uint8"):
        sheet.contact_sheet(np.zeros((2, 8, 8, 3)), np.zeros(2), {"a": [0]}, ["x"])


def test_save_png_gives_equal_files_for_equal_figures(summary, tmp_path):
    for name in ("a", "b"):
        plots.save_png(plots.gap_figure(summary), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_importing_the_report_loads_no_plotting_library():
    code = (
        "import sys, ddjax.report\n"
        "assert not {'matplotlib', 'jinja2', 'jax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
