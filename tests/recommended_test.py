"""The recommended subset: whose it is, and where it is written."""

import numpy as np
import pandas as pd
import pytest
import runs
import tiny
from report_stage_test import FOUND, outcome

from ddjax import data, report, settings
from ddjax.problem import open_problem
from ddjax.settings import from_config
from ddjax.stages import exports
from ddjax.stages.comparison import member_row
from ddjax.stages.findings import Findings
from ddjax.stages.outputs import Parts


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run, a problem with random subsets and one from a file, and its subsets."""
    place = tmp_path_factory.mktemp("run")
    source = tiny.write(place / "tiny.npz")
    changes = {"regimes": ("hard",), "select__methods": ("random",)}
    config = tiny.config(source, **changes)
    pool = open_problem(from_config(config)).pool
    mine = [pool.ids[pool.labels == label][-2:] for label in range(3)]
    data.write_subset(place / "mine.csv", np.concatenate(mine))
    settings.add_selection(config, "mine", subset=str(place / "mine.csv"))
    problem = open_problem(from_config(config))
    with runs.running(place / "run") as opened:
        found = {2: runs.subsets_of(opened, problem, 2)}
        yield (opened, problem), found, np.sort(np.concatenate(mine))


def findings(run, **accuracies):
    (opened, problem), found, _ = run
    rows = [
        member_row(problem, "hard", outcome(method, seed, accuracy), FOUND)
        for method, values in accuracies.items()
        for seed, accuracy in enumerate(values)
    ]
    members = pd.DataFrame(rows)
    summary = report.summarise(members)
    return Findings(
        *(opened, problem, Parts(), {}, members, members, summary),
        *(found, {}, {}, {}),
    )


def test_it_is_the_first_seeds_subset_of_the_best_selection(run):
    (_, problem), found, mine = run
    best = exports.recommend(findings(run, random=(40.0, 50.0), mine=(60.0, 62.0)))
    assert best.ids.tolist() == mine.tolist()
    assert best.choice == {"method": "mine", "regime": "hard", "ipc": 2, "seed": 0}
    assert best.text.startswith("Recommended subset: Mine at IPC 2 under hard labels")
    other = exports.recommend(findings(run, random=(70.0, 80.0), mine=(60.0, 62.0)))
    expected = np.sort(problem.pool.ids[found[2].arrays["random"][0]])
    assert other.ids.tolist() == expected.tolist() != mine.tolist()


def test_it_is_written_and_exported(run, tmp_path):
    (opened, _), _, mine = run
    found = findings(run, random=(40.0, 50.0), mine=(60.0, 62.0))
    best = exports.recommend(found)
    lines = exports.write_recommended(found, best, tmp_path / "chosen")
    written = opened.folder / "subset.csv"
    rows = [line.split(",")[0] for line in written.read_text().split()]
    assert rows == ["id", *map(str, mine)]
    assert len(list((tmp_path / "chosen").glob("*/*.png"))) == len(mine)
    assert lines[0] == best.text and str(tmp_path / "chosen") in lines[-1]


def test_an_earlier_answer_does_not_outlive_failure(run):
    (opened, _), _, _ = run
    (opened.folder / "subset.csv").write_text("id\n1\n")
    found = findings(run, random=(np.nan,), mine=(np.nan,))
    nothing = exports.recommend(found)
    assert nothing is None
    (line,) = exports.write_recommended(found, nothing, None)
    assert "no subset is recommended" in line
    assert not (opened.folder / "subset.csv").exists()
