import numpy as np
import pytest

from ddjax.data import digits
from ddjax.errors import InputError

_DIGEST = "2e6a4a09a2ed883d4eacc9188c6d5240a402eb291be408b5175baaf1a70993c3"


@pytest.fixture(scope="module")
def loaded():
    return digits.load("")


def test_load_has_the_known_counts_and_digest(loaded):
    assert (len(loaded.train), len(loaded.test)) == (1442, 355)
    assert loaded.shape == (8, 8, 1)
    assert loaded.classes == tuple("0123456789")
    assert loaded.train.images.max() == 255
    # If this fails, ids no longer mean the images they meant: artifacts are stale.
    assert loaded.digest == _DIGEST


def test_load_splits_as_documented_and_scales_as_scikit_learn_has_it(loaded):
    from sklearn.datasets import load_digits

    original = load_digits()
    seen, train, test = [0] * 10, [], []
    for position, label in enumerate(original.target):
        seen[label] += 1
        (test if seen[label] % 5 == 0 else train).append(position)
    for examples, positions in ((loaded.train, train), (loaded.test, test)):
        scaled = np.array([round(value * 255 / 16) for value in range(17)])
        images = scaled[original.images[positions].astype(int)]
        np.testing.assert_array_equal(examples.images[..., 0], images)
        np.testing.assert_array_equal(examples.labels, original.target[positions])
        np.testing.assert_array_equal(examples.ids, np.arange(len(positions)))


def test_load_is_stratified(loaded):
    counts = np.stack(
        [np.bincount(split.labels) for split in (loaded.train, loaded.test)]
    )
    np.testing.assert_array_equal(counts[1], counts.sum(axis=0) // 5)


def test_load_resizes():
    small = digits.load("", image_size=4)
    assert small.shape == small.test.images.shape[1:] == (4, 4, 1)


def test_load_says_when_scikit_learn_is_missing(monkeypatch):
    monkeypatch.setattr(digits.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="digits: needs the package scikit-learn"):
        digits.load("")
