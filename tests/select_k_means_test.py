"""K-means medoids: plain clusters, and against scikit-learn's centres."""

import numpy as np
import pytest
from sklearn.cluster import KMeans

from ddjax import keys, select
from ddjax.errors import InputError
from ddjax.select.budget import bits


def test_every_cluster_that_is_plain_to_see_has_its_middle():
    generator = np.random.default_rng(0)
    centres = np.array([[0, 0], [50, 0], [0, 50], [50, 50]])
    around = np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])
    points = (centres[:, None] + around).reshape(-1, 2).astype(float)
    middles = np.arange(0, 20, 5)
    for seed in range(5):
        order = generator.permutation(20)
        features = np.concatenate([points[order], points[order] + 7])
        labels = np.repeat([0, 1], 20)
        ids = select.k_means(keys.key(seed), features, labels, 4)
        assert ids.dtype == np.int32
        first, second = order[ids[:4]], order[ids[4:] - 20]
        np.testing.assert_array_equal(np.sort(first), middles)
        np.testing.assert_array_equal(np.sort(second), middles)


def test_medoids_are_nearest_to_centres():
    generator = np.random.default_rng(1)
    features, labels = generator.normal(size=(60, 3)), np.zeros(60, int)
    ids = select.k_means(keys.key(3), features, labels, 5)
    seed = int(bits(keys.key(3), (1,))[0])
    centres = KMeans(5, n_init=1, random_state=seed).fit(features).cluster_centers_
    apart = np.linalg.norm(features[:, None] - centres, axis=2)
    np.testing.assert_array_equal(ids, np.sort(apart.argmin(0)))


def test_draws_differ_and_come_again():
    features = np.random.default_rng(2).normal(size=(80, 4))
    labels = np.zeros(80, int)
    found = [select.k_means(keys.key(seed), features, labels, 6) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(found[0], found[1])
    assert set(found[0]) != set(found[2])


@pytest.mark.parametrize("features", [np.zeros((12, 2)), np.eye(12)])
def test_copies_and_whole_classes_are_distinct_examples(features):
    labels = np.arange(12) % 2
    for count in (3, 6):
        ids = select.k_means(keys.key(0), features, labels, count)
        assert len(set(ids)) == 2 * count
        np.testing.assert_array_equal(np.bincount(labels[ids]), [count, count])


def test_bad_input_is_refused():
    features, labels = np.eye(6), np.zeros(6, int)
    with pytest.raises(InputError, match="per_class: 7"):
        select.k_means(keys.key(0), features, labels, 7)
    with pytest.raises(InputError, match="features"):
        select.k_means(keys.key(0), features * np.nan, labels, 2)
