"""Random square crops of real images, and which of them a teacher finds easiest.

A crop is a pure function of a key and an example id, so it is the same in any order and
at any batch size. Crops travel as windows, three integers each: only those that are
kept are cut out again.

Letters: n images, m crops of each, S an image's side, s a patch's side, K channels.
"""

import jax
import jax.numpy as jnp

from ddjax import keys
from ddjax.data.augment import to_integer
from ddjax.losses import cross_entropy
from ddjax.models import Network, Variables
from ddjax.train.batches import normalise
from ddjax.train.programs import Traceable, variables_of


def random_windows(
    key: jax.Array, example_id: jax.Array, crops: int, side: int, area: jax.Array
) -> jax.Array:
    """Draws square windows of an image, a pure function of key and example id.

    The area is uniform, its root rounded to whole pixels, the place uniform.

    Args:
      key: a typed PRNG key, the same for all images.
      example_id: [] int32.
      crops: m, how many; static.
      side: S, pixels; static.
      area: [2] float32, lowest and highest fraction of the image's area, in (0, 1].

    Returns:
      [m,3] int32: y0, x0 and length in pixels, inside the image.

    Source: RandomResizedCrop of torchvision with ratio 1, as RDED uses it. There, a
    length that rounds to 0 is drawn again; here it is 1.
    """
    draws_m3 = jax.random.uniform(jax.random.fold_in(key, example_id), (crops, 3))
    covered_m = area[0] + (area[1] - area[0]) * draws_m3[:, 0]
    length_m = jnp.clip(jnp.round(side * jnp.sqrt(covered_m)), 1, side)
    length_m = length_m.astype(jnp.int32)
    y0_m = to_integer(draws_m3[:, 1], side - length_m + 1)
    x0_m = to_integer(draws_m3[:, 2], side - length_m + 1)
    return jnp.stack([y0_m, x0_m, length_m], axis=1)


def resized(image_SSK: jax.Array, window_3: jax.Array, size: int) -> jax.Array:
    """Cuts a window out of an image and resizes it, bilinear and antialiased.

    Pixels outside the window have no part in the result. The window (0, 0, S) with
    size S is the image itself, exactly.

    Args:
      image_SSK: [S,S,K] uint8 or float in [0, 255].
      window_3: [3] int32: y0, x0 and length in pixels.
      size: s, the result's side in pixels; static.

    Returns:
      [s,s,K] float32 in [0, 255], not rounded.

    Source: the antialiased bilinear resize of Pillow and torchvision: a triangle as
    wide as two steps of the coarser of both grids, cut off at the window's edge.
    """
    side, _, channels = image_SSK.shape
    y0, x0, length = window_3
    highest = jax.lax.Precision.HIGHEST
    # Two plain matrix products, see ddjax.data.augment.
    lines = jnp.moveaxis(image_SSK, 2, 1).astype(jnp.float32)
    lines = lines.reshape(side, channels * side)
    lines = jnp.matmul(_weights(y0, length, size, side), lines, precision=highest)
    lines = lines.reshape(size * channels, side)
    columns_Ss = _weights(x0, length, size, side).T
    lines = jnp.matmul(lines, columns_Ss, precision=highest)
    return jnp.moveaxis(lines.reshape(size, channels, size), 1, 2)


def _weights(start, length, size, side):
    """What each source pixel of an axis gives to each target pixel, [s,S] float32."""
    step = length / size
    centre_s1 = (start + (jnp.arange(size) + 0.5) * step - 0.5)[:, None]
    source_1S = jnp.arange(side)[None, :]
    distance_sS = jnp.abs(centre_s1 - source_1S) / jnp.maximum(step, 1.0)
    inside_1S = (source_1S >= start) & (source_1S < start + length)
    weights_sS = jnp.where(inside_1S, jnp.maximum(0.0, 1.0 - distance_sS), 0.0)
    return weights_sS / weights_sS.sum(axis=1, keepdims=True)


