"""How far a batch's statistics are from those of real images.

What is measured of a layer are moments: pairs of a mean and a biased variance, one
after the other in a tuple. A batch norm has one pair, of its channels; a convolution
has another one besides, of the patches of its input.

Letters: B images, Y X a layer's map, D its channels, P patches of the map, L layers.
"""

import jax
import jax.numpy as jnp
import optax

from ddjax.models import moments

Moments = tuple[jax.Array, ...]  # mean, variance, mean, variance, ...


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
      without gradient, to be kept.

    Source: G-VBSM (its alpha). There the average starts from 0, so that the first
    iterations match statistics that are too small, and is not begun anew for the next
    batch, whose first iterations match statistics of the batch before.
    """
    share = jnp.where(first, 0.0, momentum)
    seen, kept = {}, {}
    for layer, found in measured.items():
        pairs = list(zip(average[layer], found, strict=True))
        still = [jax.lax.stop_gradient(now) for _, now in pairs]
        kept[layer] = tuple(
            share * old + (1 - share) * now
            for (old, _), now in zip(pairs, still, strict=True)
        )
        seen[layer] = tuple(
            new + now - fixed
            for new, (_, now), fixed in zip(kept[layer], pairs, still, strict=True)
        )
    return seen, kept
