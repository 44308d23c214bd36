"""The same subsets under several networks: rank correlations and the figure."""

import numpy as np
import pandas as pd
import pytest

from ddjax import report
from ddjax.errors import InputError

NAN = float("nan")
# Mean accuracies in percent; the first network chose.
FIRST = {"random": 50.0, "a": 60.0, "b": 70.0, "c": 80.0, "full": 90.0}
# Its ranks of random, a, b, c: 1, 3, 2, 4; squared differences 0 + 1 + 1 + 0, so that
# rho is 1 - 6 * 2 / (4 * 15) = 0.8.
SWAPPED = {"random": 30.0, "a": 55.0, "b": 45.0, "c": 65.0, "full": 20.0}
REVERSED = {"random": 40.0, "a": 30.0, "b": 20.0, "c": 10.0, "full": 99.0}


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


def of(table, network, column, **where):
    """method -> value."""
    rows = table[table["network"] == network]
    for name, value in where.items():
        rows = rows[rows[name] == value]
    return dict(zip(rows["method"], rows[column], strict=True))


@pytest.fixture(scope="module")
def table():
    networks = {"first": FIRST, "swapped": SWAPPED, "reversed": REVERSED}
    return report.by_architecture(members(networks))


def test_every_network_has_its_summary(table):
    assert list(dict.fromkeys(table["network"])) == ["first", "swapped", "reversed"]
    assert of(table, "first", "accuracy") == FIRST
    assert of(table, "swapped", "accuracy") == SWAPPED
    gaps = of(table, "swapped", "gap")
    assert np.isnan(gaps.pop("random"))
    # Against random under the same network.
    assert gaps == {"a": 25.0, "b": 15.0, "c": 35.0, "full": -10.0}
    assert (table["n"] == 2).all()


def test_rank_correlation_by_hand(table):
    assert np.isnan(list(of(table, "first", "rank_correlation").values())).all()
    for network, expected in (("swapped", 0.8), ("reversed", -1.0)):
        found = list(of(table, network, "rank_correlation").values())
        assert found == pytest.approx([expected] * 5), network


def test_rank_correlation_is_one_of_each_budget_and_regime():
    parts = [
        members({"first": FIRST, "other": SWAPPED}),
        members({"first": FIRST, "other": REVERSED}, ipc=50),
        members({"first": FIRST, "other": FIRST}, regime="soft"),
    ]
    table = report.by_architecture(pd.concat(parts, ignore_index=True))
    found = {
        key: rows["rank_correlation"].tolist()
        for key, rows in table[table["network"] == "other"].groupby(["regime", "ipc"])
    }
    assert found == {
        ("hard", 10): pytest.approx([0.8] * 5),
        ("hard", 50): pytest.approx([-1.0] * 5),
        ("soft", 10): pytest.approx([1.0] * 5),
    }


def test_failed_selections_are_not_ranked():
    # Without b the ranks are those of the first.
    other = SWAPPED | {"b": NAN}
    table = report.by_architecture(members({"first": FIRST, "other": other}))
    found = list(of(table, "other", "rank_correlation").values())
    assert found == pytest.approx([1.0] * 5)
    assert np.isnan(of(table, "other", "accuracy")["b"])
    assert of(table, "other", "failed")["b"] == 2


@pytest.mark.parametrize(
    "other",
    [
        {"random": 50.0, "a": NAN, "b": NAN, "c": NAN},  # one is left
        dict.fromkeys(("random", "a", "b", "c"), 50.0),  # no order
        dict.fromkeys(("random", "a", "b", "c"), NAN),
    ],
)
def test_what_has_no_ranks_has_no_correlation(other):
    table = report.by_architecture(members({"first": FIRST, "other": other}))
    assert table["rank_correlation"].isna().all()


def cells(axes):
    """(column, row) -> text."""
    return {tuple(map(int, t.get_position())): t.get_text() for t in axes.texts}


def ticks(labels):
    return [label.get_text() for label in labels]


def test_the_figure_has_a_cell_for_every_network_and_selection(table):
    figure = report.architectures_figure(table)
    axes = figure.axes[0]
    assert ticks(axes.get_yticklabels()) == ["random", "a", "b", "c", "full"]
    names = ["first", "swapped\nρ 0.80", "reversed\nρ -1.00"]
    assert ticks(axes.get_xticklabels()) == names
    found = cells(axes)
    assert len(found) == 15
    assert found[0, 0] == "50.0" and found[1, 0] == "30.0"
    assert found[0, 1] == "60.0\n(+10.0)" and found[1, 4] == "20.0\n(-10.0)"
    (image,) = axes.get_images()
    np.testing.assert_array_equal(image.get_array()[:, 1], [0, 25, 15, 35, -10])
    assert image.norm.vmin == -image.norm.vmax


def test_the_figure_has_a_panel_for_every_budget_and_regime():
    parts = [
        members({"first": FIRST, "other": SWAPPED}, regime, ipc)
        for regime in ("soft", "hard")
        for ipc in (50, 10)
    ]
    table = report.by_architecture(pd.concat(parts, ignore_index=True))
    figure = report.architectures_figure(table)
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
    table = report.by_architecture(members({"first": FIRST, "other": other}))
    axes = report.architectures_figure(table).axes[0]
    assert cells(axes)[1, 2] == "–"


def test_the_figure_can_be_drawn(table):
    figure = report.architectures_figure(table)
    figure.canvas.draw()
    assert np.asarray(figure.canvas.buffer_rgba()).std() > 1


def test_an_empty_table_is_refused(table):
    with pytest.raises(InputError, match="table: there are no students"):
        report.architectures_figure(table.iloc[:0])
