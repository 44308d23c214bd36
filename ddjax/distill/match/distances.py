"""What matching minimises: how far synthetic images are from real ones.

Letters: C classes, B real and I synthetic images of a class, D features, F channels.
"""

import jax
import jax.numpy as jnp


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
