"""A study of many selections: what its report adds."""

import csv
import itertools

import numpy as np
import pytest
import scipy.stats
import tiny
from runs import drawing, rows_of

from ddjax import pipeline
from ddjax.settings import from_config

METHODS = ("random", "el2n_easy", "ccs", "herding", "glister", "grand_hard")
REGIMES, IPCS, SEEDS = ("hard",), (2, 4), (0, 1)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("coresets")
    source = tiny.write(folder / "tiny.npz")
    config = tiny.config(
        source, regimes=REGIMES, select__methods=METHODS, select__ipcs=IPCS
    )
    with drawing():
        pipeline.run(from_config(config), folder / "run")
    return folder / "run"


@pytest.mark.slow
def test_figures_compare_selections_with_each_other(done):
    names = {path.stem for path in (done / "figures").iterdir()}
    each = ("difficulty", "correlation", "overlap", "images")
    assert names == {"dcs", "classes"} | {
        f"{name}_ipc{ipc}" for name, ipc in itertools.product(each, IPCS)
    }
    html = (done / "report.html").read_text()
    assert html.count("data:image/png;base64,") == len(names)


def test_dcs_has_a_line_a_surrogate(done):
    rows = list(csv.DictReader((done / "dcs.csv").read_text().splitlines()))
    found = {(row["regime"], int(row["ipc"])) for row in rows}
    assert found == set(itertools.product(REGIMES, IPCS))
    names = {"coverage", "distribution matching", "gradient matching"}
    names |= {"mean el2n", "mean aum", "mean grand"}
    assert {row["surrogate"] for row in rows} == names
    # A selection counts once, whatever the seeds.
    assert {int(row["n"]) for row in rows} == {len(METHODS)}


def test_dcs_correlates_means_over_the_seeds(done):
    losses, scores = [], []
    for method in METHODS:
        rows = [r for r in rows_of(done) if (r["method"], r["ipc"]) == (method, 4)]
        losses.append(np.mean([row["test_loss"] for row in rows]))
        means = []
        for seed in SEEDS:
            table = np.genfromtxt(
                done / "scores" / f"ipc4_seed{seed}.csv", delimiter=",", names=True
            )
            path = done / "subsets" / f"{method}_ipc4_seed{seed}.csv"
            chosen = np.loadtxt(path, skiprows=1, delimiter=",", usecols=0)
            means.append(table["el2n"][np.isin(table["id"], chosen)].mean())
        scores.append(np.mean(means))
    expected = scipy.stats.spearmanr(scores, losses).statistic
    rows = csv.DictReader((done / "dcs.csv").read_text().splitlines())
    (found,) = (
        float(row["rho"])
        for row in rows
        if (row["surrogate"], row["ipc"]) == ("mean el2n", "4")
    )
    assert found == pytest.approx(expected, abs=1e-3)


def test_finding_costs_what_each_selection_looked_at(done):
    pool, validation = 96, 24
    for row in rows_of(done):
        trace = row["image_passes"] + 9 * pool
        last_layer = pool + validation
        expected = {
            "random": 0,
            "full": 0,
            "el2n_easy": trace,
            "ccs": trace,
            "herding": trace + last_layer,
            "glister": trace + last_layer,
            "grand_hard": trace + pool,
        }
        assert row["find_passes"] == expected[row["method"]], row["method"]
