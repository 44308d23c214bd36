"""Fixed labels, subsets, and choices that never see the test split."""

import dataclasses
import json

import numpy as np
import pytest
import runs
import tiny

from ddjax import data
from ddjax.artifacts import Cost
from ddjax.data.source import Examples
from ddjax.errors import InputError
from ddjax.problem import open_problem
from ddjax.report.statistics import FULL, RANDOM
from ddjax.settings import from_config
from ddjax.stages import tuning
from ddjax.stages.inputs import inputs_stages
from ddjax.stages.rates import Rates
from ddjax.stages.students import Outcome
from ddjax.stages.subsets import scores_of, subset_of

IPC = 2
METHODS = ("random", "el2n_best_window", "cad_prune", "facility_location")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return tiny.write(tmp_path_factory.mktemp("source") / "tiny.npz")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs") / "run"


@pytest.fixture(scope="module")
def opened(source):
    """Opens a problem with changed settings."""

    def make(**changes):
        changes = {"select__methods": METHODS, "regimes": ("hard",)} | changes
        return open_problem(from_config(tiny.config(source, **changes)))

    return make


@pytest.fixture(scope="module")
def run(folder):
    with runs.running(folder) as found:
        yield found


@pytest.fixture(scope="module")
def problem(opened):
    return opened()


@pytest.fixture(scope="module")
def teacher(run, problem):
    return runs.teacher_of(run, problem)


@pytest.fixture(scope="module")
def inputs(run, problem):
    tunings = {"hard": runs.known(Rates({FULL: 0.01}))}
    students = runs.students_of(problem)
    *_, last = inputs_stages(problem, students, {}, tunings, None, IPC)
    return runs.result(run, last)


@pytest.fixture(scope="module")
def trace(inputs):
    return inputs.found["traces"]


@pytest.fixture(scope="module")
def subsets(run, problem, inputs):
    return runs.subsets_of(run, problem, IPC, inputs)


def logits_of(teacher, problem, images):
    """The network's answer, the images normalised by hand."""
    source = problem.source
    inputs = (images / np.float32(255) - np.float32(source.mean)) / np.float32(
        source.std
    )
    return np.asarray(teacher.network.apply(teacher.variables, inputs)[0])


def test_labels_are_the_networks_logits(run, problem, teacher):
    artifact = runs.labels_of(run, problem, teacher)
    expected = logits_of(teacher, problem, problem.pool.images)
    assert artifact.arrays["logits"].shape == (len(problem.pool), 3)
    # The matrix products run at another size here.
    np.testing.assert_allclose(
        artifact.arrays["logits"], expected, rtol=1e-4, atol=1e-5
    )
    np.testing.assert_array_equal(artifact.arrays["ids"], problem.pool.ids)
    assert artifact.info["classes"] == list(tiny.CLASSES)
    assert artifact.manifest["parents"]["teacher"] == teacher.artifact.address
    assert runs.labels_of(run, problem, teacher).reused


def test_subsets_are_balanced_and_one_a_seed(problem, subsets):
    names = ("random", "cad_prune", "facility_location")
    candidates = ("el2n_best_window@0", "el2n_best_window@0.5")
    for name in names + candidates:
        positions = subsets.arrays[name]
        assert positions.shape == (2, IPC * 3) and positions.dtype == np.int32, name
        for row in positions:
            assert len(np.unique(row)) == IPC * 3
            labels = problem.pool.labels[row]
            np.testing.assert_array_equal(np.bincount(labels), [IPC] * 3, name)
    assert not np.array_equal(*subsets.arrays["random"])
    assert not np.array_equal(*(subsets.arrays[name] for name in candidates))


def test_subsets_keep_the_scores_they_rank_by(problem, subsets, trace):
    scored = {name for name in subsets.arrays if name.startswith("score.")}
    assert scored == {"score.el2n", "score.cad"}
    assert set(scores_of(subsets, 0)) == {"el2n", "cad"}
    scores = subsets.arrays["score.el2n"]
    np.testing.assert_allclose(scores, trace.arrays["el2n"].mean(1), rtol=1e-5)
    for row in range(2):
        # Window 0 is the easiest of every class.
        kept = np.isin(
            np.arange(len(problem.pool)), subset_of(subsets, METHODS[1], row, 0.0)
        )
        for label in range(3):
            members = problem.pool.labels == label
            easiest = np.sort(scores[row][members])[:IPC]
            np.testing.assert_array_equal(np.sort(scores[row][members & kept]), easiest)


