"""Labels of all views: what is written, and that a replay is labelling on the fly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddjax.data.augment import Recipe
from ddjax.errors import InputError
from ddjax.labels import Ensemble, LabelStore, Objective, codecs
from ddjax.labels.labeller import Labeller, copy_labels, sample, write_labels
from ddjax.models import network
from ddjax.train import batches, student, sweep
from ddjax.train.members import Members
from ddjax.train.order import presentations
from ddjax.train.supervision import Supervision

N, CLASSES = 30, 4
SHAPE = (4, 4, 1)
NETWORK = network("mlp", CLASSES, SHAPE, hidden=(6,))
RECIPE = Recipe(flip=True, cutmix=1.0)
SUBSET = np.array([1, 4, 5, 9, 12, 17, 20, 21, 28, 29], np.int32)

COMPILED = {}


def make_pool(**told):
    rng = np.random.default_rng(0)
    return batches.Pool(
        jnp.asarray(rng.integers(0, 256, (N, *SHAPE), np.uint8)),
        jnp.asarray(np.arange(N, dtype=np.int32) % CLASSES),
        jnp.arange(N, dtype=jnp.int32) + 500,
        jnp.full(1, 0.4, jnp.float32),
        jnp.full(1, 0.3, jnp.float32),
        **told,
    )


def teacher(seed, net=NETWORK):
    return jax.tree.map(lambda a: 3 * a, net.init(jax.random.key(seed)))


def make_labeller(seed=3, **options):
    options = {"ensemble": Ensemble((NETWORK,)), "variables": (teacher(9),)} | options
    return Labeller(
        pool=make_pool(), recipe=RECIPE, seed=seed, positions=SUBSET, **options
    )


def one_epoch(labeller, epoch):
    ((found, ids, labels),) = labeller.labels([epoch])
    assert found == epoch
    return ids, labels


def make_store(path, epochs, codec="fp32"):
    return LabelStore.create(
        path,
        epochs=epochs,
        example_ids=SUBSET + 500,
        num_classes=CLASSES,
        codec=codecs.parse(codec),
        identity={"teacher": "t"},
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    made = make_store(tmp_path_factory.mktemp("labels") / "store", 8)
    assert write_labels(made, make_labeller(block=4)) == 8 * len(SUBSET)
    made.finish()
    return made


@jax.jit
def shown(seed, epoch):
    """The order of an epoch and its views [10,H,W,K], all at once."""
    pool = make_pool()
    subset = jnp.asarray(SUBSET)
    order = presentations(seed, subset, subset + 500, epoch * 10, 10)
    plan = batches.make_plan(RECIPE, SHAPE, pool.ids, seed, order)
    return order, batches.make_batch(RECIPE, pool, plan).inputs


def view_logits(seed, epoch, variables):
    """The slow, obvious way: the teacher predicts one view after the other."""
    order, inputs = shown(jnp.int32(seed), jnp.int32(epoch))
    predict = jax.jit(lambda view: NETWORK.apply(variables, view)[0][0])
    found = {
        position + 500: np.asarray(predict(inputs[row : row + 1]))
        for row, position in enumerate(order.positions.tolist())
    }
    return np.stack([found[i] for i in (SUBSET + 500).tolist()])


@pytest.mark.parametrize("epoch", [0, 5])
def test_labels_are_the_teachers_of_the_students_views(store, epoch):
    expected = view_logits(3, epoch, teacher(9))
    np.testing.assert_allclose(
        store.read(epoch, SUBSET + 500), expected, rtol=1e-5, atol=1e-5
    )


def test_block_size_changes_nothing(store, tmp_path):
    # The last block of 4 overlaps the one before it and keeps its own part.
    other = make_store(tmp_path / "store", 8)
    write_labels(other, make_labeller(block=128))
    for epoch in (1, 6):
        found, expected = (each.read(epoch, SUBSET + 500) for each in (other, store))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_only_missing_epochs_are_computed(tmp_path):
    made = make_store(tmp_path / "store", 9)  # 8 to compute, as many as above
    made.write(1, SUBSET + 500, np.ones((10, CLASSES), np.float32))
    written = []
    assert write_labels(made, make_labeller(), written.append) == 80
    assert sum(written) == 80 and made.complete
    assert write_labels(made, make_labeller(), written.append) == 0
    assert sum(written) == 80
    assert (made.read(1, SUBSET + 500) == 1).all()


@pytest.mark.parametrize("codec", ["fp32", "int8"])
def test_teacher_that_is_not_finite_is_refused(codec, tmp_path):
    broken = jax.tree.map(lambda a: a.at[0].set(jnp.nan), teacher(9))
    made = make_store(tmp_path / "store", 8, codec)
    with pytest.raises(InputError, match="views of epoch 0, seed 3 are not finite"):
        write_labels(made, make_labeller(variables=(broken,)))
    assert made.missing().keys() == set(range(8))


def test_copy_is_the_other_codec_of_the_same_labels(store, tmp_path):
    made = make_store(tmp_path / "store", 8, "fp16")
    copy_labels(store, made)
    expected = store.read(2, SUBSET + 500).astype(np.float16)
    np.testing.assert_array_equal(made.read(2, SUBSET + 500), expected)


@pytest.mark.parametrize(
    "epochs, each, count, expected",
    [(8, 10, 20, [0, 7]), (9, 10, 25, [0, 4, 8]), (2, 10, 99, [0, 1]), (5, 10, 7, [0])],
)
def test_sample_spreads_over_the_epochs(epochs, each, count, expected):
    assert sample(epochs, each, count) == expected


def test_batch_statistics_follow_the_block():
    net = network("convnet_d1", CLASSES, SHAPE, width=4, norm="batch")
    variables = net.init(jax.random.key(1))
    options = {"ensemble": Ensemble((net,)), "variables": (variables,), "block": 5}
    ids, labels = one_epoch(make_labeller(batch_norm="batch", **options), 0)
    order, inputs = shown(jnp.int32(3), jnp.int32(0))
    direct = jax.jit(lambda views: net.apply(variables, views, train=True)[0])
    for start in (0, 5):
        expected, block = direct(inputs[start : start + 5]), labels[start : start + 5]
        np.testing.assert_allclose(block, expected, rtol=1e-4, atol=1e-5)
    _, frozen = one_epoch(make_labeller(**options), 0)
    assert not np.allclose(frozen, labels, atol=1e-3)
    np.testing.assert_array_equal(ids, order.positions + 500)


def program(objective, batch_size):
    return student.Program(NETWORK, objective, RECIPE, batch_size)


def trained(runner, steps, supervision=None, targets=None):
    values = student.HParams(0.02, float(steps), temperature=4.0, label_smoothing=0.8)
    members = Members(
        np.array([3], np.int32),
        [SUBSET],
        jax.tree.map(lambda v: np.full(1, v, np.float32), values),
        supervision,
        targets,
    )
    (state,), _ = runner.train(members, steps)
    return jax.tree.leaves(state["variables"])


def both_ways(store, batch_size, epochs, supervision=None):
    """Final parameters on the fly, and from the store."""
    steps = epochs * len(SUBSET) // batch_size
    asked = sweep.Runner(
        program(Objective("soft_kd", Ensemble((NETWORK,))), batch_size),
        make_pool(teachers=(teacher(9),)),
        "loop",
        COMPILED,
    )
    replayed = sweep.Runner(
        program(Objective("soft_kd"), batch_size), make_pool(), "loop", COMPILED
    )

    def targets(epochs, positions):
        return store.read(epochs, positions + 500)

    return (
        trained(asked, steps, supervision),
        trained(replayed, steps, supervision, [targets]),
    )


@pytest.mark.parametrize("batch_size", [4, pytest.param(10, marks=pytest.mark.slow)])
def test_replay_trains_the_same_student(store, batch_size):
    for a, b in zip(*both_ways(store, batch_size, 8), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "supervision",
    [
        Supervision("constant", 12, pool=3),
        Supervision("constant", 12, pool=3, by_label=True),
        Supervision("hald", 12, 6, pool=3),
        Supervision("mix", 12, hard_weight=0.5, pool=8),
    ],
    ids=lambda s: f"{s.schedule}-{s.pool}-{s.by_label}",
)
def test_replay_of_schedules_and_pools_trains_the_same_student(store, supervision):
    for a, b in zip(*both_ways(store, 4, 12, supervision), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_replay_reads_no_label_that_is_not_asked(store):
    # 12 epochs of a training, hald: only labels of the 3 epochs of the pool are there.
    asked = []

    def targets(epochs, positions):
        asked.append((epochs, positions))
        return np.zeros((len(epochs), CLASSES), np.float32)

    runner = sweep.Runner(
        program(Objective("soft_kd"), 4), make_pool(), "loop", COMPILED
    )
    trained(runner, 30, Supervision("hald", 12, 6, pool=3), [targets])
    ((epochs, positions),) = asked
    assert len(epochs) == 6 * len(SUBSET) and set(epochs.tolist()) <= {0, 1, 2}
    assert set(positions.tolist()) == set(SUBSET.tolist())
