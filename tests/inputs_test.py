"""Inputs of selections: they are what the networks predict, and what they cost."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import runs
import tiny

from ddjax import losses
from ddjax.artifacts import Cost
from ddjax.problem import open_problem
from ddjax.report.statistics import FULL
from ddjax.settings import from_config
from ddjax.stages.inputs import inputs_stages
from ddjax.stages.rates import Rates
from ddjax.stages.requirements import (
    required_teachers,
    requirements,
    scoring_regimes,
)
from ddjax.stages.trace import trace_of, trace_weights

METHODS = ("random", "glister", "herding", "grand_hard", "el2n_sl_easy")
IPC, RATES = 2, {"hard": 0.01, "soft": 0.01}


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Opens a problem with changed settings in the module's folder."""
    source = tiny.write(tmp_path_factory.mktemp("source") / "tiny.npz")

    def make(**changes):
        changes = {"select__methods": METHODS, "regimes": ("hard",)} | changes
        return open_problem(from_config(tiny.config(source, **changes)))

    return make


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with runs.running(tmp_path_factory.mktemp("run")) as found:
        yield found


def gather(run, problem):
    students = runs.students_of(problem)
    tunings = {regime: runs.known(Rates({FULL: RATES[regime]})) for regime in RATES}
    teachers, labels = students.parents["teachers"], students.parents["fixed_labels"]
    *_, last = inputs_stages(problem, students, teachers, tunings, labels, IPC)
    return runs.result(run, last)


@pytest.fixture(scope="module")
def problem(opened):
    return opened()


@pytest.fixture(scope="module")
def gathered(run, problem):
    return gather(run, problem)


def shown(problem, images):
    images = images / np.float32(255) - np.float32(problem.source.mean)
    return jnp.asarray(images / np.float32(problem.source.std))


@pytest.mark.parametrize(
    "methods, changes, needs, regimes, teacher",
    [
        (("random",), {}, set(), (), False),
        (("random", "cad_prune"), {}, {"traces"}, ("hard",), False),
        (("random", "herding"), {}, {"features"}, ("hard",), False),
        (
            ("random", "herding"),
            {"select__features": "teacher"},
            {"features"},
            (),
            True,
        ),
        (("random", "el2n_sl_hard"), {}, {"soft_traces"}, ("soft",), True),
        (
            METHODS,
            {},
            {"gradients", "features", "grand", "soft_traces"},
            ("hard", "soft"),
            True,
        ),
    ],
)
def test_requirements(opened, methods, changes, needs, regimes, teacher):
    problem = opened(select__methods=methods, **changes)
    assert requirements(problem) == needs
    assert scoring_regimes(problem) == regimes
    assert bool(required_teachers(problem)) == teacher


@pytest.mark.parametrize("row", [0, 1])
def test_inputs_are_those_of_the_seeds_scoring_run(problem, gathered, row):
    inputs = gathered.inputs(row)
    trace = gathered.found["traces"]
    weights = trace_weights(problem, trace, row)
    for split, gradients in (
        (problem.pool, inputs.gradients),
        (problem.validation, inputs.held_out),
    ):
        images = shown(problem, split.images)
        logits, _ = problem.student_network.apply(weights, images)
        errors = jax.nn.softmax(logits) - jax.nn.one_hot(split.labels, 3)
        features = problem.student_network.features(weights, images)
        np.testing.assert_allclose(gradients.errors, errors, atol=1e-5)
        np.testing.assert_allclose(gradients.features, features, atol=1e-4)
    np.testing.assert_array_equal(inputs.features, inputs.gradients.features)
    np.testing.assert_array_equal(inputs.held_out_labels, problem.validation.labels)
    (one,) = inputs.traces
    np.testing.assert_array_equal(one.margin, trace_of(trace, row).margin)
    (soft,) = inputs.soft_traces
    assert soft.el2n_sl is not None and one.el2n_sl is None


