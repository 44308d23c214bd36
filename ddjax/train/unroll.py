"""Training steps that are differentiated: with respect to images, labels and the rate.

A method that unrolls (MTT, TESLA, DATM) trains a student on its synthetic set by plain
SGD, reads a loss off the weights after the last step, and needs its gradient. Two forms
have the same steps and give the same gradient:

- `unroll` differentiates a `scan` whose steps are computed again in the backward pass.
- `unroll_by_adjoint` has a backward pass written by hand. With `exact=False` it leaves
  out the Hessians, which is TESLA's gradient.

Letters: B batch, C classes, H W K image height, width and channels, M images of the
synthetic set, T steps.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ddjax.errors import InputError
from ddjax.losses.softmax import log_softmax
from ddjax.models import Network

# (params, learned, step) -> loss []; `step` is one entry of `steps`.
Loss = Callable[[Any, Any, Any], jax.Array]


class Learned(NamedTuple):
    """A synthetic set as `StudentLoss` takes it; both fields are differentiated.

    Attributes:
      images: [M,H,W,K] float32, normalised.
      labels: [M,C] float32, probabilities: one-hot where labels are hard.
    """

    images: jax.Array
    labels: jax.Array


class Step(NamedTuple):
    """What differs between the steps of `StudentLoss`.

    Attributes:
      rows: [B] int32, the batch as positions in the synthetic set.
      key: a typed PRNG key, for the augmentation and for dropout; None: there is
        neither.
    """

    rows: jax.Array
    key: jax.Array | None = None


@dataclasses.dataclass(frozen=True)
class StudentLoss:
    """Mean cross-entropy of a student in training mode on a batch of a synthetic set.

    Unlike `ddjax.losses.cross_entropy` it has a gradient with respect to the labels.
    Batch norm uses the moments of the batch, and its running ones are not kept.

    Attributes:
      network: the student.
      augment: (key, images [B,H,W,K]) -> images of the same shape, differentiable and
        hashable; None: none.
    """

    network: Network
    augment: Callable[[jax.Array, jax.Array], jax.Array] | None = None

    def __call__(self, params: Any, learned: Learned, step: Step) -> jax.Array:
        """Returns the loss [], in nats."""
        images_BHWK, labels_BC = (a[step.rows] for a in learned)
        dropout = None
        if step.key is not None:
            augmentation, dropout = jax.random.split(step.key)
            if self.augment is not None:
                images_BHWK = self.augment(augmentation, images_BHWK)
        elif self.augment is not None:
            raise InputError("steps: found no keys, an augmentation has one a step")
        logits_BC, _ = self.network.apply(
            {"params": params}, images_BHWK, True, dropout
        )
        return -(labels_BC * log_softmax(logits_BC)).sum(axis=1).mean()


def unroll(loss: Loss, params: Any, learned: Any, rate: jax.Array, steps: Any) -> Any:
    """Takes T steps of plain SGD, params <- params - rate * gradient.

    It may be differentiated in reverse, any number of times, with respect to params,
    learned and rate. A step is computed again in the backward pass, so that memory
    holds the activations of one step, and the weights before each of the T.

    Args:
      loss: (params, learned, step) -> [] float, such as a `StudentLoss`.
      params: a pytree of float arrays, the weights at the start.
      learned: a pytree of float arrays, such as `Learned`.
      rate: [] float, the learning rate.
      steps: a pytree of arrays [T, ...], such as `Step`; receives no gradient.

    Returns:
      The weights after the last step, like `params`.

    Raises:
      InputError: the rate is no scalar, or the arrays in `steps` have no step or differ
        in their number.
    """
    steps = _checked(rate, steps)

    @functools.partial(jax.checkpoint, prevent_cse=False)
    def body(params, step):
        return _descend(params, jax.grad(loss)(params, learned, step), rate), None

    return jax.lax.scan(body, params, steps)[0]


def unroll_by_adjoint(
    loss: Loss,
    params: Any,
    learned: Any,
    rate: jax.Array,
    steps: Any,
    exact: bool = True,
) -> Any:
    """Takes the steps of `unroll`, with a backward pass by forward over reverse.

    With a_T the gradient with respect to the weights after the last step, g_i that of
    step i's loss and H_i its Hessian, the backward pass goes from i = T - 1 to 0:

      learned_grad -= rate * d<g_i, a_(i+1)> / d learned
      rate_grad -= <g_i, a_(i+1)>
      a_i = a_(i+1) - rate * H_i a_(i+1)

    and a_0 is the gradient with respect to params. Everything about step i comes from
    one derivative of its gradient in the direction a_(i+1), so memory holds the
    activations of about two forward passes, and the weights before each of the T. It
    is differentiable once, in reverse.

    Args:
      loss: as of `unroll`; hashable, and it uses no array that is differentiated but
        its arguments.
      params, learned, rate, steps: as of `unroll`.
      exact: False leaves out the last line. Every step's gradient is then multiplied by
        the same a_T, and params receive a_T.

    Returns:
      The weights after the last step, like `params`.

    Raises:
      InputError: as `unroll`.

    Source: the gradient of MTT (Cazenavette et al., CVPR 2022). With exact=False that
    of TESLA's code (justincui03/tesla), where every weight but the last is a constant;
    the factor 2 that it leaves out of the image gradient is not left out here.
    """
    steps = _checked(rate, steps)
    return _by_adjoint(loss, exact, params, learned, rate, steps)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _by_adjoint(loss, exact, params, learned, rate, steps):
    return _adjoint_forward(loss, exact, params, learned, rate, steps)[0]


def _adjoint_forward(loss, exact, params, learned, rate, steps):
    del exact

    def body(params, step):
        return _descend(params, jax.grad(loss)(params, learned, step), rate), params

    again = jax.tree.map(_reusable, steps)
    last, before = jax.lax.scan(body, params, steps)
    return last, (before, learned, rate, again)


def _adjoint_backward(loss, exact, residuals, adjoint):
    before, learned, rate, steps = residuals

    def body(sums, entry):
        adjoint, learned_grad, rate_grad = sums
        params, step = entry

        def gradients(params):
            return jax.grad(loss, argnums=(0, 1))(params, learned, step)

        (grads, _), (bent, mixed) = jax.jvp(gradients, (params,), (adjoint,))
        learned_grad = _descend(learned_grad, mixed, rate)
        products = jax.tree.map(lambda g, a: (g * a).sum(), grads, adjoint)
        rate_grad -= sum(jax.tree.leaves(products)).astype(rate_grad.dtype)
        if exact:
            adjoint = _descend(adjoint, bent, rate)
        return (adjoint, learned_grad, rate_grad), None

    zeros = jax.tree.map(jnp.zeros_like, (learned, rate))
    sums = adjoint, *zeros
    (adjoint, learned_grad, rate_grad), _ = jax.lax.scan(
        body, sums, (before, steps), reverse=True
    )
    return adjoint, learned_grad, rate_grad, None


_by_adjoint.defvjp(_adjoint_forward, _adjoint_backward)


def _descend(values, grads, rate):
    return jax.tree.map(lambda value, grad: value - rate * grad, values, grads)


def _reusable(leaf):
    """The same array, and of a key one that JAX does not count as used."""
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.random.clone(leaf) if is_key else leaf


def _checked(rate, steps):
    """Returns the steps as constants."""
    if jnp.ndim(rate):
        raise InputError(f"rate: found shape {jnp.shape(rate)}, allowed is a scalar")
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(steps)]
    lengths = {shape[0] if shape else 0 for shape in shapes}
    if len(lengths) != 1 or lengths == {0}:
        found = ", ".join(map(str, shapes)) or "no array"
        allowed = "arrays with the same number of steps in front, at least 1"
        raise InputError(f"steps: found shapes {found}, allowed are {allowed}")
    return jax.lax.stop_gradient(steps)
