"""Programs on meshes of v5e and v5p, ImageNet's sizes, lowered for TPU and CUDA."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh, AxisType, NamedSharding, PartitionSpec

from ddjax import mesh
from ddjax.data.augment import Recipe
from ddjax.labels import Ensemble, Objective, codecs, labeller
from ddjax.models import network
from ddjax.train import batches, evaluate, student
from ddjax.train.drivers import lift
from ddjax.train.sweep import Bound, _evaluate

CLASSES, SHAPE, POOL, LENGTH = 1000, (224, 224, 3), 50_000, 4
PLATFORMS = ("tpu", "cuda")
LAYOUTS = {"v5e-16": (4, 4), "v5p-64": (8, 8)}
MEMBERS, DATA = PartitionSpec(mesh.MEMBER), PartitionSpec(mesh.DATA)


@pytest.fixture(params=LAYOUTS.values(), ids=LAYOUTS.keys())
def layout(request, monkeypatch):
    # What an accelerator's programs look like, without one.
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    names = mesh.MEMBER, mesh.DATA
    return AbstractMesh(request.param, names, axis_types=(AxisType.Auto,) * 2)


@pytest.fixture(params=["small", pytest.param("resnet18", marks=pytest.mark.slow)])
def net(request, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    if request.param == "small":
        return network("convnet_d1", CLASSES, SHAPE, width=8, norm="batch")
    return network("resnet18", CLASSES, SHAPE)


def program_of(net, regime, batch, teachers=()):
    recipe = Recipe(resized_crop=(0.08, 1.0), flip=True, cutmix=1.0)
    return student.Program(net, Objective(regime, Ensemble(teachers)), recipe, batch)


def put(tree, onto, spec, lead=()):
    """Shapes of a tree on a mesh, with leading axes added."""

    def one(leaf):
        sharding = NamedSharding(onto, spec)
        return jax.ShapeDtypeStruct(lead + leaf.shape, leaf.dtype, sharding=sharding)

    return jax.tree.map(one, tree)


def arguments(program, onto, spec, members, streamed=False):
    """State, pool, plan and numbers of an advance, or of a step on a stream."""
    array = jax.ShapeDtypeStruct
    batch, length = program.batch_size, program.batch_size * LENGTH
    integer = array((), np.int32)
    state = jax.eval_shape(Bound(student.init_student, program), integer)
    channels, labels = array((3,), np.float32), array((POOL,), np.int32)
    pool = put(batches.Pool(None, labels, labels, channels, channels), onto, mesh.WHOLE)
    images = array((POOL, *SHAPE), np.uint8)
    if program.objective.teachers:
        teachers = tuple(
            jax.eval_shape(net.init, jax.random.key(0))
            for net in program.objective.teachers
        )
        pool = pool._replace(teachers=put(teachers, onto, mesh.WHOLE))

    def plan_of(seed, positions):
        order = batches.Order(positions, positions, positions, positions)
        return batches.make_plan(program.recipe, SHAPE, labels_of, seed, order)

    labels_of = jnp.zeros(8, jnp.int32)
    count = batch if streamed else length
    plan = jax.eval_shape(plan_of, integer, array((count,), np.int32))
    if streamed:
        shown = array((batch, *SHAPE), np.uint8)
        plan = plan._replace(images=shown, partner_images=shown)
        plan = put(plan, onto, PartitionSpec(None, mesh.DATA), (members,))
    else:
        pool = pool._replace(images=put(images, onto, DATA))
        plan = put(plan, onto, spec, (members,))
    numbers = student.HParams(*[array((), np.float32)] * len(student.HParams._fields))
    state, numbers = (put(tree, onto, spec, (members,)) for tree in (state, numbers))
    return state, pool, plan, numbers


def lower(function, onto, *args, out=None):
    options = {} if out is None else {"out_shardings": NamedSharding(onto, out)}
    with jax.sharding.use_abstract_mesh(onto):
        traced = jax.jit(function, **options).trace(*args)
        return traced.lower(lowering_platforms=PLATFORMS).as_text()


@pytest.mark.parametrize("regime", ["hard", "soft_kd"])
def test_a_sweep_s_steps(layout, net, regime):
    program = program_of(net, regime, 64, (net,) if regime == "soft_kd" else ())
    members = 2 * layout.shape[mesh.MEMBER]
    args = arguments(program, layout, MEMBERS, members)
    bounds = [jax.ShapeDtypeStruct((), np.int32)] * 2
    batched = (True, False, True, True, False, False)
    lifted = lift(Bound(student.advance, program), "mesh", batched, layout)
    text = lower(lifted, layout, *args, *bounds, out=MEMBERS)
    size = layout.shape[mesh.DATA]
    assert f'"{mesh.MEMBER}"={layout.shape[mesh.MEMBER]}, "{mesh.DATA}"={size}' in text


def test_a_step_of_a_teacher_on_a_stream(layout, net):
    program = program_of(net, "hard", 1024)
    args = arguments(program, layout, mesh.WHOLE, 1, streamed=True)
    batched = (True, False, True, True)
    lifted = lift(Bound(student.train_step, program), "loop", batched, layout)
    assert lower(lifted, layout, *args, out=mesh.WHOLE)


def test_evaluation_of_members_and_of_a_network(layout, net):
    array, count = jax.ShapeDtypeStruct, 256 * layout.shape[mesh.DATA]
    variables = jax.eval_shape(net.init, jax.random.key(0))
    images = put(array((count, *SHAPE), np.uint8), layout, DATA)
    labels = put(array((count,), np.int32), layout, DATA)
    channels = put(array((3,), np.float32), layout, mesh.WHOLE)
    members = layout.shape[mesh.MEMBER]
    states = put(variables, layout, MEMBERS, (members,))
    bound = Bound(_evaluate, (evaluate.correct_and_loss, net))
    lifted = lift(bound, "mesh", (True, False, False, False, False), layout)
    assert lower(lifted, layout, states, images, labels, channels, channels)

    images = put(array((128 * layout.size, *SHAPE), np.uint8), layout, mesh.EVERYWHERE)
    represent = evaluate._Representation(net, "")
    spread = functools.partial(evaluate._spread, represent, layout)
    shared = put((variables, *[array((3,), np.float32)] * 2), layout, mesh.WHOLE)
    assert lower(spread, layout, images, *shared)


def test_labels_of_views(layout, net):
    array = jax.ShapeDtypeStruct
    recipe = program_of(net, "hard", 64).recipe
    static = labeller._Static(Ensemble((net,)), recipe, "eval", 128)
    variables = (jax.eval_shape(net.init, jax.random.key(0)),)
    numbers, channels = array((POOL,), np.int32), array((3,), np.float32)
    images = array((POOL, *SHAPE), np.uint8)
    pool = batches.Pool(images, numbers, numbers, channels, channels)
    shared = array((), np.int32), array((10_000,), np.int32), pool, variables
    epochs = put(array((layout.size,), np.int32), layout, mesh.EVERYWHERE)
    label = functools.partial(labeller._epochs, static, codecs.parse("fp16"), layout)
    assert lower(label, layout, epochs, *put(shared, layout, mesh.WHOLE))
