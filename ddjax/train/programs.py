"""Programs with abstract arguments: what is lowered, counted, but not compiled.

Letters: B images of a batch.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ddjax import keys
from ddjax.models import Network
from ddjax.train import batches, order, student
from ddjax.train.flops import flops
from ddjax.train.supervision import Supervision
from ddjax.train.sweep import Bound

_array = jax.ShapeDtypeStruct
_number = _array((), jnp.float32)
_integer = _array((), jnp.int32)


class Traceable(NamedTuple):
    """A function and what it is called with.

    Attributes:
      function: of `arguments`; jitted.
      arguments: static ones, and pytrees of `jax.ShapeDtypeStruct`.
    """

    function: Callable
    arguments: tuple[Any, ...]

    def shapes(self) -> Any:
        """Returns what the function would give, as `jax.ShapeDtypeStruct`."""
        return self.function.eval_shape(*self.arguments)

    def flops(self) -> float:
        """Returns the operations as `flops` counts them."""
        return flops(self.function, *self.arguments)

    def lower(self, platform: str) -> Any:
        """Returns the lowered program.

        Args:
          platform: "cpu", "cuda" or "tpu"; need not be there.
        """
        traced = self.function.trace(*self.arguments)
        return traced.lower(lowering_platforms=(platform,))


def native(network: Network) -> Network:
    """Returns a network that takes XLA's convolutions, as it does on accelerators."""
    layers = dataclasses.replace(network.module.layers, lowering="direct")
    module = network.module.clone(layers=layers)
    return dataclasses.replace(network, module=module)


def variables_of(network: Network) -> Any:
    """Returns the shapes of a network's variables."""
    return jax.eval_shape(network.init, keys.key(0))


def forward(network: Network, images: int) -> Traceable:
    """A pass of a batch in evaluation mode."""
    shown = _array((images, *network.image_shape), jnp.float32)
    return Traceable(jax.jit(network.apply), (variables_of(network), shown))


def training_step(
    program: student.Program,
    classes: int,
    supervision: Supervision | None = None,
    stored: bool = False,
) -> Traceable:
    """A step of one student.

    Args:
      program: what is compiled in, with the teachers of its objective.
      classes: number of classes.
      supervision: of the labels.
      stored: whether the teacher's logits are read from a store.
    """
    shape, size = program.network.image_shape, program.batch_size
    objective, numbers = program.objective, _array((size,), jnp.int32)
    teachers = tuple(map(variables_of, objective.teachers)) or None
    logits = None
    if objective.regime == "soft":
        logits = _array((size, classes), jnp.float32)
    channels = _array(shape[-1:], jnp.float32)
    images = _array((size, *shape), jnp.uint8)
    pool = batches.Pool(images, *[numbers] * 2, *[channels] * 2, logits, teachers)

    def plan_of(seed, positions, ids):
        shown = order.presentations(
            seed, positions, ids, jnp.int32(0), size, supervision
        )
        return batches.make_plan(program.recipe, shape, ids, seed, shown, supervision)

    plan = jax.eval_shape(plan_of, _integer, numbers, numbers)
    if stored:
        plan = plan._replace(targets=_array((size, classes), jnp.float32))
    state = jax.eval_shape(Bound(student.init_student, program), _integer)
    hparams = student.HParams(*[_number] * len(student.HParams._fields))
    step = jax.jit(Bound(student.train_step, program))
    return Traceable(step, (state, pool, plan, hparams))


@functools.cache
def forward_flops(network: Network) -> float:
    """Operations of one image's pass in evaluation mode."""
    return forward(network, 1).flops()


@functools.cache
def step_flops(program, classes, supervision=None, stored=False) -> float:
    """Operations of a training step; arguments of `training_step`."""
    return training_step(program, classes, supervision, stored).flops()


@functools.cache
def activation_bytes(network: Network) -> int:
    """Returns the bytes of one image that its backward pass reads.

    What the linearised network keeps of two images minus what it keeps of one, so that
    weights do not count.
    """
    one, two = (_kept(network, images) for images in (1, 2))
    return two - one


def _kept(network: Network, images: int) -> int:
    variables, shown = forward(network, images).arguments

    def linearised(variables, shown, key):
        def logits(params):
            mixed = variables | {"params": params}
            return network.apply(mixed, shown, train=True, key=key)[0]

        return jax.vjp(logits, variables["params"])[1]

    key = jax.eval_shape(lambda: keys.key(0))
    kept = jax.tree.leaves(jax.eval_shape(linearised, variables, shown, key))
    return sum(leaf.size * leaf.dtype.itemsize for leaf in kept)


@functools.cache
def variable_bytes(network: Network) -> int:
    """Bytes of a network's variables."""
    return nbytes(variables_of(network))


@functools.cache
def state_bytes(program: student.Program) -> int:
    """Bytes of one member: variables, moments, and what else is carried along."""
    return nbytes(jax.eval_shape(Bound(student.init_student, program), _integer))


def nbytes(shapes: Any) -> int:
    """Bytes of a pytree of `jax.ShapeDtypeStruct`."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))
