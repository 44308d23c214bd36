"""Figures that compare selections, and their costs: cells, order, colours, places."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from scipy import stats

from ddjax import report
from ddjax.errors import InputError
from ddjax.report import cost_plots, statistics

NAN = float("nan")
# Gaps under hard labels at IPC 10 and 50; a mean of 1, -28.5, 2.5 and 15.
GAPS = {"el2n": (2.0, 0.0), "hard": (-60.0, 3.0), "cad": (1.0, 4.0), "full": (16, 14)}
PASSES = {"random": 0, "el2n": 50000, "hard": 52000, "cad": 200000, "full": 0}


def row(method, ipc, regime, gap, **changes):
    values = {"method": method, "ipc": ipc, "regime": regime, "gap": gap}
    values |= {"gap_ci95": 1.5, "find_passes": PASSES[method] * ipc / 10}
    return values | changes


@pytest.fixture(scope="module")
def summary():
    rows = []
    for ipc, place in ((10, 0), (50, 1)):
        rows.append(row("random", ipc, "hard", NAN, gap_ci95=NAN))
        rows += [row(m, ipc, "hard", gaps[place]) for m, gaps in GAPS.items()]
        rows += [row(m, ipc, "soft_kd", -1.0) for m in ("el2n", "full")]
    rows[7] |= {"gap_ci95": NAN}  # random, hard
    rows.append(row("cad", 10, "soft_kd", NAN, gap_ci95=NAN))
    rows.append(row("hard", 50, "soft_kd", 3.0, gap_ci95=NAN))
    rows.append(
        row("full", 10, statistics.LABEL_EFFECT, 1.0)
        | {"method": statistics.SELECTION_GAIN, "find_passes": NAN}
    )
    return pd.DataFrame(rows)


def cells(axes):
    """(column, row) -> (text, whether it is bold)."""
    return {
        text.get_position(): (text.get_text(), text.get_fontweight() == "bold")
        for text in axes.texts
    }


def frames(axes):
    """The (column, row) of the cells that have a closed frame."""
    lines = [line.get_xydata() for line in axes.lines if len(line.get_xdata()) == 5]
    return {tuple(corners[:4].mean(0).round(9)) for corners in lines}


def test_matrix_figure_writes_and_marks_every_gap(summary):
    figure = report.matrix_figure(summary)
    hard, soft, bar = figure.axes
    titles = [axes.get_title(loc="left") for axes in (hard, soft)]
    assert titles == ["hard labels", "soft_kd labels"]
    # Best first by the mean over budgets, the full data last although they are best.
    names = [text.get_text() for text in hard.get_yticklabels()]
    assert names == ["cad", "el2n", "hard", "full"]
    assert [text.get_text() for text in soft.get_xticklabels()] == ["IPC 10", "IPC 50"]
    assert cells(hard) == {
        (0, 0): ("+1.0 ±1.5", False),
        (1, 0): ("+4.0 ±1.5", True),
        (0, 1): ("+2.0 ±1.5", True),
        (1, 1): ("+0.0 ±1.5", False),
        (0, 2): ("−60.0 ±1.5", True),
        (1, 2): ("+3.0 ±1.5", True),
        (0, 3): ("+16.0 ±1.5", True),
        (1, 3): ("+14.0 ±1.5", True),
    }
    # No seed in common with random, one seed only, and cells where nothing was run.
    assert cells(soft) == {
        (0, 0): ("n/a", False),
        (0, 1): ("−1.0 ±1.5", False),
        (1, 1): ("−1.0 ±1.5", False),
        (1, 2): ("+3.0 ±?", False),
        (0, 3): ("−1.0 ±1.5", False),
        (1, 3): ("−1.0 ±1.5", False),
    }
    assert frames(hard) == {(1, 0), (0, 1), (0, 2), (1, 2), (0, 3), (1, 3)}
    assert frames(soft) == set()
    figure.canvas.draw()
    assert np.asarray(figure.canvas.buffer_rgba()).std() > 1


def test_matrix_figure_has_one_symmetric_colour_scale(summary):
    *panels, bar = report.matrix_figure(summary).axes
    # |gap| of the selections: 0 1 1 1 2 3 3 4 60, 80 % of the way 3.4; full left out.
    for axes in panels:
        assert axes.images[0].get_clim() == (-5.0, 5.0)
    assert "±5" in bar.get_ylabel()
    image = panels[0].images[0]
    red, white, blue = (image.cmap(image.norm(value))[:3] for value in (-60, 0, 60))
    assert red[0] > red[2] and blue[2] > blue[0] and min(white) > 0.95
    texts = {text.get_text(): text.get_color() for text in panels[0].texts}
    assert texts["−60.0 ±1.5"] == "white" and texts["+1.0 ±1.5"] == "black"


def test_matrix_figure_without_hard_labels_sorts_by_the_first_regime(summary):
    soft = summary[summary["regime"] == "soft_kd"]
    axes, _ = report.matrix_figure(soft).axes
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names == ["hard", "el2n", "cad", "full"]


def points(axes):
    """(method, gap) -> (place, half width, colour of the face)."""
    found = {}
    for container in axes.containers:
        line, _, (bars,) = container
        (x,), (y,) = line.get_data()
        (ends,) = bars.get_segments()
        half = (ends[1][1] - ends[0][1]) / 2 if len(ends) else NAN
        found[container.get_label(), y] = x, half, line.get_markerfacecolor()
    return found


def test_cost_figure_puts_gaps_at_their_cost(summary):
    styles = report.method_styles(summary["method"])
    figure = report.cost_figure(summary, styles)
    hard, soft = figure.axes
    found = points(hard)
    assert {method for method, _ in found} == {"el2n", "hard", "cad"}
    assert found["cad", 1.0][0] == pytest.approx(np.log10(200000))
    assert found["cad", 4.0][0] == pytest.approx(np.log10(1000000))
    # Costs of 50 and 52 thousand share a place, side by side in the order given.
    pair = [found["el2n", 2.0][0], found["hard", -60.0][0]]
    assert np.mean(pair) == pytest.approx(np.log10([50000, 52000]).mean())
    assert pair[1] - pair[0] == pytest.approx(0.012)
    assert found["cad", 4.0][1] == pytest.approx(1.5)
    # The larger budget is filled, the smaller one nearly white.
    assert found["cad", 4.0][2] == pytest.approx(to_rgb(styles["cad"].colour))
    assert min(found["cad", 1.0][2]) > 0.85
    # Without an interval or a gap.
    assert np.isnan(points(soft)["hard", 3.0][1])
    assert {method for method, _ in points(soft)} == {"el2n", "hard"}
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["el2n", "hard", "cad", "IPC 10", "IPC 50"]
    low, high = hard.get_ylim()
    assert low < -61.5 and high > 5.5 and soft.get_ylim() == (low, high)
    ticks = [text.get_text() for text in soft.get_xticklabels()]
    assert ticks == ["50k", "100k", "200k", "500k", "1M", "2M"]
    figure.canvas.draw()


def test_cost_figure_has_a_place_for_zero(summary):
    free = summary.assign(
        find_passes=summary["find_passes"].where(summary["method"] != "el2n", 0)
    )
    hard, soft = report.cost_figure(free).axes
    found = points(hard)
    names = [text.get_text() for text in soft.get_xticklabels()]
    ticks = dict(zip(names, soft.get_xticks(), strict=True))
    zero = np.mean([found["el2n", 2.0][0], found["el2n", 0.0][0]])
    assert ticks["0"] == pytest.approx(zero) and "50k" not in ticks
    (border,) = [line for line in hard.lines if line.get_linestyle() == ":"]
    assert zero < border.get_xdata()[0] < found["hard", -60.0][0]
    only = free[free["method"].isin(["random", "el2n"])]
    *_, soft = report.cost_figure(only).axes
    assert [text.get_text() for text in soft.get_xticklabels()] == ["0"]


def test_cost_figure_has_a_column_for_seconds(summary):
    both = summary.assign(find_seconds=summary["find_passes"] / 1e5)
    hard, slow, soft, slower = report.cost_figure(both).axes
    assert points(slow)["cad", 1.0][0] == pytest.approx(np.log10(2.0))
    assert points(hard)["cad", 1.0][0] == pytest.approx(np.log10(200000))
    ticks = [text.get_text() for text in slower.get_xticklabels()]
    assert ticks == ["0.5", "1", "2", "5", "10", "20"]
    assert "seconds" in slower.get_xlabel() and "passes" in soft.get_xlabel()
    # Over many orders of magnitude only powers of ten are named.
    wide = summary.assign(find_passes=summary["find_passes"] ** 2)
    *_, soft = report.cost_figure(wide).axes
    names = [text.get_text() for text in soft.get_xticklabels()]
    assert names == ["10G", "100G", "1T"]


def test_many_points_of_alike_cost_keep_clear_of_their_neighbours():
    rows = pd.DataFrame({"place": np.repeat([4.0, 4.03, 4.2, 6.0], [30, 20, 40, 1])})
    order = np.random.default_rng(0).permutation(91)
    spread = cost_plots._side_by_side(rows.iloc[order])
    back = np.empty(91)
    back[order] = spread
    # Groups 4.0 with 4.03, 4.2, and 6.0 alone: apart, no two points on each other.
    first, second, third = back[:50], back[50:90], back[90]
    assert first.max() < second.min() and second.max() < third == 6.0
    assert np.unique(spread.round(9)).size == 91
    assert first.mean() == pytest.approx(4.012) and second.mean() == pytest.approx(4.2)


def test_selection_figures_refuse_a_summary_without_selections(summary):
    for figure in (report.matrix_figure, report.cost_figure):
        with pytest.raises(InputError, match="summary: there is no selection"):
            figure(summary[summary["method"] == "random"])
    with pytest.raises(InputError, match="no selection has a gap to random"):
        report.cost_figure(summary.assign(gap=NAN))


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
