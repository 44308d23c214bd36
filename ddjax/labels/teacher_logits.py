"""What a teacher says about images without augmentation.

Letters: N images, C classes, H W K image height, width and channels.
"""

from typing import Any

import numpy as np

from ddjax.models import Network
from ddjax.train.evaluate import represent


def teacher_logits(
    network: Network, variables: Any, images: Any, mean: np.ndarray, std: np.ndarray
) -> np.ndarray:
    """Returns the teacher's logits [N,C] float32 for un-augmented images.

    Args:
      network: the teacher.
      variables: its variables.
      images: [N,H,W,K] uint8, an array or a stream.
      mean, std: [K] float32 in [0, 1] units.
    """
    return represent(network, variables, images, mean, std)[0]
