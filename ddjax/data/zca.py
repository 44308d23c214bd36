"""ZCA whitening of images, in which trajectories and kernels are often matched.

Letters: N images, H W K height, width and channels, D = H * W * K numbers of an image.
"""

import dataclasses
import hashlib
from typing import Any

import numpy as np

from ddjax import memory
from ddjax.declare.walk import require

KORNIA = 0.1  # added to each eigenvalue by MTT, TESLA, DATM
FREPO = 0.1  # FRePo's, in units of the eigenvalues' mean
_BLOCK = 4096  # images at a time


@dataclasses.dataclass(frozen=True, eq=False)
class Zca:
    """A whitening that was fitted to images.

    A whitened image is (x - mean) W, with W = U (S + eps)^(-1/2) U^T, where x are the
    image's D numbers in [0, 1], or those after `offset` and `scale`, and U S U^T is the
    images' covariance. It does not depend on the order of the D numbers.

    Attributes:
      offset, scale: [K] float64, by which numbers are normalised first; 0 and 1: not.
      mean: [D] float64.
      vectors: U, [D,D] float64, a column for each eigenvector.
      values: S + eps, [D] float64, positive.
      digest: of the images and of what the fit was given, in 16 hexadecimal digits.
    """

    offset: np.ndarray
    scale: np.ndarray
    mean: np.ndarray
    vectors: np.ndarray
    values: np.ndarray
    digest: str

    def whiten(self, images: Any) -> np.ndarray:
        """Returns images in the whitened space.

        Args:
          images: [N,H,W,K] numbers on the scale 0..255.

        Returns:
          [N,H,W,K] float32.

        Raises:
          InputError: images have another number of values than those of the fit.
        """
        values = (np.asarray(images) / 255 - self.offset) / self.scale
        whitened_ND = self._mapped(self._flat(values) - self.mean, -0.5)
        return whitened_ND.reshape(np.shape(images)).astype(np.float32)

    def unwhiten(self, whitened: Any) -> np.ndarray:
        """Returns whitened images on the scale of pixels, the inverse of `whiten`.

        Args:
          whitened: [N,H,W,K] numbers in the whitened space.

        Returns:
          [N,H,W,K] float32 on the scale 0..255, which may lie outside of it.

        Raises:
          InputError: as `whiten`.
        """
        values_ND = self._mapped(self._flat(np.asarray(whitened, np.float64)), 0.5)
        values = (values_ND + self.mean).reshape(np.shape(whitened))
        return ((values * self.scale + self.offset) * 255).astype(np.float32)

    def _flat(self, values):
        values_ND, size = _flat(values), len(self.mean)
        found = values_ND.shape[1]
        require(found == size, "images", found, f"{size} numbers")
        return values_ND

    def _mapped(self, values_ND, power):
        matrix_DD = (self.vectors * self.values**power) @ self.vectors.T
        return values_ND @ matrix_DD


def fit(
    images: Any,
    eps: float = KORNIA,
    offset: Any = None,
    scale: Any = None,
    relative: bool = False,
) -> Zca:
    """Fits the whitening to training images.

    Args:
      images: [N,H,W,K] uint8 or numbers on the scale 0..255, N at least 2: an array, or
        what gives arrays where it is sliced.
      eps: added to each eigenvalue of the covariance; positive.
      offset, scale: [K] in [0, 1] units, by which images are normalised first; None:
        they are whitened as they are, in [0, 1].
      relative: `eps` is in units of the eigenvalues' mean.

    Returns:
      The whitening.

    Raises:
      InputError: an argument is out of range, or the D x D numbers, 28 bytes each, do
        not fit into half of the host's memory.

    Source: kornia's ZCAWhitening (kornia/enhance/zca.py, unbiased covariance,
    (S + eps)^(-1/2)), which MTT (utils.py: eps .1, images in [0, 1]), TESLA and DATM
    use in float32; and yongchao97/FRePo (lib/dataset/ops.py: normalised images, eps of
    .1 times the trace divided by D; its covariance divides by N, ours by N - 1, and
    with fewer images than D it leaves directions without variance as they are).
    Eigenvectors are those of a float64 `eigh` instead of a float32 `svd`.
    """
    count, channels = len(images), images.shape[-1]
    require(eps > 0, "eps", eps, "a number above 0")
    require(count > 1, "images", f"{count} images", "at least 2")
    size = int(np.prod(images.shape[1:]))
    memory.check(
        28 * size**2, f"images: whitening {size} numbers", "use smaller images"
    )
    offset = np.zeros(channels) if offset is None else np.asarray(offset, np.float64)
    scale = np.ones(channels) if scale is None else np.asarray(scale, np.float64)
    given = np.concatenate([[eps, relative], offset, scale])
    digest = hashlib.sha256(repr(given.tolist()).encode())
    total_D, squares_DD = np.zeros(size), np.zeros((size, size))
    # About the numbers' own middle, so that little is lost in the difference below.
    middle = (0.5 - offset) / scale
    for start in range(0, count, _BLOCK):
        block = np.asarray(images[start : start + _BLOCK])
        digest.update(f"{block.dtype}{block.shape}".encode())
        digest.update(np.ascontiguousarray(block).data)
        values_ND = _flat((block / 255.0 - offset) / scale - middle)
        total_D += values_ND.sum(axis=0)
        squares_DD += values_ND.T @ values_ND
    mean = total_D / count
    covariance = (squares_DD - count * np.outer(mean, mean)) / (count - 1)
    values, vectors = np.linalg.eigh(covariance)
    values = np.maximum(values, 0)
    values += eps * values.mean() if relative else eps
    pixels = size // channels
    mean += np.tile(middle, pixels)
    return Zca(offset, scale, mean, vectors, values, digest.hexdigest()[:16])


def _flat(values):
    return values.reshape(len(values), -1)
