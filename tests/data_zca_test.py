"""ZCA whitening: against NumPy's own covariance, kornia's formula, and back."""

import numpy as np
import pytest

from ddjax.data import zca
from ddjax.data.image_sets import whitened
from ddjax.errors import InputError

RNG = np.random.default_rng(0)
# Neighbours that correlate, as in photographs.
SMOOTH = RNG.normal(size=(300, 4, 4, 3)).cumsum(axis=1).cumsum(axis=2)
IMAGES = np.clip(40 * SMOOTH + 128, 0, 255).astype(np.uint8)


def reference(images, eps):
    """kornia's ZCAWhitening by a singular value decomposition, in float64."""
    x = images.reshape(len(images), -1) / 255
    mean = x.mean(axis=0)
    u, s, _ = np.linalg.svd((x - mean).T @ (x - mean) / (len(x) - 1))
    return mean, u @ np.diag((s + eps) ** -0.5) @ u.T


def test_whitening_is_that_of_kornia():
    mean, matrix = reference(IMAGES, 0.1)
    expected = (IMAGES.reshape(300, -1) / 255 - mean) @ matrix
    found = zca.fit(IMAGES).whiten(IMAGES)
    assert found.dtype == np.float32 and found.shape == IMAGES.shape
    np.testing.assert_allclose(found.reshape(300, -1), expected, atol=2e-6)
    # In PyTorch's order of axes it is the same.
    first = IMAGES.transpose(0, 3, 1, 2)
    mean, matrix = reference(first, 0.1)
    expected = (first.reshape(300, -1) / 255 - mean) @ matrix
    found = found.transpose(0, 3, 1, 2).reshape(300, -1)
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_two_numbers_by_hand():
    # Pixels 0 and 255 of one number: mean .5, variance .5, so (x - .5) / sqrt(.6).
    images = np.uint8([0, 255]).reshape(2, 1, 1, 1)
    found = zca.fit(images).whiten(images).ravel()
    np.testing.assert_allclose(found, np.array([-0.5, 0.5]) / 0.6**0.5, rtol=1e-6)


def test_without_eps_the_covariance_is_one():
    white = zca.fit(IMAGES, eps=1e-12).whiten(IMAGES).reshape(300, -1)
    np.testing.assert_allclose(np.cov(white.T), np.eye(48), atol=1e-3)


@pytest.mark.parametrize("relative", [False, True])
def test_pixels_come_back(relative):
    given = {"offset": (0.4, 0.5, 0.6), "scale": (0.2, 0.25, 0.3)} if relative else {}
    fitted = zca.fit(IMAGES, 0.1, relative=relative, **given)
    np.testing.assert_allclose(
        fitted.unwhiten(fitted.whiten(IMAGES)), IMAGES, atol=1e-3
    )
    images = IMAGES[:5] + np.float32(0.3)  # floats, of which none was fitted
    np.testing.assert_allclose(
        fitted.unwhiten(fitted.whiten(images)), images, atol=1e-3
    )


def test_frepos_whitening_is_of_normalised_images():
    offset, scale = np.array([0.4, 0.5, 0.6]), np.array([0.2, 0.25, 0.3])
    x = ((IMAGES / 255 - offset) / scale).reshape(300, -1)
    covariance = np.cov(x.T)
    u, s, _ = np.linalg.svd(covariance + 0.1 * np.trace(covariance) / 48 * np.eye(48))
    expected = (x - x.mean(axis=0)) @ u @ np.diag(s**-0.5) @ u.T
    found = zca.fit(IMAGES, zca.FREPO, offset, scale, relative=True).whiten(IMAGES)
    np.testing.assert_allclose(found.reshape(300, -1), expected, atol=1e-5)


def test_a_fit_has_a_digest_and_blocks_change_nothing(monkeypatch):
    first = zca.fit(IMAGES)
    assert first.digest == zca.fit(IMAGES).digest and len(first.digest) == 16
    others = [zca.fit(IMAGES[1:]), zca.fit(IMAGES, 0.2), zca.fit(IMAGES, relative=True)]
    assert len({first.digest, *(other.digest for other in others)}) == 4
    monkeypatch.setattr(zca, "_BLOCK", 7)
    blocks = zca.fit(IMAGES)
    np.testing.assert_allclose(blocks.mean, first.mean, rtol=1e-12)
    np.testing.assert_allclose(blocks.values, first.values, rtol=1e-9)


def test_what_cannot_be_whitened_is_refused():
    with pytest.raises(InputError, match="eps: found 0, allowed is a number above 0"):
        zca.fit(IMAGES, 0)
    with pytest.raises(InputError, match="images: found '1 images', allowed is at lea"):
        zca.fit(IMAGES[:1])
    with pytest.raises(InputError, match="images: found 27, allowed is 48 numbers"):
        zca.fit(IMAGES).whiten(IMAGES[:, :3, :3])


def test_a_sample_is_whitened_by_itself():
    expected = zca.fit(IMAGES).whiten(IMAGES)
    found = whitened._whitened(IMAGES / 255)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    few = zca.fit(IMAGES[:10]).whiten(IMAGES[:10])
    np.testing.assert_allclose(whitened._whitened(IMAGES[:10] / 255), few, atol=1e-5)
