"""Rank correlations: hand-worked, published and simulated; figures; across networks."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ddjax import report
from ddjax.errors import InputError
from ddjax.report.correlation import Correlation, dcs, dcs_figure, spearman

NAN = float("nan")
# Mean accuracies in percent; subsets were selected with the first network.
FIRST = {"random": 50.0, "a": 60.0, "b": 70.0, "c": 80.0, "full": 90.0}
# Its ranks of random, a, b, c: 1, 3, 2, 4; squared differences 0 + 1 + 1 + 0, so that
# rho is 1 - 6 * 2 / (4 * 15) = 0.8.
SWAPPED = {"random": 30.0, "a": 55.0, "b": 45.0, "c": 65.0, "full": 20.0}
REVERSED = {"random": 40.0, "a": 30.0, "b": 20.0, "c": 10.0, "full": 99.0}


def test_spearman_hand_worked():
    # Ranks 1 2 3 4 5 and 2 1 4 3 5: sum of d^2 = 4, rho = 1 - 6 * 4 / (5 * 24).
    found = spearman([1, 2, 3, 4, 5], [20, 10, 40, 30, 50])
    assert found.rho == pytest.approx(0.8) and found.n == 5
    # artanh 0.8 = 1.0986; standard error sqrt(1.32 / 2) = 0.8124; 1.96 of it 1.5923.
    np.testing.assert_allclose(
        [found.low, found.high], np.tanh([1.0986 - 1.5923, 1.0986 + 1.5923]), atol=1e-4
    )


def test_spearman_equals_a_published_example_with_ties():
    # The example of ci.spear in the R package statpsych.
    y = [21, 4, 9, 12, 35, 18, 10, 22, 24, 1, 6, 8, 13, 16, 19]
    x = [67, 28, 30, 28, 52, 40, 25, 37, 44, 10, 14, 20, 28, 40, 51]
    found = spearman(y, x)
    expected = [0.8699639, 0.5840951, 0.9638297]
    np.testing.assert_allclose([found.rho, found.low, found.high], expected, atol=5e-8)


def average_ranks(values):
    """The mean place of equal values, by counting."""
    return [
        sum(other < value for other in values) + (values.count(value) + 1) / 2
        for value in values
    ]


@pytest.mark.parametrize("seed", range(5))
def test_spearman_equals_pearson_of_average_ranks(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(4, 40))
    x, y = rng.integers(0, 8, (2, n)).tolist()
    expected = np.corrcoef(average_ranks(x), average_ranks(y))[0, 1]
    found = spearman(x, y, confidence=0.9)
    assert found.rho == pytest.approx(expected, abs=1e-12)
    half = stats.norm.ppf(0.95) * np.sqrt((1 + expected**2 / 2) / (n - 3))
    ends = np.tanh(np.arctanh(expected) + [-half, half]) if n > 3 else [NAN, NAN]
    np.testing.assert_allclose([found.low, found.high], ends, rtol=1e-9)


def test_spearman_sees_order_only_and_knows_the_sign():
    rng = np.random.default_rng(0)
    x = rng.normal(size=20)
    y = x + rng.normal(size=20)
    found, order = spearman(x, y), rng.permutation(20)
    assert spearman(np.exp(x)[order], (y**3)[order]) == found
    down = spearman(x, -y)
    np.testing.assert_allclose(
        [down.rho, down.low, down.high], [-found.rho, -found.high, -found.low]
    )


@pytest.mark.parametrize("n, rho", [(6, 0.0), (12, 0.6), (60, 0.8)])
def test_spearman_interval_holds_the_truth_at_least_as_often_as_it_says(n, rho):
    rng = np.random.default_rng(n)
    # Of normal pairs with correlation r, Spearman's rho is 6 / pi * arcsin(r / 2).
    r = 2 * np.sin(np.pi * rho / 6)
    held = []
    for x, z in rng.normal(size=(400, 2, n)):
        found = spearman(x, r * x + np.sqrt(1 - r**2) * z)
        held.append(not (rho < found.low or rho > found.high))
    # Three standard errors of 0.95 over 400 samples are 0.033.
    assert 0.917 <= np.mean(held) <= 0.998


def test_spearman_without_an_interval():
    assert spearman([1, 2, 3], [1, 3, 2]).rho == pytest.approx(0.5)
    for few in (spearman([1, 2, 3], [1, 3, 2]), spearman(range(9), range(9))):
        assert np.isnan([few.low, few.high]).all() and not np.isnan(few.rho)
    assert spearman(range(9), range(0, -9, -1)).rho == -1.0
    for x, y in (([2, 2, 2, 2], [1, 2, 3, 4]), ([1, 2, 3, 4], [0] * 4), ([1], [2])):
        found = spearman(x, y)
        assert np.isnan([found.rho, found.low, found.high]).all()
        assert found.n == len(x)


@pytest.mark.parametrize(
    "x, y, confidence, message",
    [
        ([1, 2], [1, 2, 3], 0.95, "2 and 3 values"),
        (
            [1, NAN],
            [1, 2],
            0.95,
            "surrogate: not finite in 1 .* first at 1: nan",
        ),
        ([1, 2], [np.inf, 2], 0.95, "downstream: not finite .* at 0: inf"),
        ([[1, 2]], [1, 2], 0.95, r"surrogate: shape \(1, 2\), expected \[n\]"),
        ([1, 2], [1, 2], 1.0, r"confidence: 1.0, expected a level in \(0, 1\)"),
    ],
)
def test_spearman_refuses_bad_input(x, y, confidence, message):
    with pytest.raises(InputError, match=message):
        spearman(x, y, confidence)


@pytest.fixture(scope="module")
def table():
    losses = np.arange(8.0)
    surrogates = {
        "weak": [3, 1, 4, 0, 5, 2, 7, 6],
        "constant": np.ones(8),
        "opposite": [7, 6, 5, 4, 3, 2, 0, 1],
        "weak too": [3, 1, 4, 0, 5, 2, 7, 6],
    }
    return dcs(surrogates, losses)


def test_dcs_puts_the_strongest_first_whatever_its_sign(table):
    assert list(table.columns) == ["surrogate", "rho", "low", "high", "n"]
    assert list(table["surrogate"]) == ["opposite", "weak", "weak too", "constant"]
    assert table["rho"][0] == pytest.approx(-1 + 12 / (8 * 63))
    assert np.isnan(table["rho"][3]) and (table["n"] == 8).all()
    expected = spearman([3, 1, 4, 0, 5, 2, 7, 6], range(8))
    assert Correlation(*table.loc[1, ["rho", "low", "high", "n"]]) == expected


def test_dcs_leaves_out_subsets_without_the_surrogate():
    losses, values = np.arange(7.0), np.array([3, np.nan, 1, 4, 0, np.nan, 5])
    there = ~np.isnan(values)
    (row,) = dcs(
        {
            "some": values,
        },
        losses,
    )[["rho", "low", "high", "n"]].to_numpy()
    assert Correlation(*row) == spearman(values[there], losses[there])
    with pytest.raises(InputError, match="'some': downstream: not finite"):
        dcs({"some": values}, np.where(there, np.nan, losses))


def test_dcs_refuses_bad_input():
    with pytest.raises(InputError, match="surrogates: none is given"):
        dcs({}, [1, 2])
    with pytest.raises(InputError, match="'dm': surrogate, downstream: 3 and 2 values"):
        dcs({"dm": [1, 2, 3]}, [1, 2])


def rows_of(axes):
    """Surrogate -> (rho, place, whether its dot is filled)."""
    return {
        line.get_label(): (
            *(float(part[0]) for part in line.get_data()),
            line.get_markerfacecolor() != "white",
        )
        for line in axes.lines
        if line.get_marker() == "o"
    }


def test_dcs_figure_has_a_panel_per_regime_and_budget(table):
    weak = pd.DataFrame([("weak", 0.1, -0.4, 0.6, 8)], columns=table.columns)
    figure = dcs_figure(
        {("soft_kd", 50): weak, ("hard", 50): table, ("hard", 10): weak}
    )
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "hard labels, IPC 10",
        "soft_kd labels, IPC 10: not measured",
        "hard labels, IPC 50",
        "soft_kd labels, IPC 50",
    ]
    first, empty, full, _ = figure.axes
    # By the mean of |rho|: opposite, weak too, weak (drawn down by 0.1), constant.
    names = [text.get_text() for text in first.get_yticklabels()]
    assert names == ["opposite", "weak too", "weak", "constant"]
    assert rows_of(first) == {"weak": (0.1, 2, False)} and rows_of(empty) == {}
    found = rows_of(full)
    assert list(found) == ["opposite", "weak", "weak too"]
    assert found["opposite"] == (table["rho"][0], 0, True)
    assert found["weak"][1:] == (2, False)
    spans = [list(line.get_xdata()) for line in full.lines if len(line.get_xdata()) > 1]
    assert [table["low"][0], table["high"][0]] in spans
    assert [text.get_text() for text in full.texts] == ["constant"]
    assert full.get_ylim() == (3.5, -0.5)
    figure.canvas.draw()
    with pytest.raises(InputError, match="tables: none is given"):
        dcs_figure({})


def members(networks, regime="hard", ipc=10):
    """Two students a selection, two points apart; NaN stands for one that failed."""
    return pd.DataFrame(
        {
            "network": network,
            "method": method,
            "ipc": ipc,
            "regime": regime,
            "seed": seed,
            "status": "failed" if np.isnan(accuracy) else "ok",
            "accuracy": accuracy + 2 * seed - 1,
            "val_accuracy": accuracy,
            "learning_rate": 0.01,
            "image_passes": 1000,
            "find_passes": 0,
            "find_seconds": 0.0,
            "train_seconds": 1.0,
        }
        for network, accuracies in networks.items()
        for method, accuracy in accuracies.items()
        for seed in (0, 1)
    )


def of(networks_table, network, column, **where):
    """method -> value."""
    rows = networks_table[networks_table["network"] == network]
    for name, value in where.items():
        rows = rows[rows[name] == value]
    return dict(zip(rows["method"], rows[column], strict=True))


@pytest.fixture(scope="module")
def networks_table():
    networks = {"first": FIRST, "swapped": SWAPPED, "reversed": REVERSED}
    return report.by_architecture(members(networks))


def test_every_network_has_its_summary(networks_table):
    assert list(dict.fromkeys(networks_table["network"])) == [
        "first",
        "swapped",
        "reversed",
    ]
    assert of(networks_table, "first", "accuracy") == FIRST
    assert of(networks_table, "swapped", "accuracy") == SWAPPED
    gaps = of(networks_table, "swapped", "gap")
    assert np.isnan(gaps.pop("random"))
    # Against random under the same network.
    assert gaps == {"a": 25.0, "b": 15.0, "c": 35.0, "full": -10.0}
    assert (networks_table["n"] == 2).all()


def test_rank_correlation_by_hand(networks_table):
    assert np.isnan(
        list(of(networks_table, "first", "rank_correlation").values())
    ).all()
    for network, expected in (("swapped", 0.8), ("reversed", -1.0)):
        found = list(of(networks_table, network, "rank_correlation").values())
        assert found == pytest.approx([expected] * 5), network


def test_rank_correlation_is_one_of_each_budget_and_regime():
    parts = [
        members({"first": FIRST, "other": SWAPPED}),
        members({"first": FIRST, "other": REVERSED}, ipc=50),
        members({"first": FIRST, "other": FIRST}, regime="soft"),
    ]
    networks_table = report.by_architecture(pd.concat(parts, ignore_index=True))
    found = {
        key: rows["rank_correlation"].tolist()
        for key, rows in networks_table[networks_table["network"] == "other"].groupby(
            ["regime", "ipc"]
        )
    }
    assert found == {
        ("hard", 10): pytest.approx([0.8] * 5),
        ("hard", 50): pytest.approx([-1.0] * 5),
        ("soft", 10): pytest.approx([1.0] * 5),
    }


def test_failed_selections_are_not_ranked():
    # Without b the ranks are those of the first.
    other = SWAPPED | {"b": NAN}
    networks_table = report.by_architecture(members({"first": FIRST, "other": other}))
    found = list(of(networks_table, "other", "rank_correlation").values())
    assert found == pytest.approx([1.0] * 5)
    assert np.isnan(of(networks_table, "other", "accuracy")["b"])
    assert of(networks_table, "other", "failed")["b"] == 2


@pytest.mark.parametrize(
    "other",
    [
        {"random": 50.0, "a": NAN, "b": NAN, "c": NAN},  # one is left
        dict.fromkeys(("random", "a", "b", "c"), 50.0),  # no order
        dict.fromkeys(("random", "a", "b", "c"), NAN),
    ],
)
def test_what_has_no_ranks_has_no_correlation(other):
    networks_table = report.by_architecture(members({"first": FIRST, "other": other}))
    assert networks_table["rank_correlation"].isna().all()


def cells(axes):
    """(column, row) -> text."""
    return {tuple(map(int, t.get_position())): t.get_text() for t in axes.texts}


def ticks(labels):
    return [label.get_text() for label in labels]


def test_the_figure_has_a_cell_for_every_network_and_selection(networks_table):
    figure = report.architectures_figure(networks_table)
    axes = figure.axes[0]
    assert ticks(axes.get_yticklabels()) == ["random", "a", "b", "c", "full"]
    names = ["first", "swapped\nρ 0.80", "reversed\nρ -1.00"]
    assert ticks(axes.get_xticklabels()) == names
    found = cells(axes)
    assert len(found) == 15
    assert found[0, 0] == "50.0" and found[1, 0] == "30.0"
    assert found[0, 1] == "60.0\n(+10.0)" and found[1, 4] == "20.0\n(−10.0)"
    (image,) = axes.get_images()
    np.testing.assert_array_equal(image.get_array()[:, 1], [0, 25, 15, 35, -10])
    assert image.norm.vmin == -image.norm.vmax


def test_the_figure_has_a_panel_for_every_budget_and_regime():
    parts = [
        members({"first": FIRST, "other": SWAPPED}, regime, ipc)
        for regime in ("soft", "hard")
        for ipc in (50, 10)
    ]
    networks_table = report.by_architecture(pd.concat(parts, ignore_index=True))
    figure = report.architectures_figure(networks_table)
    titles = [axes.get_title(loc="left") for axes in figure.axes[:4]]
    assert titles == [
        "hard labels, IPC 10",
        "soft labels, IPC 10",
        "hard labels, IPC 50",
        "soft labels, IPC 50",
    ]
    limits = {axes.get_images()[0].norm.vmax for axes in figure.axes[:4]}
    assert len(limits) == 1


def test_a_failed_selection_has_a_dash():
    other = SWAPPED | {"b": NAN}
    networks_table = report.by_architecture(members({"first": FIRST, "other": other}))
    axes = report.architectures_figure(networks_table).axes[0]
    assert cells(axes)[1, 2] == "–"


def test_the_networks_figure_can_be_drawn(networks_table):
    figure = report.architectures_figure(networks_table)
    figure.canvas.draw()
    assert np.asarray(figure.canvas.buffer_rgba()).std() > 1


def test_an_empty_table_is_refused(networks_table):
    with pytest.raises(InputError, match="table: there are no students"):
        report.architectures_figure(networks_table.iloc[:0])
