"""The stations: labels, subsets, and choices that never see the test split."""

import dataclasses
import json

import numpy as np
import pytest
import runs
import tiny

from ddjax import data, experiment
from ddjax.artifacts import Cost
from ddjax.data.source import Examples
from ddjax.errors import InputError
from ddjax.report.statistics import FULL, RANDOM
from ddjax.settings import from_config
from ddjax.stations.evidence import gather
from ddjax.stations.fixed_labels import labels_station
from ddjax.stations.opening import open_context
from ddjax.stations.students import Outcome, Students
from ddjax.stations.subsets import (
    judged,
    scores_of,
    search_windows,
    subset_of,
    subsets_station,
)
from ddjax.stations.teacher import teacher_station
from ddjax.stations.trace import trace_station

IPC = 2
METHODS = ("random", "el2n_best_window", "cad_prune", "facility_location")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return tiny.write(tmp_path_factory.mktemp("source") / "tiny.npz")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs") / "run"


@pytest.fixture(scope="module")
def opened(source, folder):
    """Opens a context with changed settings in the module's folder."""

    def make(**changes):
        changes = {"select__methods": METHODS} | changes
        context = open_context(from_config(tiny.config(source, **changes)))
        context.compiled = runs.COMPILED
        return context

    with runs.opening(folder, make) as place:
        yield place


@pytest.fixture(scope="module")
def context(opened):
    return opened()


@pytest.fixture(scope="module")
def teacher(context):
    return teacher_station(context)


@pytest.fixture(scope="module")
def trace(context):
    return trace_station(context, Students(context, {}), IPC, 0.01, "hard")


@pytest.fixture(scope="module")
def evidence(context, trace):
    return gather(context, Students(context, {}), IPC, {"hard": 0.01})


@pytest.fixture(scope="module")
def subsets(context, evidence):
    return subsets_station(context, evidence)


def logits_of(teacher, context, images):
    """The network's answer, the images normalised by hand."""
    source = context.source
    inputs = (images / np.float32(255) - np.float32(source.mean)) / np.float32(
        source.std
    )
    return np.asarray(teacher.network.apply(teacher.variables, inputs)[0])


def test_labels_are_the_networks_logits(context, teacher):
    artifact = labels_station(context, teacher)
    expected = logits_of(teacher, context, context.pool.images)
    assert artifact.arrays["logits"].shape == (len(context.pool), 3)
    # The matrix products run at another size here.
    np.testing.assert_allclose(
        artifact.arrays["logits"], expected, rtol=1e-4, atol=1e-5
    )
    np.testing.assert_array_equal(artifact.arrays["ids"], context.pool.ids)
    assert artifact.info["classes"] == list(tiny.CLASSES)
    assert artifact.manifest["parents"]["teacher"] == teacher.artifact.address
    assert labels_station(context, teacher).reused


def test_subsets_are_balanced_and_one_a_seed(context, subsets):
    names = ("random", "cad_prune", "facility_location")
    candidates = ("el2n_best_window@0", "el2n_best_window@0.5")
    for name in names + candidates:
        positions = subsets.arrays[name]
        assert positions.shape == (2, IPC * 3) and positions.dtype == np.int32, name
        for row in positions:
            assert len(np.unique(row)) == IPC * 3
            labels = context.pool.labels[row]
            np.testing.assert_array_equal(np.bincount(labels), [IPC] * 3, name)
    assert not np.array_equal(*subsets.arrays["random"])
    assert not np.array_equal(*(subsets.arrays[name] for name in candidates))


def test_subsets_keep_the_scores_they_rank_by(context, subsets, trace):
    scored = {name for name in subsets.arrays if name.startswith("score.")}
    assert scored == {"score.el2n", "score.cad"}
    assert set(scores_of(subsets, 0)) == {"el2n", "cad"}
    scores = subsets.arrays["score.el2n"]
    np.testing.assert_allclose(scores, trace.arrays["el2n"].mean(1), rtol=1e-5)
    for row in range(2):
        # Window 0 is the easiest of every class.
        kept = np.isin(
            np.arange(len(context.pool)), subset_of(subsets, METHODS[1], row, 0.0)
        )
        for label in range(3):
            members = context.pool.labels == label
            easiest = np.sort(scores[row][members])[:IPC]
            np.testing.assert_array_equal(np.sort(scores[row][members & kept]), easiest)


def test_subsets_name_the_stable_ids(context, subsets):
    np.testing.assert_array_equal(subsets.arrays["ids"], context.pool.ids)
    everything = dict(np.load(subsets.path / "arrays.npz"))
    chosen = everything["ids"][everything["random"][0]]
    np.testing.assert_array_equal(
        context.source.train.labels[chosen],
        context.pool.labels[everything["random"][0]],
    )


def test_subsets_change_with_what_they_hang_on(opened, context, evidence, subsets):
    assert subsets_station(context, evidence).reused
    other = dataclasses.replace(evidence, context=opened(select__cad_keep="lowest"))
    assert not subsets_station(other.context, other).reused


class Judge:
    """Stands for `Students`: gives every member accuracies instead of training it."""

    def __init__(self, context, accuracies):
        """accuracies: member -> (validation, test)."""
        self.context = context
        self.accuracies = accuracies
        self.asked = []

    def train(self, label, regime, members, read_test):
        self.asked.append((label, regime, read_test, members))
        outcomes = []
        for member in members:
            validation, test = self.accuracies(member)
            outcomes.append(
                Outcome(
                    member,
                    validation,
                    test if read_test else float("nan"),
                    float("nan"),
                    np.zeros(1),
                    train_seconds=1.0,
                    steps=20,
                    image_passes=120,
                )
            )
        return outcomes


