"""The stations: teacher, labels, subsets, and choices that never see the test split."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import tiny

from ddjax import data, experiment
from ddjax.artifacts import Cost, Workdir
from ddjax.data.source import Examples
from ddjax.errors import InputError
from ddjax.report.statistics import FULL, RANDOM
from ddjax.settings import from_config
from ddjax.stations.context import open_context
from ddjax.stations.evidence import gather
from ddjax.stations.students import Outcome, Students
from ddjax.stations.subsets import (
    judged,
    scores_of,
    search_windows,
    subset_of,
    subsets_station,
)
from ddjax.stations.teacher import labels_station, load_teacher, teacher_station
from ddjax.stations.trace import trace_station

IPC = 2
METHODS = ("random", "el2n_best_window", "cad_prune", "facility_location")
COMPILED = {}


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
        context.compiled = COMPILED
        return context

    with Workdir(folder, {"experiment": "stations"}) as workdir:

        def place(**changes):
            context = make(**changes)
            context.workdir = workdir
            return context

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


def test_teacher_manifest_tells_how_it_was_made(context, teacher):
    artifact = teacher.artifact
    assert not artifact.reused
    assert artifact.info["classes"] == list(tiny.CLASSES)
    assert artifact.info["image_shape"] == [8, 8, 1]
    assert artifact.info["mean"] == list(context.source.mean)
    settings = artifact.manifest["settings"]
    assert settings["network"] == "mlp" and settings["options"] == {"hidden": [8]}
    assert settings["seed"] == 0 and settings["steps"] == 24  # 3 x 96 / 12
    assert settings["recipe"]["learning_rate"] == 3e-3
    assert settings["recipe"]["optimizer"]["name"] == "adamw"
    assert artifact.manifest["parents"] == {"data": context.data_digest}
    assert artifact.cost.train_passes == 24 * 12


@pytest.mark.parametrize("split", ["validation", "test"])
def test_teacher_accuracy_is_its_networks(context, teacher, split):
    examples = getattr(context, split)
    guesses = logits_of(teacher, context, examples.images).argmax(-1)
    expected = 100 * (guesses == examples.labels).mean()
    assert teacher.artifact.info["accuracy"][split] == pytest.approx(expected, abs=1e-3)


def test_teacher_is_reused(opened, teacher):
    again = teacher_station(opened())
    assert again.artifact.reused
    assert again.artifact.path == teacher.artifact.path
    assert not teacher_station(opened(teacher__epochs=1)).artifact.reused


def test_load_teacher_gives_the_same_logits(context, opened, teacher):
    loaded = load_teacher(opened(teacher__path=str(teacher.artifact.path)))
    images = context.test.images
    np.testing.assert_array_equal(
        logits_of(loaded, context, images), logits_of(teacher, context, images)
    )


def test_teacher_station_takes_the_teacher_that_is_named(opened, teacher):
    # The network of the settings is not the teacher's; the teacher's own counts.
    named = opened(
        teacher__path=str(teacher.artifact.path), teacher__network__mlp__hidden=(5, 5)
    )
    found = teacher_station(named)
    assert found.artifact.address == teacher.artifact.address
    assert found.network == teacher.network


def test_load_teacher_refuses_another_order_of_classes(opened, teacher):
    context = opened(teacher__path=str(teacher.artifact.path))
    context.source = dataclasses.replace(
        context.source, classes=tuple(reversed(tiny.CLASSES))
    )
    with pytest.raises(InputError, match=r"classes are \['left', .*the source's are"):
        load_teacher(context)


def test_load_teacher_refuses_another_image_shape(opened, teacher):
    small = opened(teacher__path=str(teacher.artifact.path), data__image_size=4)
    with pytest.raises(InputError, match=r"image shape are \[8, 8, 1\].*\[4, 4, 1\]"):
        load_teacher(small)


def test_load_teacher_refuses_another_artifact(opened, subsets):
    with pytest.raises(InputError, match="kind is 'subsets', expected 'teacher'"):
        load_teacher(opened(teacher__path=str(subsets.path)))


def test_load_teacher_refuses_damaged_weights(opened, teacher, tmp_path):
    copy = shutil.copytree(teacher.artifact.path, tmp_path / "teacher")
    context = opened(teacher__path=str(copy))
    load_teacher(context)
    files = [path for path in (copy / "weights").rglob("*") if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    with pytest.raises(InputError, match=f"{largest.name}: sha256 .* is damaged"):
        load_teacher(context)


def test_teacher_that_diverged_is_refused_and_leaves_nothing(opened, folder):
    before = sorted((folder / "artifacts").glob("teacher-*"))
    with pytest.raises(InputError, match="teacher.learning_rate: found 1e.30"):
        teacher_station(opened(teacher__learning_rate=1e30))
    assert sorted((folder / "artifacts").glob("teacher-*")) == before


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

    def __init__(self, accuracies):
        """accuracies: member -> (validation, test)."""
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
    judge = Judge(by_rate)
    assert experiment.tune(context, judge, "hard", IPC) == expected
    ((label, regime, read_test, members),) = judge.asked
    assert (label, regime, read_test) == ("tuning", "hard", select_on == "test")
    assert {member.seed for member in members} == {0}  # search_seeds of them
    assert len(members) == 4


def test_tune_takes_a_single_rate_untried(opened):
    judge = Judge(by_rate)
    assert experiment.tune(opened(), judge, "hard", IPC) == {RANDOM: 0.01, FULL: 0.01}
    assert judge.asked == []


def test_tune_takes_the_middle_of_equally_good_rates(opened):
    context = opened(student__learning_rates=(0.1, 0.01, 0.03, 0.3))
    judge = Judge(lambda member: (70.0 - 9 * (member.learning_rate == 0.3), 0.0))
    found = experiment.tune(context, judge, "hard", IPC)
    assert found == {RANDOM: 0.03, FULL: 0.03}


def test_tune_passes_over_rates_that_diverge(opened):
    context = opened(student__learning_rates=(0.01, 0.03, 0.1))

    def accuracies(member):
        value = {0.01: 50.0, 0.03: 40.0, 0.1: float("nan")}[member.learning_rate]
        return value, float("nan")

    found = experiment.tune(context, Judge(accuracies), "hard", IPC)
    assert found == {RANDOM: 0.01, FULL: 0.01}


def test_tune_averages_the_search_seeds(opened):
    context = opened(student__learning_rates=(0.01, 0.03), protocol__search_seeds=2)

    def accuracies(member):
        values = {(0.01, 0): 90.0, (0.01, 1): 10.0, (0.03, 0): 60.0, (0.03, 1): 60.0}
        return values[member.learning_rate, member.seed], float("nan")

    found = experiment.tune(context, Judge(accuracies), "hard", IPC)
    assert found == {RANDOM: 0.03, FULL: 0.03}


def test_tune_refuses_when_all_rates_diverge(opened):
    context = opened(student__learning_rates=(1.0, 2.0))
    nothing = Judge(lambda member: (float("nan"), float("nan")))
    message = "with all of which training diverged .random, soft, IPC 2.; offer smaller"
    with pytest.raises(InputError, match=message):
        experiment.tune(context, nothing, "soft", IPC)


@pytest.mark.parametrize("select_on, best", [("validation", 0.0), ("test", 0.5)])
def test_search_windows_chooses_by_the_split_it_is_told(
    opened, subsets, select_on, best
):
    context = opened(protocol__select_on=select_on)
    judge = Judge(lambda member: (70.0, 20.0) if member.label == 0.0 else (60.0, 80.0))
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
    rates = experiment.tune(context, students, "hard", IPC)
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