def test_grand_is_the_norm_of_each_images_gradient(problem, gathered):
    weights = trace_weights(problem, gathered.found["traces"], 1)
    images, labels = shown(problem, problem.pool.images[:4]), problem.pool.labels[:4]

    @jax.jit
    def gradient(image, label):
        def loss(params):
            variables = weights | {"params": params}
            logits, _ = problem.student_network.apply(variables, image[None])
            return losses.cross_entropy(logits[0], label)

        return jax.grad(loss)(weights["params"])

    for n in range(4):
        leaves = jax.tree.leaves(gradient(images[n], labels[n]))
        expected = np.sqrt(sum(float(jnp.sum(leaf**2)) for leaf in leaves))
        assert gathered.inputs(1).grand[n] == pytest.approx(expected, rel=1e-4)


def test_several_runs_a_seed_go_to_that_seed(run, opened):
    problem = opened(
        select__methods=("random", "grand_hard", "herding"), select__runs=2
    )
    gathered = gather(run, problem)
    trace, inputs = gathered.found["traces"], gathered.inputs(1)
    assert len(trace.arrays["true_prob"]) == 4
    for one, row in zip(inputs.traces, (2, 3), strict=True):
        np.testing.assert_array_equal(one.el2n, trace.arrays["el2n"][row])
    weights = trace_weights(problem, trace, 2)
    features = problem.student_network.features(
        weights, shown(problem, problem.pool.images)
    )
    np.testing.assert_allclose(inputs.features, features, atol=1e-4)
    # GraNd is a mean over both runs.
    single = opened(select__methods=("random", "grand_hard"), protocol__seeds=(1,))
    first = gather(run, single).inputs(0).grand
    assert not np.allclose(inputs.grand, first)
    assert gathered.found["grand"].cost.train_passes == 4 * len(problem.pool)


def test_cost_counts_shared_work_once_and_divides_it(run, problem, gathered):
    trace, soft = gathered.found["traces"], gathered.found["soft_traces"]
    last, grand = gathered.found["gradients"], gathered.found["grand"]
    assert gathered.cost(()) == Cost()
    assert gathered.cost(("traces",)).train_passes == trace.cost.train_passes // 2
    both = gathered.cost(("features", "gradients", "traces"))
    assert both.train_passes == trace.cost.train_passes // 2
    seen = len(problem.pool) + len(problem.validation)
    assert last.cost.forward_passes == 2 * seen
    assert both.forward_passes == trace.cost.forward_passes // 2 + seen
    found = gathered.cost(("grand",)).train_passes
    assert found == (trace.cost.train_passes + grand.cost.train_passes) // 2
    assert grand.cost.train_passes == 2 * len(problem.pool)
    # The teacher had to be trained before the first label.
    teacher = runs.teacher_of(run, problem).artifact.cost.train_passes
    found = gathered.cost(("soft_traces",)).train_passes
    assert found == soft.cost.train_passes // 2 + teacher


def test_features_of_a_named_layer(run, opened):
    methods = ("random", "herding")
    problem = opened(select__methods=methods, select__layer="fc_2")
    gathered = gather(run, problem)
    weights = trace_weights(problem, gathered.found["traces"], 1)
    images = shown(problem, problem.pool.images)
    logits, _ = problem.student_network.apply(weights, images)
    np.testing.assert_allclose(gathered.inputs(1).features, logits, atol=1e-4)
    assert "gradients" not in gathered.found


def test_features_of_the_teacher_serve_all_seeds(run, opened):
    methods = ("random", "herding")
    problem = opened(select__methods=methods, select__features="teacher")
    gathered = gather(run, problem)
    teacher = runs.teacher_of(run, problem)
    features = teacher.network.features(
        teacher.variables, shown(problem, problem.pool.images)
    )
    for row in range(2):
        found = gathered.inputs(row).features
        np.testing.assert_allclose(found, features, atol=1e-4)
    assert "traces" not in gathered.found
    cost, taught = gathered.cost(("features",)), teacher.artifact.cost
    assert cost.train_passes == taught.train_passes
    assert cost.forward_passes == len(problem.pool) + taught.forward_passes


def test_inputs_are_reused(run, opened, gathered):
    again = gather(run, opened())
    assert all(artifact.reused for artifact in again.found.values())
    assert again.parents == gathered.parents
