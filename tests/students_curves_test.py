"""Curves of students: where they are measured, on what, and after an interruption."""

import numpy as np
import pytest
import runs
import tiny

from ddjax.artifacts import Cost
from ddjax.errors import InputError
from ddjax.problem import open_problem
from ddjax.settings import from_config
from ddjax.stages import students
from ddjax.stages.comparison import member_row
from ddjax.train import checkpoint, evaluate

IPC = 2
STEPS = 20


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return tiny.write(tmp_path_factory.mktemp("source") / "tiny.npz")


@pytest.fixture
def train(source, tmp_path):
    """Trains two students with curves, or changed settings, in a folder of its own.

    With `group` 1 it is another group of the same students, at another address.
    """

    def make(**changes):
        changes = {"regimes": ("hard",), "protocol__curves": 3} | changes
        return open_problem(from_config(tiny.config(source, **changes)))

    with runs.running(tmp_path / "run") as run:

        def trained(read_test=True, group=0, **changes):
            problem = make(**changes)
            sets = np.arange(6), np.arange(20, 26)
            members = [
                students.Member("random", IPC, seed, 0.01, positions.astype(np.int32))
                for seed, positions in enumerate(sets)
            ]
            if group:
                members.append(members[0])
            trains = students.Students(run, problem, {})
            return problem, trains.train("students", "hard", members, read_test)

        yield trained


def test_the_last_point_is_the_student_at_its_end(train):
    problem, outcomes = train()
    for outcome in outcomes:
        assert outcome.steps == STEPS
        assert outcome.curve_steps == (7, 14, 20)
        assert outcome.test_curve.shape == outcome.train_curve.shape == (3,)
        assert outcome.test_curve[-1] == pytest.approx(outcome.accuracy, abs=1e-4)
        # Six images: whole sixths.
        sixths = outcome.train_curve * 6 / 100
        assert np.allclose(sixths, sixths.round(), atol=1e-4)
    row = member_row(problem, "hard", outcomes[0], Cost())
    assert row["curve_steps"] == [7, 14, 20] and len(row["train_curve"]) == 3


def test_curves_change_no_result_and_searches_have_none(train):
    _, with_curves = train()
    _, without = train(protocol__curves=0)
    _, search = train(read_test=False)
    for one, other, searched in zip(with_curves, without, search, strict=True):
        assert one.accuracy == other.accuracy
        assert np.array_equal(one.curve, other.curve, equal_nan=True)
        assert not len(other.curve_steps) and not len(other.test_curve)
        assert not len(searched.curve_steps) and np.isnan(searched.accuracy)


def test_an_interrupted_group_ends_with_the_same_curves(train, monkeypatch):
    changes = {"sweep__checkpoint_seconds": 1e-9, "protocol__curves": 4}
    save, saved = checkpoint.save, []

    def stop(folder, found):
        save(folder, found)
        saved.append(found.step)
        if found.step >= 10:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", stop)
        with pytest.raises(KeyboardInterrupt):
            train(**changes)
    _, undisturbed = train(group=1, protocol__curves=4)
    measured, measure = [], students.Students._measure

    def counted(self, *arguments):
        measured.append(1)
        return measure(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(students.Students, "_measure", counted)
        _, resumed = train(**changes)
    # Stops 5, 10, 15 and 20: two were done.
    assert saved[-1] < 15 and len(measured) == 2
    for one, other in zip(resumed, undisturbed, strict=False):
        assert np.array_equal(one.train_curve, other.train_curve)
        assert np.array_equal(one.test_curve, other.test_curve)


def test_every_student_is_evaluated_on_its_own_images(source):
    problem = open_problem(from_config(tiny.config(source)))
    right = np.array([4, 7, 50])  # positions that every student has right

    class Runner:
        def evaluate(self, function, states, count, images, labels):
            assert function is evaluate.correct_and_loss and count == 2
            if len(images) == len(problem.test):
                correct = np.array([[1] + [0] * (len(images) - 1)] * 2)
                return {"correct": correct, "loss": np.ones(correct.shape)}
            assert np.array_equal(images, problem.pool.images[[4, 5, 7, 50]])
            correct = np.isin([4, 5, 7, 50], right)
            loss = np.ones((2, 4))
            return {"correct": np.stack([correct] * 2), "loss": loss}

    members = [
        students.Member("a", IPC, 0, 0.1, np.array([7, 5, 4])),
        students.Member("b", IPC, 0, 0.1, np.array([50, 4])),
    ]
    trains = students.Students(None, problem, {})
    found = trains._measure(Runner(), None, members)
    assert found["train_curve"] == pytest.approx([200 / 3, 100.0])
    assert found["test_curve"] == pytest.approx([100 / len(problem.test)] * 2)


def test_stops_are_spaced_and_end_with_the_last_step():
    assert students.curve_stops(100, 4) == (25, 50, 75, 100)
    assert students.curve_stops(7, 3) == (3, 5, 7)
    assert students.curve_stops(2, 9) == (1, 2)
    assert students.curve_stops(7, 0) == ()


def test_what_diverged_has_no_accuracy():
    seen = {
        "correct": np.array([[1, 0], [1, 1]]),
        "loss": np.array([[0.5, 2.0], [np.nan, 1.0]]),
    }
    assert students._accuracy(seen) == pytest.approx([50.0, np.nan], nan_ok=True)


def test_a_large_subset_is_thinned():
    few = students._spaced(np.arange(10, 2510))
    assert len(few) == 1000 and few[:3].tolist() == [10, 12, 15] and few[-1] == 2507
    assert students._spaced(np.arange(3)).tolist() == [0, 1, 2]


def test_the_number_of_points_is_checked(source):
    with pytest.raises(InputError, match="protocol.curves: found -1"):
        from_config(tiny.config(source, protocol__curves=-1))
