"""Figures of sets as a teacher sees them: maps and difficulty."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from ddjax.errors import InputError
from ddjax.report import plots, set_plots, tsne

CLASSES = [f"class {number}" for number in range(30)]


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
    figure = tsne.tsne_figure(points, labels, sets, ["real", "a", "b"], CLASSES)
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
    assert np.allclose(strong[0], to_rgb(tsne._COLOURS[0]))
    assert np.allclose(strong[1], to_rgb(tsne._COLOURS[1]))
    assert np.allclose(real[0], real[2]) and (real[0] > strong[0]).all()
    figure.canvas.draw()


def test_many_sets_take_several_lines():
    points = np.random.default_rng(0).normal(size=(12, 2))
    labels, sets = np.zeros(12, int), np.arange(12) % 6
    figure = tsne.tsne_figure(points, labels, sets, list("rabcde"), CLASSES)
    assert sum(axes.axison for axes in figure.axes) == 5 and len(figure.axes) == 8
    figure.canvas.draw()


def test_tsne_figure_refuses(mapped):
    points, labels, sets = mapped
    with pytest.raises(InputError, match="points: found 8 beside 9 labels"):
        tsne.tsne_figure(points[:8], labels, sets, ["real", "a", "b"], CLASSES)
    with pytest.raises(InputError, match="names: found"):
        tsne.tsne_figure(points, labels, sets * 0, ["real"], CLASSES)
    places = np.zeros((12, 2))
    with pytest.raises(InputError, match="labels: found 11 classes"):
        many = np.arange(12) % 11
        tsne.tsne_figure(places, many, many > 5, ["real", "a"], CLASSES)


def test_difficulty_shows_quartiles_beside_the_real_images():
    real = np.linspace(0.0, 1.0, 1001)
    sets = {"random": np.array([0.1, 0.2, 0.3, 0.4, 0.5]), "a": np.array([1.2])}
    styles = plots.method_styles(sets)
    figure = set_plots.set_difficulty_figure(real, sets, styles)
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
        set_plots.set_difficulty_figure(np.ones(3), {"a": np.array(values)})
    with pytest.raises(InputError, match="none is given"):
        set_plots.set_difficulty_figure(np.ones(3), {})