def centred(patches_mssK: jax.Array, side: int) -> jax.Array:
    """Surrounds normalised patches with zeros up to the size of an image.

    Zero is the mean colour of the training images, not black. An odd pixel goes to the
    bottom and to the right.

    Args:
      patches_mssK: [m,s,s,K] float32, normalised.
      side: S, pixels, at least s; static.

    Returns:
      [m,S,S,K] float32.
    """
    before = (side - patches_mssK.shape[1]) // 2
    sides = (before, side - patches_mssK.shape[1] - before)
    return jnp.pad(patches_mssK, ((0, 0), sides, sides, (0, 0)))


def best_crops(
    network: Network,
    crops: int,
    size: int,
    keep: str,
    batch_size: int,
    variables: Variables,
    key: jax.Array,
    area: jax.Array,
    mean: jax.Array,
    std: jax.Array,
    images_nSSK: jax.Array,
    labels_n: jax.Array,
    ids_n: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Finds each image's best random crop by a teacher's cross-entropy.

    A crop is resized to a patch, normalised and put in the centre of zeros. Only
    `batch_size` images at a time have their crops in memory.

    Args:
      network: the teacher; static, as the next four.
      crops: m, random crops of each image.
      size: s, a patch's side in pixels.
      keep: "lowest" or "highest", which loss is the best.
      batch_size: images whose crops are one forward pass; best a divisor of n.
      variables: the teacher's.
      key: a typed PRNG key, of all crops.
      area: [2] float32, see `random_windows`.
      mean, std: [K] float32 of pixels in [0, 1].
      images_nSSK: [n,S,S,K] uint8.
      labels_n: [n] int32.
      ids_n: [n] int32, example ids.

    Returns:
      The best crop's loss [n] float32 in nats, and its window [n,3] int32, see
      `random_windows`. Of equal losses the crop drawn first.

    Source: RDED (LINs-lab/RDED, synthesize/utils.py).
    """
    side = images_nSSK.shape[1]
    best_of = {"lowest": jnp.argmin, "highest": jnp.argmax}[keep]

    def best_of_one(one):
        image_SSK, label, example_id = one
        windows_m3 = random_windows(key, example_id, crops, side, area)
        patches = jax.vmap(resized, (None, 0, None))(image_SSK, windows_m3, size)
        patches = centred(normalise(patches, mean, std), side)
        logits_mC, _ = network.apply(variables, patches)
        losses_m = cross_entropy(logits_mC, jnp.broadcast_to(label, (crops,)))
        best = best_of(losses_m)
        return losses_m[best], windows_m3[best]

    with jax.default_matmul_precision("highest"):
        every = (images_nSSK, labels_n, ids_n)
        return jax.lax.map(best_of_one, every, batch_size=batch_size)


def cut_out(size: int, images_nSSK: jax.Array, windows_n3: jax.Array) -> jax.Array:
    """Cuts out the patch of each image's window, rounded once to whole values.

    Args:
      size: s, pixels; static.
      images_nSSK: [n,S,S,K] uint8.
      windows_n3: [n,3] int32, see `random_windows`.

    Returns:
      [n,s,s,K] uint8.
    """
    patches = jax.vmap(resized, (0, 0, None))(images_nSSK, windows_n3, size)
    return jnp.clip(jnp.round(patches), 0, 255).astype(jnp.uint8)


def program(network: Network, crops: int, size: int, images: int) -> Traceable:
    """Returns `best_crops` with abstract arguments, to be lowered.

    Args:
      network: the teacher's.
      crops: m.
      size: s.
      images: n.
    """
    array, shape = jax.ShapeDtypeStruct, network.image_shape
    function = jax.jit(best_crops, static_argnums=tuple(range(5)))
    pair, channels = array((2,), jnp.float32), array(shape[-1:], jnp.float32)
    integers = array((images,), jnp.int32)
    arguments = (
        *(network, crops, size, "lowest", images),
        variables_of(network),
        jax.eval_shape(lambda: keys.key(0)),
        *(pair, channels, channels),
        array((images, *shape), jnp.uint8),
        *(integers, integers),
    )
    return Traceable(function, arguments)
