"""Changes of an image's colours: jitter of three factors, and AlexNet's lighting.

Letters: H W image height and width, C channels.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ddjax.data.augment.recipe import JITTER, LIGHTING, Recipe, view_key

_LUMA = (0.299, 0.587, 0.114)  # red, green and blue in a grey, ITU-R BT.601
# Principal components of ImageNet's pixels in [0, 1], RGB: values, and vectors as
# columns.
_EIGENVALUES = (0.2175, 0.0188, 0.0045)
_EIGENVECTORS = (
    (-0.5675, 0.7192, 0.4009),
    (-0.5808, -0.0045, -0.8140),
    (-0.5836, -0.6948, 0.4203),
)


class ColorDraw(NamedTuple):
    """How the colours of one view change.

    Attributes:
      factors: [3] float32, of brightness, contrast and saturation; 1 changes nothing.
      shift: [3] float32, added to red, green and blue, in pixels of 0..255.
    """

    factors: jax.Array
    shift: jax.Array


def draw_color(
    recipe: Recipe, seed: jax.Array, epoch: jax.Array, example_id: jax.Array
) -> ColorDraw:
    """Draws factors uniform in 1 -/+ `color_jitter`, and a Gaussian shift.

    The shift is the sum of ImageNet's principal directions, each times its eigenvalue
    and a Gaussian of deviation `lighting`.

    Args:
      recipe: an augmentation with `color_jitter` or `lighting`.
      seed, epoch, example_id: [] int32.

    Source: Krizhevsky et al. 2012, section 4.1, for the lighting; for constants and the
      place in a view, the code of vimar-gu/MinimaxDiffusion (data.py, misc/utils.py),
      which is IDC's and took them from eladhoffer/convNet.pytorch.
    """
    at = (seed, epoch, example_id)
    factors: Any = jnp.ones(3)
    shift = jnp.zeros(3)
    if recipe.color_jitter is not None:
        uniform = jax.random.uniform(view_key(JITTER, *at), (3,))
        factors = 1.0 + np.array(recipe.color_jitter, np.float32) * (2 * uniform - 1)
    if recipe.lighting:
        alpha = recipe.lighting * jax.random.normal(view_key(LIGHTING, *at), (3,))
        along = (alpha * np.array(_EIGENVALUES, np.float32)).reshape(1, 3)
        # Not a matrix product, whose precision depends on the accelerator.
        shift = 255.0 * jnp.sum(np.array(_EIGENVECTORS, np.float32) * along, axis=1)
    return ColorDraw(factors, shift)


def apply_color(recipe: Recipe, drawn: ColorDraw, image_HWC: jax.Array) -> jax.Array:
    """Changes brightness, contrast and saturation, then adds the shift.

    Brightness multiplies the pixels, saturation their distance from their own grey,
    contrast their distance from the mean grey: torchvision's ColorJitter but for its
    clipping to [0, 255] after each of the three, which the source above does not do
    either. Without it their order does not matter: it is random there, and none here.

    Args:
      recipe: of `draw_color`.
      drawn: of `draw_color`.
      image_HWC: [H,W,C] float32 in [0, 255], C = 3, or 1 without `lighting`; a grey
        image has no saturation to change.

    Returns:
      [H,W,C] float32; it may leave [0, 255].
    """
    if recipe.color_jitter is not None:
        brightness, contrast, saturation = drawn.factors
        grey_HW1 = image_HWC
        if image_HWC.shape[-1] == 3:
            luma_11C = np.array(_LUMA, np.float32).reshape(1, 1, -1)
            grey_HW1 = jnp.sum(image_HWC * luma_11C, axis=-1, keepdims=True)
        # A change of saturation leaves all greys, and so their mean, what they are.
        level_111 = jnp.mean(grey_HW1, keepdims=True)
        vivid_HWC = saturation * image_HWC + (1 - saturation) * grey_HW1
        contrasted_HWC = contrast * vivid_HWC + (1 - contrast) * level_111
        image_HWC = brightness * contrasted_HWC
    if recipe.lighting:
        image_HWC = image_HWC + drawn.shift.reshape(1, 1, 3)
    return image_HWC
