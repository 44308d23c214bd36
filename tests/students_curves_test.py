"""Curves of students: where they are measured, on what, and after an interruption."""

import numpy as np
import pandas as pd
import pytest
import runs
import tiny

from ddjax.artifacts import Cost
from ddjax.errors import InputError
from ddjax.report import dynamics, plots
from ddjax.settings import from_config
from ddjax.stations import results, students
from ddjax.stations.opening import open_context
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
        context = open_context(from_config(tiny.config(source, **changes)))
        context.compiled = runs.COMPILED
        return context

    with runs.opening(tmp_path / "run", make) as opened:

        def trained(read_test=True, group=0, **changes):
            context = opened(**changes)
            sets = np.arange(6), np.arange(20, 26)
            members = [
                students.Member("random", IPC, seed, 0.01, positions.astype(np.int32))
                for seed, positions in enumerate(sets)
            ]
            if group:
                members.append(members[0])
            judge = students.Students(context, {})
            return context, judge.train("students", "hard", members, read_test)

        yield trained


def test_the_last_point_is_the_student_that_is_judged(train):
    context, outcomes = train()
    for outcome in outcomes:
        assert outcome.steps == STEPS
        assert outcome.curve_steps == (7, 14, 20)
        assert outcome.test_curve.shape == outcome.train_curve.shape == (3,)
        assert outcome.test_curve[-1] == pytest.approx(outcome.accuracy, abs=1e-4)
        # Six images: whole sixths.
        sixths = outcome.train_curve * 6 / 100
        assert np.allclose(sixths, sixths.round(), atol=1e-4)
    row = results.member_row(context, "hard", outcomes[0], Cost())
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
    looked, look = [], students.Students._look

    def counted(self, *arguments):
        looked.append(1)
        return look(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(students.Students, "_look", counted)
        _, resumed = train(**changes)
    # Stops 5, 10, 15 and 20: two were done.
    assert saved[-1] < 15 and len(looked) == 2
    for one, other in zip(resumed, undisturbed, strict=False):
        assert np.array_equal(one.train_curve, other.train_curve)
        assert np.array_equal(one.test_curve, other.test_curve)


def test_every_student_is_judged_by_its_own_images(source):
    context = open_context(from_config(tiny.config(source)))
    right = np.array([4, 7, 50])  # positions that every student has right

    class Runner:
        def ask(self, function, states, count, images, labels):
            assert function is evaluate.judge and count == 2
            if len(images) == len(context.test):
                correct = np.array([[1] + [0] * (len(images) - 1)] * 2)
                return {"correct": correct, "loss": np.ones(correct.shape)}
            assert np.array_equal(images, context.pool.images[[4, 5, 7, 50]])
            correct = np.isin([4, 5, 7, 50], right)
            loss = np.ones((2, 4))
            return {"correct": np.stack([correct] * 2), "loss": loss}

    members = [
        students.Member("a", IPC, 0, 0.1, np.array([7, 5, 4])),
        students.Member("b", IPC, 0, 0.1, np.array([50, 4])),
    ]
    judge = students.Students(context, {})
    found = judge._look(Runner(), None, members)
    assert found["train_curve"] == pytest.approx([200 / 3, 100.0])
    assert found["test_curve"] == pytest.approx([100 / len(context.test)] * 2)


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


def member(method, regime, train, test, **changes):
    row = {"method": method, "regime": regime, "steps": 20, "image_passes": 120}
    row |= {"images": 6, "curve_steps": [10, 20]}
    return row | {"train_curve": train, "test_curve": test} | changes


def test_dynamics_figure_draws_means_and_ranges_over_epochs():
    nan = float("nan")
    rows = [
        member("random", "hard", [50.0, 80.0], [30.0, 40.0]),
        member("random", "hard", [70.0, 100.0], [40.0, 42.0]),
        member("random", "hard", [nan, nan], [nan, nan]),
        member("full", "hard", [1.0, 2.0], [3.0, 4.0]),
        member("made", "soft_kd", [20.0, 30.0], [10.0, 20.0]),
    ]
    figure = dynamics.dynamics_figure(pd.DataFrame(rows))
    own, test, _, soft = figure.axes
    assert "own images" in own.get_title(loc="left")
    (line,) = [line for line in test.lines if len(line.get_xdata())]
    assert line.get_xdata().tolist() == [10.0, 20.0]  # 120 passes of 6 in 20 steps
    assert line.get_ydata().tolist() == [35.0, 41.0]
    heights = test.collections[0].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (30.0, 42.0)
    (line,) = soft.lines
    assert line.get_ydata().tolist() == [10.0, 20.0]
    assert line.get_color() == plots.method_styles(["random", "made"])["made"].colour
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()] == ["random", "made"]
    figure.canvas.draw()
    bare = [row | {"curve_steps": []} for row in rows]
    with pytest.raises(InputError, match="no student has a curve"):
        dynamics.dynamics_figure(pd.DataFrame(bare))
