"""How alike the images of a class are, by the eigenvalues of their products.

Letters: B images, k classes of m images each, H W image, K channels.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ddjax.losses.softmax import divergence

SIDE = 32  # pixels that images are pooled to
TEMPERATURE = 4.0  # G-VBSM's tau


def likeness(images_BHWK: jax.Array, classes: int) -> jax.Array:
    """sum_classes KL(softmax(l / 4) || softmax(l)), with l of a class's images.

    l are the eigenvalues of the matrix of inner products of the class's images, pooled
    to 32 x 32. A few large ones mean images that are alike; the term draws l to where
    the softmax at temperature 4 has it, which is flatter. It has no gradient there.
    Its digits are kept where eigenvalues are close, as in `losses.kl_divergence`.

    Args:
      images_BHWK: [B,H,W,K] float32, normalised, class after class.
      classes: k, of B / k images each; static.

    Returns:
      [] float32, in nats.

    Source: G-VBSM (shaoshitong/G_VBSM_Dataset_Condensation), its "nuclear norm" loss.
    """
    pooled = _pooled(images_BHWK).reshape(classes, len(images_BHWK) // classes, -1)
    gram = jnp.matmul(pooled, pooled.swapaxes(1, 2), precision="highest")
    values_km = jnp.linalg.eigvalsh(gram)
    wanted_km = jax.lax.stop_gradient(values_km) / TEMPERATURE
    gap_km = (1 - 1 / TEMPERATURE) * (values_km - jnp.max(values_km, 1, keepdims=True))
    return jnp.sum(divergence(values_km, wanted_km, gap_km))


def _pooled(images_BHWK):
    """Averages over a grid of 32 x 32 cells, as PyTorch's adaptive pooling does."""
    rows, columns = (_cells(side) for side in images_BHWK.shape[1:3])
    highest = jax.lax.Precision.HIGHEST
    return jnp.einsum("yh,bhwk,xw->byxk", rows, images_BHWK, columns, precision=highest)


def _cells(side):
    """[32,s] float32: cell i averages pixels floor(i s/32) .. ceil((i + 1) s/32)."""
    first = np.arange(SIDE) * side // SIDE
    last = -(-(np.arange(SIDE) + 1) * side // SIDE)
    place = np.arange(side)
    inside = (place >= first[:, None]) & (place < last[:, None])
    return (inside / inside.sum(1, keepdims=True)).astype(np.float32)