def test_subsets_name_the_stable_ids(problem, subsets):
    np.testing.assert_array_equal(subsets.arrays["ids"], problem.pool.ids)
    everything = dict(np.load(subsets.path / "arrays.npz"))
    chosen = everything["ids"][everything["random"][0]]
    np.testing.assert_array_equal(
        problem.source.train.labels[chosen],
        problem.pool.labels[everything["random"][0]],
    )


def test_subsets_change_with_what_they_hang_on(run, opened, problem, inputs, subsets):
    assert runs.subsets_of(run, problem, IPC, inputs).reused
    other = dataclasses.replace(
        inputs, problem=opened(select__cad_prune__keep="lowest")
    )
    assert not runs.subsets_of(run, other.problem, IPC, other).reused


class Invented:
    """Stands for `Students`: gives every member accuracies instead of training it."""

    def __init__(self, problem, accuracies):
        """accuracies: member -> (validation, test)."""
        self.problem = problem
        self.accuracies = accuracies
        self.trained = []

    def train(self, label, regime, members, read_test):
        self.trained.append((label, regime, read_test, members))
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


def tune(run, students, regime):
    stage = tuning.tuning_stage(students.problem, runs.known(students), regime, IPC)
    return runs.result(run, stage)


def search(run, students, subsets, rate=0.01):
    stage = tuning.windows_stage(
        students.problem,
        runs.known(students),
        runs.known(subsets),
        runs.known(Rates({RANDOM: rate})),
        "el2n_best_window",
        "hard",
        IPC,
    )
    return runs.result(run, stage)


def by_rate(member):
    """Validation prefers 0.03 for subsets and 0.01 for all data, test the contrary."""
    good = {RANDOM: 0.03, FULL: 0.01}[member.method]
    return (70.0, 20.0) if member.learning_rate == good else (60.0, 80.0)


@pytest.mark.parametrize(
    "select_on, expected",
    [("validation", {RANDOM: 0.03, FULL: 0.01}), ("test", {RANDOM: 0.01, FULL: 0.03})],
)
def test_tune_chooses_by_the_split_of_its_settings(run, opened, select_on, expected):
    problem = opened(
        student__learning_rates=(0.01, 0.03), protocol__select_on=select_on
    )
    students = Invented(problem, by_rate)
    assert tune(run, students, "hard").by_method == expected
    ((label, regime, read_test, members),) = students.trained
    assert (label, regime, read_test) == ("tuning", "hard", select_on == "test")
    assert {member.seed for member in members} == {0}  # search_seeds of them
    assert len(members) == 4


def test_tune_takes_a_single_rate_untried(run, opened):
    students = Invented(opened(), by_rate)
    assert tune(run, students, "hard") == Rates({RANDOM: 0.01, FULL: 0.01})
    assert students.trained == []


def test_tune_takes_the_middle_of_equally_good_rates(run, opened):
    problem = opened(student__learning_rates=(0.1, 0.01, 0.03, 0.3))
    students = Invented(
        problem, lambda member: (70.0 - 9 * (member.learning_rate == 0.3), 0.0)
    )
    found = tune(run, students, "hard")
    assert found.by_method == {RANDOM: 0.03, FULL: 0.03}


def test_tune_passes_over_rates_that_diverge(run, opened):
    problem = opened(student__learning_rates=(0.01, 0.03, 0.1))

    def accuracies(member):
        value = {0.01: 50.0, 0.03: 40.0, 0.1: float("nan")}[member.learning_rate]
        return value, float("nan")

    found = tune(run, Invented(problem, accuracies), "hard")
    assert found.by_method == {RANDOM: 0.01, FULL: 0.01}


def test_tune_averages_the_search_seeds(run, opened):
    problem = opened(student__learning_rates=(0.01, 0.03), protocol__search_seeds=2)

    def accuracies(member):
        values = {(0.01, 0): 90.0, (0.01, 1): 10.0, (0.03, 0): 60.0, (0.03, 1): 60.0}
        return values[member.learning_rate, member.seed], float("nan")

    found = tune(run, Invented(problem, accuracies), "hard")
    assert found.by_method == {RANDOM: 0.03, FULL: 0.03}


def test_tune_refuses_when_all_rates_diverge(run, opened):
    problem = opened(student__learning_rates=(1.0, 2.0))
    nothing = Invented(problem, lambda member: (float("nan"), float("nan")))
    message = "with all of which training diverged .random, soft, IPC 2.; offer smaller"
    with pytest.raises(InputError, match=message):
        tune(run, nothing, "soft")


def of_rate(accuracy):
    return lambda member: (accuracy(member.learning_rate), float("nan"))


