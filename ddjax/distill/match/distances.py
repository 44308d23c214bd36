"""What matching minimises: how far synthetic images are from real ones.

Letters: C classes, B real and I synthetic images of a class, D features, H W map, F
channels, R inputs of a row, O rows.
"""

from typing import Any

import jax
import jax.numpy as jnp

_OUTSIDE = 1e-6  # DC adds it to the product of two norms
_SMALLEST = 1e-12  # PyTorch's `normalize` divides by this norm at least


def mean_distance(real_CBD: jax.Array, synthetic_CID: jax.Array) -> jax.Array:
    """Squared distance of the classes' mean features, summed over classes.

    Args:
      real_CBD: [C,B,D] float32.
      synthetic_CID: [C,I,D] float32.

    Returns:
      [] float32.

    Source: Zhao and Bilen, "Dataset Condensation with Distribution Matching", arXiv
    2110.04181; VICO-UoE/DatasetCondensation, main_DM.py.
    """
    return jnp.square(real_CBD.mean(1) - synthetic_CID.mean(1)).sum()


def mean_distances(real_CBD: jax.Array, synthetic_CID: jax.Array) -> jax.Array:
    """`mean_distance` of features of any shape.

    Args:
      real_CBD: [C,B,...] float32.
      synthetic_CID: [C,I,...] float32.
    """
    flat = (x.reshape(*x.shape[:2], -1) for x in (real_CBD, synthetic_CID))
    return mean_distance(*flat)


def row_distance(real: Any, synthetic: Any) -> jax.Array:
    """One minus the cosine of gradients, summed over all rows of all weights.

    A row is what leads to one output of a layer: the last axis of a kernel are its
    rows. Biases, and gains of norms, have no part in it.

    Args:
      real, synthetic: pytrees of gradients [...,O] float32 of equal shapes.

    Returns:
      [] float32. Its derivative at a row of zeros is zero, as in PyTorch.

    Source: Zhao, Mopuri and Bilen, "Dataset Condensation with Gradient Matching", arXiv
    2006.05929, appendix A; VICO-UoE/DatasetCondensation, utils.py, `distance_wb`.
    """

    def rows(real_RO, synthetic_RO):
        if real_RO.ndim < 2:
            return jnp.zeros(())
        a_RO, b_RO = (x.reshape(-1, x.shape[-1]) for x in (real_RO, synthetic_RO))
        lengths_O = norm(a_RO) * norm(b_RO)
        return (1 - (a_RO * b_RO).sum(0) / (lengths_O + _OUTSIDE)).sum()

    return sum(jax.tree.leaves(jax.tree.map(rows, real, synthetic)))


def kernel_distance(metric: str, real: Any, synthetic: Any) -> jax.Array:
    """Distance of the gradients of convolutions' kernels, summed over all numbers.

    Args:
      metric: "l1" or "squared"; static.
      real, synthetic: pytrees of gradients of equal shapes; those of other weights
        than kernels [height,width,inputs,outputs] have no part in it.

    Returns:
      [] float32.

    Source: Kim et al., "Dataset Condensation via Efficient Synthetic-Data
    Parameterization", arXiv 2205.14959; snu-mllab/Efficient-Dataset-Condensation,
    condense.py, `matchloss` with its defaults: no biases, no linear layer.
    """
    of = {"l1": jnp.abs, "squared": jnp.square}[metric]

    def kernels(real_HWFO, synthetic_HWFO):
        if real_HWFO.ndim < 4:
            return jnp.zeros(())
        return of(synthetic_HWFO - real_HWFO).sum()

    return sum(jax.tree.leaves(jax.tree.map(kernels, real, synthetic)))


def attention(map_BHWF: jax.Array, power: float) -> jax.Array:
    """Where a map is active: its channels' absolute powers, of length 1 an image.

    Args:
      map_BHWF: [B,H,W,F] float32.
      power: of the absolute values, at least 1.

    Returns:
      [B,H*W] float32.

    Source: Sajedi et al., "DataDAM", arXiv 2310.00093, equation 3; DataDistillation/
    DataDAM, utils.py, `get_attention`.
    """
    active = jnp.abs(map_BHWF)
    active_BD = (active if power == 1 else active**power).sum(3)
    active_BD = active_BD.reshape(len(active_BD), -1)
    return active_BD / jnp.maximum(norm(active_BD.T)[:, None], _SMALLEST)


def norm(x_RO: jax.Array) -> jax.Array:
    """Length of each column, [O]; its derivative at zero is zero."""
    squares_O = jnp.square(x_RO).sum(0)
    some_O = squares_O > 0
    return jnp.where(some_O, jnp.sqrt(jnp.where(some_O, squares_O, 1)), 0)


def image_gradient(
    loss: Any, distance: Any, params: Any, images_BHWK: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Distance of a gradient of weights, and its derivative by the images behind it.

    With g the gradient and u the derivative of the distance by g, it is the derivative
    of u times g by the images, which is that of the loss by the images, derived once
    more along u of the weights (Pearlmutter): forward over reverse mode, which keeps
    no graph of a backward pass.

    Args:
      loss: (params, images) -> [] float32.
      distance: (pytree of gradients like params) -> [] float32.
      params: weights.
      images_BHWK: [B,H,W,K] float32.

    Returns:
      The distance, [] float32, and its derivative, [B,H,W,K] float32.
    """
    value, direction = jax.value_and_grad(distance)(jax.grad(loss)(params, images_BHWK))

    def slope(params):
        return jax.grad(loss, argnums=1)(params, images_BHWK)

    return value, jax.jvp(slope, (params,), (direction,))[1]
