"""Figures that compare selections: cells, order, colours, places."""

import numpy as np
import pytest
from scipy import stats

from ddjax import report
from ddjax.errors import InputError

NAN = float("nan")


def heat_map(figure):
    """Names in order, the texts as a list of rows, and the values."""
    axes = figure.axes[0]
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names == [text.get_text() for text in axes.get_xticklabels()]
    texts = [[""] * len(names) for _ in names]
    for text in axes.texts:
        x, y = text.get_position()
        texts[y][x] = text.get_text()
    return names, texts, axes.images[0].get_array()


def test_correlation_figure_hand_worked_and_ordered_by_alikeness():
    scores = {
        "a": [1, 2, 3, 4, np.inf],
        "against": [5, 4, 3, 2, -np.inf],
        "same": [0, 0, 0, 0, 0],
        "like a": [2, 1, 3, 4, 5],
        "also against": [5, 4, 2, 3, 1],
    }
    figure = report.correlation_figure(scores)
    names, texts, values = heat_map(figure)
    for one, other in (("a", "like a"), ("against", "also against")):
        assert abs(names.index(one) - names.index(other)) == 1
    at = {name: place for place, name in enumerate(names)}
    # One swap of neighbours among five: 1 - 6 * 2 / (5 * 24); two swaps: 0.8.
    for one, other, text in (
        ("a", "a", "1.00"),
        ("a", "like a", ".90"),
        ("a", "against", "-1.00"),
        ("like a", "also against", "-.80"),
        ("a", "same", ""),
        ("same", "same", ""),
    ):
        assert texts[at[one]][at[other]] == texts[at[other]][at[one]] == text
    assert values.mask.sum() == 9
    assert figure.axes[0].images[0].get_clim() == (-1.0, 1.0)
    figure.canvas.draw()


@pytest.mark.parametrize("seed", range(3))
def test_correlation_figure_equals_scipy_whatever_the_order(seed):
    rng = np.random.default_rng(seed)
    scores = dict(zip("abcdef", rng.integers(0, 9, (6, 40)) + 0.0, strict=True))
    names, _, values = heat_map(report.correlation_figure(scores))
    expected = stats.spearmanr(np.stack([scores[n] for n in names]), axis=1).statistic
    np.testing.assert_allclose(values, expected, atol=1e-12)
    backwards = dict(reversed(scores.items()))
    again, _, _ = heat_map(report.correlation_figure(backwards))
    assert again in (names, names[::-1])


def test_overlap_figure_counts_what_two_subsets_share():
    subsets = {
        "a": [0, 1, 2, 3],
        "far": [90, 80, 70, 60],
        "b": [3, 2, 1, 50],
        "near far": [60, 70, 1, 99],
    }
    figure = report.overlap_figure(subsets, count=100)
    names, texts, values = heat_map(figure)
    assert names in (["a", "b", "near far", "far"], ["far", "near far", "b", "a"])
    expected = [
        [100 * len(set(subsets[m]) & set(subsets[n])) / 4 for n in names] for m in names
    ]
    np.testing.assert_allclose(values, expected)
    assert texts == [[f"{share:.0f}" for share in line] for line in expected]
    title = "Images in common, % of 4 (two random subsets: 4 %)"
    assert figure.get_suptitle() == title
    alone = report.overlap_figure({"a": [5]})
    assert heat_map(alone)[1] == [["100"]]
    assert alone.get_suptitle() == "Images in common, % of 1"


@pytest.mark.parametrize(
    "scores, message",
    [
        ({}, "scores: none is given"),
        ({"a": [1.0, NAN]}, "scores: 'a' is NaN at example 1"),
        ({"a": [1, 2], "b": [1, 2, 3]}, r"scores: 'b' has shape \(3,\)"),
        ({"a": [[1, 2]]}, r"scores: 'a' has shape \(1, 2\)"),
        ({"a": [1]}, "N >= 2"),
    ],
)
def test_correlation_figure_refuses_bad_scores(scores, message):
    with pytest.raises(InputError, match=message):
        report.correlation_figure(scores)


@pytest.mark.parametrize(
    "subsets, message",
    [
        ({}, "subsets: no method is given"),
        ({"a": []}, "subsets: 'a' is empty"),
        ({"a": [0, 9]}, r"'a' holds example id 9; allowed are 0..8"),
        ({"a": [0, 1], "b": [1]}, "subsets: 'b' has 1 ids, expected 2 as the first"),
        ({"a": [1, 1]}, "subsets: 'a' repeats an example id"),
    ],
)
def test_overlap_figure_refuses_bad_subsets(subsets, message):
    with pytest.raises(InputError, match=message):
        report.overlap_figure(subsets, count=9)


def pixels(figure):
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())


def test_difficulty_figure_shows_where_the_sets_lie():
    scores = np.random.default_rng(0).gamma(2.0, size=200)
    order = np.argsort(scores)
    subsets = {"el2n": order[-20:], "random": np.arange(200), "cad": order[:10]}
    figure = report.difficulty_figure(scores, "EL2N", subsets)
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
    assert pixels(figure).std() > 5


def test_difficulty_figure_gives_ties_one_rank():
    figure = report.difficulty_figure(np.zeros(100), "forgetting", {"cad": [3, 4]})
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
        report.difficulty_figure(np.array(scores), "EL2N", subsets)