def by_rate(member):
    """Validation prefers 0.03 for subsets and 0.01 for all data, test the contrary."""
    good = {RANDOM: 0.03, FULL: 0.01}[member.method]
    return (70.0, 20.0) if member.learning_rate == good else (60.0, 80.0)


@pytest.mark.parametrize(
    "select_on, expected",
    [("validation", {RANDOM: 0.03, FULL: 0.01}), ("test", {RANDOM: 0.01, FULL: 0.03})],
)
def test_tune_chooses_by_the_split_it_is_told(opened, select_on, expected):
    context = opened(
        student__learning_rates=(0.01, 0.03), protocol__select_on=select_on
    )
    judge = Judge(context, by_rate)
    assert experiment.tune(judge, "hard", IPC) == expected
    ((label, regime, read_test, members),) = judge.asked
    assert (label, regime, read_test) == ("tuning", "hard", select_on == "test")
    assert {member.seed for member in members} == {0}  # search_seeds of them
    assert len(members) == 4


def test_tune_takes_a_single_rate_untried(opened):
    judge = Judge(opened(), by_rate)
    assert experiment.tune(judge, "hard", IPC) == {RANDOM: 0.01, FULL: 0.01}
    assert judge.asked == []


def test_tune_takes_the_middle_of_equally_good_rates(opened):
    context = opened(student__learning_rates=(0.1, 0.01, 0.03, 0.3))
    judge = Judge(
        context, lambda member: (70.0 - 9 * (member.learning_rate == 0.3), 0.0)
    )
    found = experiment.tune(judge, "hard", IPC)
    assert found == {RANDOM: 0.03, FULL: 0.03}


def test_tune_passes_over_rates_that_diverge(opened):
    context = opened(student__learning_rates=(0.01, 0.03, 0.1))

    def accuracies(member):
        value = {0.01: 50.0, 0.03: 40.0, 0.1: float("nan")}[member.learning_rate]
        return value, float("nan")

    found = experiment.tune(Judge(context, accuracies), "hard", IPC)
    assert found == {RANDOM: 0.01, FULL: 0.01}


def test_tune_averages_the_search_seeds(opened):
    context = opened(student__learning_rates=(0.01, 0.03), protocol__search_seeds=2)

    def accuracies(member):
        values = {(0.01, 0): 90.0, (0.01, 1): 10.0, (0.03, 0): 60.0, (0.03, 1): 60.0}
        return values[member.learning_rate, member.seed], float("nan")

    found = experiment.tune(Judge(context, accuracies), "hard", IPC)
    assert found == {RANDOM: 0.03, FULL: 0.03}


def test_tune_refuses_when_all_rates_diverge(opened):
    context = opened(student__learning_rates=(1.0, 2.0))
    nothing = Judge(context, lambda member: (float("nan"), float("nan")))
    message = "with all of which training diverged .random, soft, IPC 2.; offer smaller"
    with pytest.raises(InputError, match=message):
        experiment.tune(nothing, "soft", IPC)


@pytest.mark.parametrize("select_on, best", [("validation", 0.0), ("test", 0.5)])
def test_search_windows_chooses_by_the_split_it_is_told(
    opened, subsets, select_on, best
):
    context = opened(protocol__select_on=select_on)
    judge = Judge(
        context, lambda member: (70.0, 20.0) if member.label == 0.0 else (60.0, 80.0)
    )
    found, cost = search_windows(
        context, judge, subsets, "el2n_best_window", "hard", IPC, 0.01
    )
    assert found == best
    assert cost == Cost(train_passes=240, forward_passes=2 * len(context.validation))
    ((_, _, read_test, members),) = judge.asked
    assert read_test == (select_on == "test")
    for member in members:
        np.testing.assert_array_equal(
            member.positions,
            subset_of(subsets, "el2n_best_window", 0, member.label),
        )


def test_judged_puts_failures_last(opened):
    protocol = opened().settings.protocol
    member = None
    failed = Outcome(member, float("nan"), float("nan"), 0.0, np.zeros(1), 0.0, 0, 0)
    assert judged(failed, protocol) == -np.inf and failed.failed


def students_artifacts(folder):
    return {
        path: json.loads((path / "manifest.json").read_text())["info"]["label"]
        for path in (folder / "artifacts").glob("students-*")
    }


def test_searches_leave_no_test_accuracy(opened, subsets, folder):
    context = opened(student__learning_rates=(0.01, 0.03))
    # A test split that would end any search that reads it.
    context.test = Examples(None, None, None)
    students = Students(context, {})
    rates = experiment.tune(students, "hard", IPC)
    start, _ = search_windows(
        context, students, subsets, "el2n_best_window", "hard", IPC, rates[RANDOM]
    )
    assert start in (0.0, 0.5)
    labels = students_artifacts(folder)
    assert sorted(name.split(",")[0] for name in labels.values()) == [
        "search of el2n_best_window",
        "tuning",
    ]
    for path, label in labels.items():
        arrays = dict(np.load(path / "arrays.npz"))
        assert "accuracy" not in arrays, label
        assert np.isfinite(arrays["val_accuracy"]).all(), label


def test_context_splits_share_no_image(context):
    pool, validation = set(context.pool.ids), set(context.validation.ids)
    assert not pool & validation
    assert len(pool | validation) == len(context.source.train)
    assert data.load(context.source.name).digest == context.source.digest
