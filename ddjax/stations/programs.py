"""The programs of a run with abstract arguments: what is lowered, but not compiled.

Letters: B images of a batch, n images, H W image, K channels, T iterations.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from ddjax import distill, keys, models
from ddjax.distill import crops, recover
from ddjax.distill.statistics import measures_of
from ddjax.models import Network
from ddjax.settings import Distill
from ddjax.settings.patches import Patches
from ddjax.stations.bundle import read_bundle, section_of
from ddjax.stations.context import Context
from ddjax.train import student
from ddjax.train.programs import Traceable, native, variables_of

_array = jax.ShapeDtypeStruct
_number = _array((), jnp.float32)
_integer = _array((), jnp.int32)


def teacher_network(context: Context, name: str) -> Network:
    """Returns a teacher's network, with XLA's convolutions.

    Args:
      context: the run.
      name: `teacher`, or a member of the settings' `committee`.
    """
    settings, source = context.teacher_settings(name), context.source
    if not settings.path or settings.is_file:
        return native(context.teacher_network(name))
    bundle = read_bundle(settings.path, section_of(name)).manifest["settings"]
    options = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in bundle["options"].items()
    }
    network = models.network(
        bundle["network"], source.num_classes, source.shape, **options
    )
    return native(network)


def teacher_program(context: Context, name: str) -> student.Program:
    """Returns what is compiled to train a teacher on an accelerator; see above."""
    settings, network = context.teacher_settings(name), teacher_network(context, name)
    program = context.program(network, settings.optimizer, settings.batch_size, "hard")
    return dataclasses.replace(program, micro_batch=0)


def student_program(context: Context, regime: str) -> student.Program:
    """Returns what is compiled to train students on an accelerator.

    Args:
      context: the run.
      regime: their labels; teachers that answer on the fly are in the program.
    """
    recipe, labels = context.settings.student, context.labels(regime)
    asked = context.teachers(regime)
    if labels.regime != "soft_kd" or labels.codec:
        asked = ()
    program = context.program(
        native(context.student_network),
        recipe.optimizer,
        recipe.batch_size,
        regime,
        tuple(teacher_network(context, name) for name in asked),
    )
    return dataclasses.replace(program, micro_batch=0)


def synthesis(entry: Distill, networks: tuple[Network, ...], classes: int, ipc: int):
    """The descent on the first batch of an image set through its teachers.

    Args:
      entry: of the settings.
      networks: of all its teachers.
      classes: number of classes.
      ipc: images a class.

    Returns:
      A `Traceable`; in XLA's count of its operations an iteration counts once, with the
      dearest of teachers that take turns.
    """
    method, settings = distill.METHODS[entry.method], entry.recover
    networks = looked_through(entry, networks)
    batch = method.batches(classes, ipc, settings.batch)[0]
    form, shape = method.form(settings, batch), networks[0].image_shape
    images = _array((len(batch.slots), *shape), jnp.float32)
    looks = []
    for network in networks:
        variables = variables_of(network)
        measured = jax.eval_shape(
            lambda variables, images, network=network: network.inspect(
                variables, images, measures_of(form.patch)
            )[1],
            variables,
            images,
        )
        looks.append(recover.Look(variables, (measured,), _number))
    looks = tuple(looks)
    numbers = dict.fromkeys(recover.Numbers._fields, _number)
    numbers |= {"roll": _array((2,), jnp.int32), "seed": _integer}
    numbers |= {"areas": _array((settings.iterations,), jnp.float32)}
    numbers |= dict.fromkeys(("low", "high"), _array(shape[-1:], jnp.float32))
    begin = functools.partial(recover.begin, form)
    arguments = (
        networks,
        form,
        jax.eval_shape(begin, images, looks),
        jax.eval_shape(lambda: jax.tree.map(jnp.asarray, batch)),
        looks,
        recover.Numbers(**numbers),
        _integer,
    )
    return Traceable(recover.advance, arguments)


def crop_scoring(network: Network, settings: Patches, images: int) -> Traceable:
    """The choice of the best crop of each of some images by a teacher.

    Args:
      network: the teacher's.
      settings: of the method.
      images: n.
    """
    shape = network.image_shape
    size = shape[0] // settings.factor
    function = jax.jit(crops.best_crops, static_argnums=tuple(range(5)))
    pair, channels = _array((2,), jnp.float32), _array(shape[-1:], jnp.float32)
    integers = _array((images,), jnp.int32)
    arguments = (
        *(network, settings.crops, size, "lowest", images),
        variables_of(network),
        jax.eval_shape(lambda: keys.key(0)),
        *(pair, channels, channels),
        _array((images, *shape), jnp.uint8),
        *(integers, integers),
    )
    return Traceable(function, arguments)


def looked_through(entry: Distill, networks: tuple[Network, ...]):
    """Returns the networks of one synthesis; if some are drawn, the first so many."""
    asks = distill.METHODS[entry.method].asks
    count = {"first": 1, "some": entry.recover.drawn or None, "turns": None}[asks]
    return networks[:count]


def asked(entry: Distill, networks: tuple[Network, ...]) -> int:
    """Returns how many of the teachers an iteration asks."""
    turns = distill.METHODS[entry.method].asks == "turns"
    return 1 if turns else len(looked_through(entry, networks))


@functools.cache
def synthesis_flops(entry, networks, classes, ipc) -> float:
    """Operations of an iteration on a whole image set; arguments of `synthesis`."""
    size = len(distill.METHODS[entry.method].batches(classes, ipc, entry.recover.batch))
    return size * synthesis(entry, networks, classes, ipc).flops()
