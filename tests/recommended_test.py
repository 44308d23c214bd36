"""The recommended subset: whose it is, and where it is written."""

import numpy as np
import pandas as pd
import pytest
import tiny
from results_test import FOUND, outcome

from ddjax import data, report, settings
from ddjax.settings import from_config
from ddjax.stations import recommended, results
from ddjax.stations.evidence import Evidence
from ddjax.problem import open_problem
from ddjax.stages.subsets import subsets_station
from ddjax.workdir import Workdir


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A context with random subsets and one from a file, and its subsets."""
    place = tmp_path_factory.mktemp("run")
    source = tiny.write(place / "tiny.npz")
    changes = {"regimes": ("hard",), "select__methods": ("random",)}
    config = tiny.config(source, **changes)
    pool = open_problem(from_config(config)).pool
    mine = [pool.ids[pool.labels == label][-2:] for label in range(3)]
    data.write_subset(place / "mine.csv", np.concatenate(mine))
    settings.add_selection(config, "mine", subset=str(place / "mine.csv"))
    context = open_problem(from_config(config))
    with Workdir(place / "run", {"experiment": "recommended"}) as context.workdir:
        found = {2: subsets_station(context, Evidence(context, 2, {}, {}))}
        yield context, found, np.sort(np.concatenate(mine))


def recommend(run, **accuracies):
    context, found, _ = run
    rows = [
        results.member_row(context, "hard", outcome(method, seed, accuracy), FOUND)
        for method, values in accuracies.items()
        for seed, accuracy in enumerate(values)
    ]
    members = pd.DataFrame(rows)
    summary = report.summarise(members)
    return recommended.recommend(context, members, summary, found)


def test_it_is_the_first_seeds_subset_of_the_best_selection(run):
    context, found, mine = run
    best = recommend(run, random=(40.0, 50.0), mine=(60.0, 62.0))
    assert best.ids.tolist() == mine.tolist()
    assert best.choice == {"method": "mine", "regime": "hard", "ipc": 2, "seed": 0}
    assert best.text.startswith("Recommended subset: mine at IPC 2 under hard labels")
    other = recommend(run, random=(70.0, 80.0), mine=(60.0, 62.0))
    expected = np.sort(context.pool.ids[found[2].arrays["random"][0]])
    assert other.ids.tolist() == expected.tolist() != mine.tolist()


def test_it_is_written_and_exported(run, tmp_path):
    context, _, mine = run
    best = recommend(run, random=(40.0, 50.0), mine=(60.0, 62.0))
    lines = recommended.write_recommended(context, best, tmp_path / "chosen")
    written = context.workdir.path / "subset.csv"
    rows = [line.split(",")[0] for line in written.read_text().split()]
    assert rows == ["id", *map(str, mine)]
    assert len(list((tmp_path / "chosen").glob("*/*.png"))) == len(mine)
    assert lines[0] == best.text and str(tmp_path / "chosen") in lines[-1]


def test_an_earlier_answer_does_not_outlive_failure(run):
    context, _, _ = run
    (context.workdir.path / "subset.csv").write_text("id\n1\n")
    nothing = recommend(run, random=(np.nan,), mine=(np.nan,))
    assert nothing is None
    (line,) = recommended.write_recommended(context, nothing, None)
    assert "no subset is recommended" in line
    assert not (context.workdir.path / "subset.csv").exists()