@pytest.mark.parametrize(
    "accuracy, chosen, tried",
    [
        (lambda rate: -abs(rate - 0.4), 0.4, [0.1, 0.2, 0.4, 0.8]),
        (lambda rate: -abs(rate - 0.05), 0.05, [0.025, 0.05, 0.1, 0.2]),
        (lambda rate: -float(rate == 0.4), 0.2, [0.1, 0.2, 0.4]),
        # Beyond that training diverges.
        (lambda rate: rate if rate < 0.5 else float("nan"), 0.4, [0.1, 0.2, 0.4, 0.8]),
    ],
)
def test_tune_goes_on_beyond_the_end_that_is_the_best(
    run, opened, accuracy, chosen, tried
):
    problem = opened(student__learning_rates=(0.2, 0.1), protocol__widen=3)
    students = Invented(problem, of_rate(accuracy))
    assert tune(run, students, "hard") == Rates({RANDOM: chosen, FULL: chosen})
    members = [member for *_, group in students.trained for member in group]
    assert sorted({member.learning_rate for member in members}) == tried
    assert len(members) == 2 * len(tried)


def test_tune_says_where_the_end_is_still_the_best(run, opened):
    def accuracies(member):
        rate = member.learning_rate
        return (rate if member.method == RANDOM else -abs(rate - 0.2)), float("nan")

    problem = opened(student__learning_rates=(0.1, 0.2, 0.3), protocol__widen=2)
    rates = tune(run, Invented(problem, accuracies), "hard")
    assert rates.by_method == {RANDOM: 0.675, FULL: 0.2}
    (note,) = rates.notes
    assert "0.675 chosen for random under hard labels at IPC 2" in note


def test_each_selection_may_have_a_rate_of_its_own(run, opened, subsets):
    good = {"el2n_best_window": 0.03, "cad_prune": 0.01}
    problem = opened(
        student__learning_rates=(0.01, 0.03), select__methods=(RANDOM, *good)
    )

    def accuracies(member):
        return 50.0 + (member.learning_rate == good[member.method]), float("nan")

    students = Invented(problem, accuracies)
    stage = tuning.arms_tuning_stage(
        problem,
        runs.known(students),
        runs.known(subsets),
        {"el2n_best_window": runs.known((0.5, Cost()))},
        runs.known(Rates({RANDOM: 0.02, FULL: 0.04})),
        "hard",
        IPC,
    )
    rates = runs.result(run, stage)
    assert rates.by_method == {RANDOM: 0.02, FULL: 0.04} | good
    assert rates.of("herding") == 0.02
    for member in students.trained[0][3]:
        start = 0.5 if member.method == "el2n_best_window" else None
        np.testing.assert_array_equal(
            member.positions, subset_of(subsets, member.method, 0, start)
        )


@pytest.mark.parametrize("select_on, best", [("validation", 0.0), ("test", 0.5)])
def test_search_of_windows_chooses_by_the_split_of_its_settings(
    run, opened, subsets, select_on, best
):
    problem = opened(protocol__select_on=select_on)
    students = Invented(
        problem, lambda member: (70.0, 20.0) if member.label == 0.0 else (60.0, 80.0)
    )
    found, cost = search(run, students, subsets)
    assert found == best
    assert cost == Cost(train_passes=240, forward_passes=2 * len(problem.validation))
    ((_, _, read_test, members),) = students.trained
    assert read_test == (select_on == "test")
    for member in members:
        np.testing.assert_array_equal(
            member.positions,
            subset_of(subsets, "el2n_best_window", 0, member.label),
        )


def test_failures_are_chosen_last(opened):
    protocol = opened().settings.protocol
    member = None
    failed = Outcome(member, float("nan"), float("nan"), 0.0, np.zeros(1), 0.0, 0, 0)
    assert tuning.chosen_accuracy(failed, protocol) == -np.inf and failed.failed


def students_artifacts(folder):
    return {
        path: json.loads((path / "manifest.json").read_text())["info"]["label"]
        for path in (folder / "artifacts").glob("students-*")
    }


def test_searches_leave_no_test_accuracy(run, opened, subsets, folder):
    problem = opened(student__learning_rates=(0.01, 0.03))
    # A test split that would end any search that reads it.
    problem = dataclasses.replace(problem, test=Examples(None, None, None))
    students = runs.result(run, runs.students_of(problem))
    rates = tune(run, students, "hard")
    start, _ = search(run, students, subsets, rates.of(RANDOM))
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


def test_context_splits_share_no_image(problem):
    pool, validation = set(problem.pool.ids), set(problem.validation.ids)
    assert not pool & validation
    assert len(pool | validation) == len(problem.source.train)
    assert data.load(problem.source.name).digest == problem.source.digest
