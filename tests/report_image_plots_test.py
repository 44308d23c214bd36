"""Figures of images: the contact sheet, difficulty for a teacher, the feature map."""

import io

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from ddjax import report
from ddjax.errors import InputError
from ddjax.report import image_plots

CLASSES = [f"class {number}" for number in range(30)]


def png_of(figure, path):
    report.save_png(figure, path)
    return np.asarray(Image.open(io.BytesIO(path.read_bytes())).convert("RGB"))


def test_contact_sheet_places_every_image(tmp_path):
    # Every image is one flat grey: 10 * id. Labels alternate between two classes.
    images = np.empty((20, 8, 8, 1), np.uint8)
    images[:] = 10 * np.arange(20).reshape(20, 1, 1, 1)
    subsets = {"cad": np.array([7, 5, 3, 2]), "random": np.array([0, 1, 19])}
    figure = report.contact_sheet(images, np.arange(20) % 2, subsets, ["cat", "dog"])
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
    figure = report.contact_sheet(
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
        report.contact_sheet(np.zeros((2, 8, 8, 3)), np.zeros(2), {"a": [0]}, ["x"])


@pytest.fixture
def mapped():
    """Points, labels and sets: six real images of classes 3 and 20, then two sets."""
    rng = np.random.default_rng(0)
    labels = np.array([3, 20, 3, 20, 3, 7, 3, 20, 20])
    points = rng.normal(size=(9, 2))
    points[5] = np.nan  # class 7 is not drawn
    return points, labels, np.array([0] * 6 + [1] * 2 + [2])


def test_every_panel_shows_the_same_real_images_and_one_set(mapped):
    points, labels, sets = mapped
    figure = report.tsne_figure(points, labels, sets, ["real", "a", "b"], CLASSES)
    first, second = figure.axes
    assert first.get_title() == "a (2)" and second.get_title() == "b (1)"
    for axes, own in ((first, [6, 7]), (second, [8])):
        real, strong = axes.collections
        assert np.allclose(real.get_offsets(), points[:5])
        assert np.allclose(strong.get_offsets(), points[own])
        assert len(strong.get_edgecolors()) and not real.get_linewidths().any()
    assert first.get_xlim() == second.get_xlim()
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["class 3", "class 20"]
    # Colours by class, the same in both; the real ones are paler.
    real, strong = (c.get_facecolors()[:, :3] for c in first.collections)
    assert np.allclose(strong[0], to_rgb(image_plots._COLOURS[0]))
    assert np.allclose(strong[1], to_rgb(image_plots._COLOURS[1]))
    assert np.allclose(real[0], real[2]) and (real[0] > strong[0]).all()
    figure.canvas.draw()


def test_many_sets_take_several_lines():
    points = np.random.default_rng(0).normal(size=(12, 2))
    labels, sets = np.zeros(12, int), np.arange(12) % 6
    figure = report.tsne_figure(points, labels, sets, list("rabcde"), CLASSES)
    assert sum(axes.axison for axes in figure.axes) == 5 and len(figure.axes) == 8
    figure.canvas.draw()


def test_tsne_figure_refuses(mapped):
    points, labels, sets = mapped
    with pytest.raises(InputError, match="points: found 8 beside 9 labels"):
        report.tsne_figure(points[:8], labels, sets, ["real", "a", "b"], CLASSES)
    with pytest.raises(InputError, match="names: found"):
        report.tsne_figure(points, labels, sets * 0, ["real"], CLASSES)
    places = np.zeros((12, 2))
    with pytest.raises(InputError, match="labels: found 11 classes"):
        many = np.arange(12) % 11
        report.tsne_figure(places, many, many > 5, ["real", "a"], CLASSES)


def test_difficulty_shows_quartiles_beside_the_real_images():
    real = np.linspace(0.0, 1.0, 1001)
    sets = {"random": np.array([0.1, 0.2, 0.3, 0.4, 0.5]), "a": np.array([1.2])}
    styles = report.method_styles(sets)
    figure = report.set_difficulty_figure(real, sets, styles)
    (axes,) = figure.axes
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names == ["a (1)", "random (5)", "real images (1001)"]
    boxes = [(p.get_x(), p.get_width()) for p in axes.patches]
    assert np.allclose(boxes, [(1.2, 0.0), (0.2, 0.2), (0.25, 0.5)])
    marks = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "D"]
    assert np.allclose(marks, [1.2, 0.3, 0.5])
    dots = [len(c.get_offsets()) for c in axes.collections]
    assert dots == [1, 5, 300]
    (median,) = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert median.get_xdata()[0] == pytest.approx(0.5)
    assert to_rgb(axes.patches[0].get_facecolor()) == to_rgb(styles["a"].colour)
    figure.canvas.draw()


@pytest.mark.parametrize("values", [[], [0.1, 2.0], [np.nan], [[0.1]]])
def test_difficulty_refuses_what_is_no_el2n(values):
    with pytest.raises(InputError, match="sets: 'a' has shape"):
        report.set_difficulty_figure(np.ones(3), {"a": np.array(values)})
    with pytest.raises(InputError, match="none is given"):
        report.set_difficulty_figure(np.ones(3), {})
