"""Evidence: what selections look at is what the models say, and what it cost."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import runs
import tiny

from ddjax import losses
from ddjax.artifacts import Cost
from ddjax.settings import from_config
from ddjax.stations.evidence import gather
from ddjax.stations.fixed_labels import labels_station
from ddjax.stations.needs import asks_teacher, needs_of, scoring_regimes
from ddjax.stations.opening import open_context
from ddjax.stations.students import Students
from ddjax.stations.teacher import teacher_station
from ddjax.stations.trace import trace_of, trace_weights
from ddjax.workdir import Workdir

METHODS = ("random", "glister", "herding", "grand_hard", "el2n_sl_easy")
IPC, RATES = 2, {"hard": 0.01, "soft": 0.01}


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Opens a context with changed settings in the module's folder."""
    source = tiny.write(tmp_path_factory.mktemp("source") / "tiny.npz")
    identity = {"experiment": "evidence"}
    with Workdir(tmp_path_factory.mktemp("run"), identity) as workdir:

        def make(**changes):
            changes = {"select__methods": METHODS} | changes
            context = open_context(from_config(tiny.config(source, **changes)))
            context.compiled = runs.COMPILED
            context.workdir = workdir
            return context

        yield make


def students_of(context):
    if not asks_teacher(context):
        return Students(context, {})
    teacher = teacher_station(context)
    return Students(context, {"teacher": teacher}, labels_station(context, teacher))


@pytest.fixture(scope="module")
def context(opened):
    return opened()


@pytest.fixture(scope="module")
def evidence(context):
    return gather(context, students_of(context), IPC, RATES)


def shown(context, images):
    images = images / np.float32(255) - np.float32(context.source.mean)
    return jnp.asarray(images / np.float32(context.source.std))


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
def test_what_is_needed(opened, methods, changes, needs, regimes, teacher):
    context = opened(select__methods=methods, **changes)
    assert needs_of(context) == needs
    assert scoring_regimes(context) == regimes
    assert asks_teacher(context) == teacher


@pytest.mark.parametrize("row", [0, 1])
def test_inputs_are_what_the_seeds_scoring_run_says(context, evidence, row):
    inputs = evidence.inputs(row)
    trace = evidence.found["traces"]
    weights = trace_weights(context, trace, row)
    for split, gradients in (
        (context.pool, inputs.gradients),
        (context.validation, inputs.held_out),
    ):
        images = shown(context, split.images)
        logits, _ = context.student_network.apply(weights, images)
        errors = jax.nn.softmax(logits) - jax.nn.one_hot(split.labels, 3)
        features = context.student_network.features(weights, images)
        np.testing.assert_allclose(gradients.errors, errors, atol=1e-5)
        np.testing.assert_allclose(gradients.features, features, atol=1e-4)
    np.testing.assert_array_equal(inputs.features, inputs.gradients.features)
    np.testing.assert_array_equal(inputs.held_out_labels, context.validation.labels)
    (one,) = inputs.traces
    np.testing.assert_array_equal(one.margin, trace_of(trace, row).margin)
    (soft,) = inputs.soft_traces
    assert soft.el2n_sl is not None and one.el2n_sl is None


def test_grand_is_the_norm_of_each_images_gradient(context, evidence):
    weights = trace_weights(context, evidence.found["traces"], 1)
    images, labels = shown(context, context.pool.images[:4]), context.pool.labels[:4]

    @jax.jit
    def gradient(image, label):
        def loss(params):
            variables = weights | {"params": params}
            logits, _ = context.student_network.apply(variables, image[None])
            return losses.cross_entropy(logits[0], label)

        return jax.grad(loss)(weights["params"])

    for n in range(4):
        leaves = jax.tree.leaves(gradient(images[n], labels[n]))
        expected = np.sqrt(sum(float(jnp.sum(leaf**2)) for leaf in leaves))
        assert evidence.inputs(1).grand[n] == pytest.approx(expected, rel=1e-4)


def test_several_runs_a_seed_go_to_that_seed(opened):
    context = opened(
        select__methods=("random", "grand_hard", "herding"), select__runs=2
    )
    evidence = gather(context, students_of(context), IPC, RATES)
    trace, inputs = evidence.found["traces"], evidence.inputs(1)
    assert len(trace.arrays["true_prob"]) == 4
    for one, run in zip(inputs.traces, (2, 3), strict=True):
        np.testing.assert_array_equal(one.el2n, trace.arrays["el2n"][run])
    weights = trace_weights(context, trace, 2)
    features = context.student_network.features(
        weights, shown(context, context.pool.images)
    )
    np.testing.assert_allclose(inputs.features, features, atol=1e-4)
    # GraNd is a mean over both runs.
    single = opened(select__methods=("random", "grand_hard"), protocol__seeds=(1,))
    first = gather(single, students_of(single), IPC, RATES).inputs(0).grand
    assert not np.allclose(inputs.grand, first)
    assert evidence.found["grand"].cost.train_passes == 4 * len(context.pool)


def test_cost_counts_shared_work_once_and_divides_it(context, evidence):
    trace, soft = evidence.found["traces"], evidence.found["soft_traces"]
    last, grand = evidence.found["gradients"], evidence.found["grand"]
    assert evidence.cost(()) == Cost()
    assert evidence.cost(("traces",)).train_passes == trace.cost.train_passes // 2
    both = evidence.cost(("features", "gradients", "traces"))
    assert both.train_passes == trace.cost.train_passes // 2
    seen = len(context.pool) + len(context.validation)
    assert last.cost.forward_passes == 2 * seen
    assert both.forward_passes == trace.cost.forward_passes // 2 + seen
    found = evidence.cost(("grand",)).train_passes
    assert found == (trace.cost.train_passes + grand.cost.train_passes) // 2
    assert grand.cost.train_passes == 2 * len(context.pool)
    # The teacher had to be trained before the first label.
    teacher = teacher_station(context).artifact.cost.train_passes
    found = evidence.cost(("soft_traces",)).train_passes
    assert found == soft.cost.train_passes // 2 + teacher


def test_features_of_a_named_layer(opened):
    methods = ("random", "herding")
    context = opened(select__methods=methods, select__layer="fc_2")
    evidence = gather(context, students_of(context), IPC, RATES)
    weights = trace_weights(context, evidence.found["traces"], 1)
    images = shown(context, context.pool.images)
    logits, _ = context.student_network.apply(weights, images)
    np.testing.assert_allclose(evidence.inputs(1).features, logits, atol=1e-4)
    assert "gradients" not in evidence.found


def test_features_of_the_teacher_serve_all_seeds(opened):
    methods = ("random", "herding")
    context = opened(select__methods=methods, select__features="teacher")
    students = students_of(context)
    evidence = gather(context, students, IPC, RATES)
    teacher = students.teachers["teacher"]
    features = teacher.network.features(
        teacher.variables, shown(context, context.pool.images)
    )
    for row in range(2):
        found = evidence.inputs(row).features
        np.testing.assert_allclose(found, features, atol=1e-4)
    assert "traces" not in evidence.found
    cost, taught = evidence.cost(("features",)), teacher.artifact.cost
    assert cost.train_passes == taught.train_passes
    assert cost.forward_passes == len(context.pool) + taught.forward_passes


def test_evidence_is_reused(opened, evidence):
    again = gather(opened(), students_of(opened()), IPC, RATES)
    assert all(artifact.reused for artifact in again.found.values())
    assert again.parents == evidence.parents
