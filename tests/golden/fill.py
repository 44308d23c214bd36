"""Weights and images that any side can make by itself, seeded by what they are for.

Should NumPy ever change its streams of random numbers, the files have to be made anew.
"""

import math
import zlib

import numpy as np

from .cases import BATCH, CLASSES, Case


def fill(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """Draws a tensor of a PyTorch network.

    Args:
      key: its key in the `state_dict`, which seeds the draw.
      shape: its shape in PyTorch.

    Returns:
      float32; int64 for the number of batches that batch norm has seen. Variances are
      in 0.5 .. 1.5, as are the gains of norms; kernels keep activations of order one.
    """
    generator = np.random.default_rng(zlib.crc32(key.encode()))
    last = key.rpartition(".")[2]
    if last == "num_batches_tracked":
        return np.full(shape, 3)
    if last == "logit_scale":
        # On both sides of log(100), where Swin clamps it.
        return generator.uniform(-1, 5, shape).astype(np.float32)
    if key.endswith(("bn2.weight", "bn3.weight")):
        # One of them ends a residual block. Were it as strong as the shortcut, each
        # block would magnify rounding.
        return generator.uniform(0.1, 0.3, shape).astype(np.float32)
    if last == "running_var" or (last == "weight" and len(shape) == 1):
        return generator.uniform(0.5, 1.5, shape).astype(np.float32)
    if ".conv." in key and last == "bias":
        # In MobileNet's blocks channels that ReLU6 leaves hardly a number of would go
        # through another norm, which magnifies them.
        return generator.uniform(0.3, 0.7, shape).astype(np.float32)
    kernel = last.endswith("weight")
    scale = math.sqrt(2 / math.prod(shape[1:])) if kernel else 0.1
    return generator.standard_normal(shape, np.float32) * np.float32(scale)


def filled(key: str) -> bool:
    """Whether a tensor is drawn; the others are constants of Swin."""
    return not key.endswith(("relative_coords_table", "relative_position_index"))


def images(case: Case) -> np.ndarray:
    """Returns noise, half of it in 4x4 squares, [B, H, W, C] float32 of variance 1."""
    generator = np.random.default_rng(zlib.crc32(str(case).encode()))
    shape = (BATCH, case.size, case.size, case.channels)
    square = case.size // 4
    # Fine noise alone would look the same in all images once it is pooled.
    coarse = generator.standard_normal((BATCH, 4, 4, case.channels), np.float32)
    coarse = coarse.repeat(square, axis=1).repeat(square, axis=2)
    return (coarse + generator.standard_normal(shape, np.float32)) / np.float32(
        np.sqrt(2)
    )


def labels() -> np.ndarray:
    """Returns the classes [B] int64 of the images."""
    return np.arange(BATCH) % CLASSES
