"""GraNd: the norm of each example's gradient.

Shape letters: N examples, B examples of a block.
"""

import functools
import numbers
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ddjax.errors import InputError


def grand(
    apply_loss: Callable[[Any, Any, Any], jax.Array],
    variables: Any,
    images: Any,
    labels: Any,
    batch_size: int = 16,
) -> np.ndarray:
    """The L2 norm, over all variables, of the gradient of each example's own loss.

    Higher is harder. Every example is differentiated alone, so that its score depends
    neither on N nor on `batch_size`, and nothing is divided by a batch. Beside images
    and scores, memory holds the gradients and activations of `batch_size` examples.
    One call scores one network; the published score is a mean over several trainings.

    Args:
      apply_loss: (variables, image, label) -> [] float, the loss of one example; pure,
        and hashable, because it is compiled once for each distinct function.
      variables: pytree of float arrays, all of which count. Pass what is trained and
        let `apply_loss` close over the rest, such as batch statistics.
      images: [N, ...] of any dtype, on the host or on a device, or a stream of images
        that are read block by block; `apply_loss` sees [...] of that dtype.
      labels: [N] int, 0 or more.
      batch_size: B, examples that are differentiated at once, at least 1.

    Returns:
      [N] float32, at least 0, in units of loss per unit of the variables. It is as
      exact as the loss's gradient in float32. Where the probability p of the class is
      nearly 1, `losses.cross_entropy` keeps the digits of 1 - p; others may lose them,
      and such examples then tie.

    Raises:
      InputError: if a variable is not float, there are no examples, labels or batch
        size are out of range, the loss is not one number, or, as soon as it is found,
        a gradient is not finite or its norm is beyond float32.

    Source: Paul et al., "Deep Learning on a Data Diet", and mansheej/data_diet, whose
    Jacobian of a whole batch and whose need of a batch size that divides N are not
    kept. DeepCore's GraNd is another score: it looks at the last layer only.
    """
    # Device arrays stay where they are, and a stream in its files.
    images = images if hasattr(images, "shape") else np.asarray(images)
    labels_N = np.asarray(labels)
    _check(variables, images, labels_N, batch_size)

    count = len(labels_N)
    size = min(batch_size, count)
    norms_N = np.empty(count, np.float32)
    for start in range(0, count, size):
        # All blocks have one shape: the last overlaps the one before it.
        start = min(start, count - size)
        block = slice(start, start + size)
        with jax.default_matmul_precision("highest"):
            norms_B = _norms(apply_loss, variables, images[block], labels_N[block])
        norms_N[block] = norms_B
        bad_B = ~np.isfinite(norms_N[block])
        if bad_B.any():
            raise InputError(
                f"variables: the gradient's norm is {norms_N[block][bad_B][0]} at "
                f"example {start + bad_B.argmax()}, expected a finite number; the "
                "network has diverged, or this image is not finite"
            )
    return norms_N


@functools.partial(jax.jit, static_argnums=0)
def _norms(apply_loss, variables, images_B, labels_B):
    """[B] float32. Only sums leave the program, never B gradients."""

    def loss_of(variables, image, label):
        loss = apply_loss(variables, image, label)
        found = jax.tree.map(jax.typeof, loss)
        if getattr(found, "shape", None) != () or not _is_float(found):
            raise InputError(
                f"apply_loss: returned {found}, expected one float number for one "
                "example"
            )
        return loss

    def norm(image, label):
        grads = jax.tree.leaves(jax.grad(loss_of)(variables, image, label))
        return jnp.sqrt(sum(jnp.sum(jnp.square(g.astype(jnp.float32))) for g in grads))

    return jax.vmap(norm)(images_B, labels_B)


def _is_float(array):
    return jnp.issubdtype(array.dtype, jnp.floating)


def _check(variables, images, labels_N, batch_size):
    leaves = jax.tree_util.tree_leaves_with_path(variables)
    if not leaves:
        raise InputError("variables: found no array, expected at least one")
    for path, leaf in leaves:
        if not _is_float(jax.typeof(leaf)):
            raise InputError(
                f"variables: {jax.tree_util.keystr(path)} is {jax.typeof(leaf)}, "
                "expected float; pass only what is trained"
            )
    if labels_N.ndim != 1 or not np.issubdtype(labels_N.dtype, np.integer):
        raise InputError(
            f"labels: shape {labels_N.shape} of {labels_N.dtype}, expected [N] integers"
        )
    if labels_N.size == 0:
        raise InputError("labels: there are no examples to score")
    if labels_N.min() < 0:
        raise InputError(f"labels: class {labels_N.min()}, expected 0 or more")
    if images.shape[:1] != labels_N.shape:
        raise InputError(
            f"images: shape {images.shape}, expected [N, ...] with N = "
            f"{labels_N.size} to fit the labels"
        )
    if not isinstance(batch_size, numbers.Integral) or batch_size < 1:
        raise InputError(f"batch_size: {batch_size}, expected an integer of at least 1")
