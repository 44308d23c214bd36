"""Feature vectors and prototypes: known clusters, limits, refused input."""

import jax
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from ddjax.errors import InputError
from ddjax.scores.features import finite_rows, prototypes, unit_rows


def test_unit_rows_hand_worked():
    found = unit_rows(np.array([[3, -4], [0, 0], [0, 2]], np.float32))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, [[0.6, -0.8], [0, 0], [0, 1]], rtol=1e-12)


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1.0, 1e200, 1e308])
def test_unit_rows_do_not_depend_on_the_scale(scale):
    rows = np.random.default_rng(0).uniform(0.1, 1.0, size=(5, 3))
    np.testing.assert_allclose(unit_rows(rows * scale), unit_rows(rows), rtol=1e-12)


def test_finite_rows_are_handed_through():
    values = np.ones((3, 2), np.float16)
    assert finite_rows("x", values, 3) is values


@pytest.mark.parametrize(
    "values, count, message",
    [
        (np.ones(3), None, r"x: shape \(3,\), expected \[N, D\], not empty"),
        (np.ones((0, 2)), None, r"x: shape \(0, 2\), expected \[N, D\], not empty"),
        (np.ones((3, 2)), 4, r"x: shape \(3, 2\), expected \[N, D\] with N = 4"),
        ([[1.0], [np.nan], [np.inf]], None, "x: 2 of 3 .* first at example 1"),
    ],
)
def test_finite_rows_refuse(values, count, message):
    with pytest.raises(InputError, match=message):
        finite_rows("x", values, count)


def clustered(seed, size=60, clusters=3, spread=0.1):
    """Directions around orthogonal axes, at random lengths, and who belongs where."""
    rng = np.random.default_rng(seed)
    member = rng.permutation(np.arange(size) % clusters)
    features = np.eye(5)[member] + spread * rng.normal(size=(size, 5))
    return features * rng.uniform(0.1, 10, (size, 1)), member


def cosine(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def test_prototypes_hand_worked():
    # Unit vectors (1, 0), (1, 0) and (0, 1): their centroid is along (2, 1).
    found = prototypes(jax.random.key(0), np.array([[3, 0], [1, 0], [0, 2]]), 1)
    assert found.dtype == np.float32
    expected = [1 - 2 / 5**0.5, 1 - 2 / 5**0.5, 1 - 1 / 5**0.5]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_prototypes_of_clear_clusters_equal_slow_reference(seed):
    features, member = clustered(seed)
    unit = [row / np.linalg.norm(row) for row in features]
    centroids = [
        sum(unit[i] for i in range(60) if member[i] == cluster) for cluster in range(3)
    ]
    expected = [1 - max(cosine(row, c) for c in centroids) for row in features]
    found = prototypes(jax.random.key(seed), features, 3)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_prototypes_of_every_example_are_no_distance():
    features, _ = clustered(0)
    np.testing.assert_allclose(
        prototypes(jax.random.key(0), features, 60), 0, atol=1e-6
    )
    copies = np.repeat(features[:2], 5, axis=0)  # two distinct examples, four clusters
    np.testing.assert_allclose(prototypes(jax.random.key(0), copies, 4), 0, atol=1e-6)


def test_prototypes_ranks_an_example_between_clusters_hardest():
    features, _ = clustered(1)
    features[7] = [1, 1, 1, 0, 0]
    assert prototypes(jax.random.key(0), features, 3).argmax() == 7


def test_prototypes_ignores_lengths_and_leaves_zero_vectors_at_one():
    features, _ = clustered(2)
    lengths = np.random.default_rng(0).uniform(0.5, 2, (60, 1))
    np.testing.assert_allclose(
        prototypes(jax.random.key(0), features * lengths, 3),
        prototypes(jax.random.key(0), features, 3),
        atol=1e-6,
    )
    features[4] = 0
    assert prototypes(jax.random.key(0), features, 3)[4] == 1


def test_prototypes_depends_on_the_key_alone():
    features, _ = clustered(3, spread=1.0)
    first, again, other = (
        prototypes(jax.random.key(seed), features, 12) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_prototypes_moves_with_the_examples():
    features, _ = clustered(4)
    order = np.random.default_rng(1).permutation(60)
    np.testing.assert_allclose(
        prototypes(jax.random.key(0), features[order], 3),
        prototypes(jax.random.key(0), features, 3)[order],
        atol=1e-6,
    )


def test_prototypes_is_the_same_for_any_number_of_threads():
    # Several of the chunks that k-means hands to its threads, and of our blocks.
    features, _ = clustered(5, size=3000, spread=1.0)
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            found.append(prototypes(jax.random.key(0), features, 20))
    np.testing.assert_allclose(*found, atol=1e-6)


def test_prototypes_refuses_bad_input():
    features, _ = clustered(0)
    key = jax.random.key(0)
    for clusters in (0, 61, 2.0):
        with pytest.raises(InputError, match=f"clusters: {clusters}, .* the 60 exa"):
            prototypes(key, features, clusters)
    for bad in (features[0], features[:0]):
        with pytest.raises(InputError, match=r"features: shape .*, expected \[N, D\]"):
            prototypes(key, bad, 1)
    features[5, 2] = np.nan
    with pytest.raises(InputError, match="features: 1 of 60 .* example 5"):
        prototypes(key, features, 3)
