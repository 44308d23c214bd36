"""DSA of a batch: one operation for all its images.

Real and synthetic images of a matching step have the operation *and* its parameters in
common ("siamese"); a training step has one operation, and parameters of each image.
Images are normalised, as the literature augments them.

Letters: B batch, H W image, K channels.
"""

import functools

import jax
import jax.numpy as jnp

from ddjax.data.augment.dsa import apply_dsa, colour_change, drawn_dsa
from ddjax.data.augment.recipe import Dsa, to_integer


def siamese(
    operations: tuple[str, ...], key: jax.Array, *stacks: jax.Array
) -> tuple[jax.Array, ...]:
    """Augments stacks of images by one draw that all images share.

    Args:
      operations: those among which one is drawn, of `augment.DSA_OPERATIONS`; static;
        (): images stay what they are.
      key: a typed PRNG key.
      *stacks: [...,H,W,K] float32, normalised, of one image size.

    Returns:
      The stacks, augmented; gradients flow through them without gathers.

    Source: Zhao and Bilen, "Dataset Condensation with Differentiable Siamese
    Augmentation", arXiv 2102.08259; VICO-UoE/DatasetCondensation, utils.py, DiffAugment
    with `param.Siamese`.
    """
    if not operations:
        return stacks
    height, width, channels = stacks[0].shape[-3:]
    dsa = _plain(operations, channels)
    numbers = jax.random.uniform(key, (4,))
    chosen = to_integer(numbers[0], len(operations))
    drawn = drawn_dsa(dsa, chosen, numbers[1:], height, width)
    branches = [functools.partial(_apply, name, drawn) for name in operations]

    def shown(stack):
        flat = stack.reshape(-1, height, width, channels)
        return jax.lax.switch(chosen, branches, flat).reshape(stack.shape)

    return tuple(map(shown, stacks))


def augmented(
    operations: tuple[str, ...], key: jax.Array, images_BHWK: jax.Array
) -> jax.Array:
    """Augments a training batch: one operation, parameters of each image.

    Args:
      operations, key: as of `siamese`.
      images_BHWK: [B,H,W,K] float32, normalised.

    Source: as `siamese`, without `param.Siamese`.
    """
    if not operations:
        return images_BHWK
    size, height, width, channels = images_BHWK.shape
    dsa = _plain(operations, channels)
    which, what = jax.random.split(key)
    chosen = to_integer(jax.random.uniform(which), len(operations))
    numbers_B3 = jax.random.uniform(what, (size, 3))

    def one(operation, numbers, image):
        only = _plain((operation,), channels)
        drawn = drawn_dsa(only, jnp.zeros((), int), numbers, height, width)
        return apply_dsa(only, drawn, image)

    def branch(operation):
        return lambda images: jax.vmap(functools.partial(one, operation))(
            numbers_B3, images
        )

    return jax.lax.switch(chosen, [*map(branch, dsa.operations)], images_BHWK)


def _plain(operations, channels):
    """DSA of images that are normalised already."""
    return Dsa(operations, (0.0,) * channels, (1 / 255,) * channels)


def _apply(operation, drawn, images_BHWK):
    _, height, width, _ = images_BHWK.shape
    if operation == "color":
        images_BKHW = jnp.moveaxis(images_BHWK, 3, 1)
        change = functools.partial(colour_change, drawn.colour)
        return jnp.moveaxis(images_BKHW + jax.vmap(change)(images_BKHW), 1, 3)
    if operation == "cutout":
        (y0, y1), (x0, x1) = drawn.box
        y, x = jnp.arange(height)[:, None], jnp.arange(width)[None, :]
        inside_HW = (y0 <= y) & (y < y1) & (x0 <= x) & (x < x1)
        return jnp.where(inside_HW[None, ..., None], 0.0, images_BHWK)
    places_y = jnp.arange(height) - (height - 1) / 2
    places_x = jnp.arange(width) - (width - 1) / 2
    (yy, yx), (xy, xx) = drawn.matrix
    dy, dx = drawn.shift
    if operation == "rotate":
        source_y = yy * places_y[:, None] + yx * places_x[None, :]
        source_x = xy * places_y[:, None] + xx * places_x[None, :]
        rows_HWi, columns_HWj = _hats(source_y, places_y), _hats(source_x, places_x)
        weights = rows_HWi[..., :, None] * columns_HWj[..., None, :]
        return jnp.einsum("yxij,bijk->byxk", weights, images_BHWK)
    rows_Hi = _hats(yy * places_y + dy, places_y)
    columns_Wj = _hats(xx * places_x + dx, places_x)
    return jnp.einsum("yi,xj,bijk->byxk", rows_Hi, columns_Wj, images_BHWK)


def _hats(sources, places_n):
    """Bilinear weights [...,n] of pixels at `places` for points at `sources` [...]."""
    places = places_n.reshape((1,) * sources.ndim + (-1,))
    return jnp.maximum(0.0, 1.0 - jnp.abs(sources[..., None] - places))
