"""What a synthetic set is matched with: statistics of layers' inputs, and likeness.

What is measured of a layer are moments: pairs of a mean and a biased variance, one
after the other in a tuple. A batch norm has one pair, of its channels; a convolution
has a second one, of the patches of its input.

Letters: B images, n images of the pool, H W image, K channels, Y X a layer's map, D its
channels, P patches of the map, L layers, k classes of m images each, g groups.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ddjax.losses.softmax import divergence
from ddjax.models import Network, Variables, moments
from ddjax.train.batches import normalise

Moments = tuple[Any, ...]  # mean, variance, mean, variance, ...

CHUNK = 128  # images of the pool in a forward pass
SIDE = 32  # pixels that images are pooled to
TEMPERATURE = 4.0  # G-VBSM's tau


def measures_of(patch: int) -> dict[str, Callable[[jax.Array], Moments]]:
    """Returns what `Network.inspect` measures of a batch.

    Args:
      patch: side of the patches of convolutions' inputs; 0: only the inputs of batch
        norms are measured.
    """
    measures: dict[str, Callable[[jax.Array], Moments]] = {"norm": moments}
    if patch:
        measures["conv"] = functools.partial(moments_with_patches, patch)
    return measures


def moments_with_patches(patch: int, x_BYXD: jax.Array) -> Moments:
    """Measures what enters a convolution: its channels, and its patches.

    The map is enlarged, bilinearly, to the next multiple of `patch` and divided into a
    grid; the moments of a patch are over images, channels and the places inside it.

    Args:
      patch: side of a patch, in places of the map; static.
      x_BYXD: [B,Y,X,D] float.

    Returns:
      Mean and variance of channels [D] and of patches [P], float32.

    Source: G-VBSM, whose patches are 4 a side for CIFAR and 16 for ImageNet.
    """
    channels = moments(x_BYXD)
    batch, *sides, depth = x_BYXD.shape
    rows, columns = (-(-side // patch) * patch for side in sides)
    x_BYXD = x_BYXD.astype(jnp.float32)
    if [rows, columns] != sides:
        x_BYXD = jax.image.resize(x_BYXD, (batch, rows, columns, depth), "bilinear")
    grid = x_BYXD.reshape(batch, rows // patch, patch, columns // patch, patch, depth)
    inside = (0, 2, 4, 5)
    return *channels, grid.mean(inside).reshape(-1), grid.var(inside).reshape(-1)


def statistics_distance(
    measured: dict[str, Moments],
    remembered: dict[str, Moments],
    first_weight: float | jax.Array = 10.0,
    var_weight: float | jax.Array = 1.0,
    kept_L: jax.Array | float = 1.0,
) -> jax.Array:
    """sum_l w_l sum_pairs (var_weight ||var_l - var'_l|| + ||mean_l - mean'_l||).

    The norms are Euclidean and not squared; where one is 0 its gradient is too.

    Args:
      measured: layer -> moments of a batch, in the order of the forward pass, as
        `Network.inspect` gives them. A dict that went through `jit` or `grad` is in the
        order of its keys instead.
      remembered: layer -> moments to be matched: running statistics, or those of real
        images. It must have every measured layer, in any order.
      first_weight: [] w of the first layer; it is 1 for all others.
      var_weight: [] weight of the variances.
      kept_L: [L] or [], another factor of w, for layers to be left out.

    Returns:
      [] float.

    Source: SRe2L; var_weight is DWA's r_var. The first layer is the first that runs
    where SRe2L takes the first that was defined: the same in every network here.
    """
    gaps = []
    for layer, found in measured.items():
        norms = [
            optax.safe_norm(ours - theirs, 0.0)
            for ours, theirs in zip(found, remembered[layer], strict=True)
        ]
        gaps.append(sum(norms[::2]) + var_weight * sum(norms[1::2]))
    if not gaps:
        return jnp.zeros(())
    weights_L = jnp.ones(len(gaps)).at[0].set(first_weight)
    return jnp.sum(weights_L * kept_L * jnp.stack(gaps))


def smoothed(
    measured: dict[str, Moments],
    average: dict[str, Moments],
    momentum: jax.Array,
    first: jax.Array,
) -> tuple[dict[str, Moments], dict[str, Moments]]:
    """Averages moments over iterations, so that a small batch stands for many.

    The new average a E + (1 - a) m has the gradient of m itself, not 1 - a of it.

    Args:
      measured: m, of this iteration.
      average: E, of the iterations before.
      momentum: [] a, in [0, 1).
      first: [] bool, there is no average yet: m is the new one.

    Returns:
      The new average as it enters the loss, in the order of `measured`, and the same
      without gradient, for the next iteration.

    Source: G-VBSM (its alpha). There the average starts from 0, so that the first
    iterations match statistics that are too small, and is not begun anew for the next
    batch, whose first iterations match statistics of the batch before.
    """
    share = jnp.where(first, 0.0, momentum)
    used, kept = {}, {}
    for layer, found in measured.items():
        pairs = list(zip(average[layer], found, strict=True))
        still = [jax.lax.stop_gradient(now) for _, now in pairs]
        kept[layer] = tuple(
            share * old + (1 - share) * now
            for (old, _), now in zip(pairs, still, strict=True)
        )
        used[layer] = tuple(
            new + now - fixed
            for new, (_, now), fixed in zip(kept[layer], pairs, still, strict=True)
        )
    return used, kept


def statistics_of(
    network: Network,
    variables: Variables,
    images_nHWK: np.ndarray,
    mean_K: np.ndarray,
    std_K: np.ndarray,
    patch: int = 0,
    chunk: int = CHUNK,
) -> dict[str, Moments]:
    """Measures what enters the layers, over all images together.

    Args:
      network: in eval mode.
      variables: of the network.
      images_nHWK: [n,H,W,K] uint8.
      mean_K, std_K: [K] float32 of pixels in [0, 1].
      patch: see `measures_of`.
      chunk: images of a forward pass; it changes the result by rounding only.

    Returns:
      Layer -> moments [D] float32, with biased variances: of all images and places
      together, as they are measured in a batch of synthetic images.

    Source: LPLD averages with PyTorch's momentum 0.1 over the batches of a pass, so
    that its statistics lean on the last images of a class, and EDC's variances of a
    class are the mean of its images' own, which leaves out all that differs between
    them. Here every image counts the same and nothing is left out.
    """
    chunks: dict[str, list[Any]] = {}
    sizes = []
    for first in range(0, len(images_nHWK), chunk):
        part = images_nHWK[first : first + chunk]
        # As long as the others, so that all share one program.
        padded = part[np.arange(chunk) % len(part)]
        found = _of_images(network, patch, variables, padded, mean_K, std_K)
        for layer, every in found.items():
            every = [np.asarray(a)[: len(part)] for a in every]
            chunks.setdefault(layer, []).append(_together(every, np.ones(len(part))))
        sizes.append(len(part))
    return {
        layer: _float32(_together(list(zip(*every, strict=True)), sizes))
        for layer, every in chunks.items()
    }


def mixture(
    parts: Sequence[dict[str, Moments]], weights: Sequence[float] | np.ndarray
) -> dict[str, Moments]:
    """Returns the moments of several groups of images taken together.

    Args:
      parts: layer -> moments, of each group.
      weights: of each group, above 0 in sum.
    """
    return {
        layer: _float32(
            _together(list(zip(*(part[layer] for part in parts), strict=True)), weights)
        )
        for layer in parts[0]
    }


def _together(groups, weights) -> list[np.ndarray]:
    """Mean, variance, mean, ... [g,D] each of g groups -> [D] float64 of all.

    A variance is the groups' own and that of their means, which are subtracted before
    they are squared, so that no digits are lost where a mean is large.
    """
    groups = [np.asarray(group, np.float64) for group in groups]
    weights = np.asarray(weights, np.float64) / np.sum(weights)
    found = []
    for means, variances in zip(groups[::2], groups[1::2], strict=True):
        mean = weights @ means
        found += [mean, weights @ (variances + (means - mean[None]) ** 2)]
    return found


def _float32(rows) -> Moments:
    return tuple(row.astype(np.float32) for row in rows)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _of_images(network, patch, variables, images_BHWK, mean_K, std_K):
    """Layer -> moments of each image, [B,D]."""

    def of_each(measure):
        return jax.vmap(lambda x_YXD: measure(x_YXD[None]))

    measures = {kind: of_each(one) for kind, one in measures_of(patch).items()}
    images_BHWK = normalise(images_BHWK, mean_K, std_K)
    with jax.default_matmul_precision("highest"):
        return network.inspect(variables, images_BHWK, measures)[1]


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
