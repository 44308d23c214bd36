"""One teacher vector an image: the fixed labels of the `soft` regime.

Letters: N images, C classes.
"""

from typing import Any

import jax

from ddjax.models import Network
from ddjax.train.evaluate import predict


def teacher_logits(
    network: Network, variables: Any, images: jax.Array, mean: jax.Array, std: jax.Array
) -> jax.Array:
    """Returns the teacher's logits [N,C] float32 for un-augmented images.

    Computed at the highest matrix precision, so that labels do not depend on an
    accelerator's fast path.

    Args:
      network: the teacher.
      variables: its variables.
      images: [N,H,W,K] uint8.
      mean, std: [K] float32 in [0, 1] units.
    """
    with jax.default_matmul_precision("highest"):
        return jax.jit(predict, static_argnums=0)(network, variables, images, mean, std)
