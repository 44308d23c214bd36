import numpy as np
import pytest

from ddjax.data import source, split
from ddjax.errors import InputError


def _examples(counts, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    ids = np.sort(rng.choice(10 * len(labels), len(labels), replace=False))
    images = rng.integers(0, 256, (len(labels), 1, 1, 1), dtype=np.uint8)
    return source.Examples(images, labels.astype(np.int32), ids.astype(np.int32))


def _mix(word):
    """One value of the hash's mixer, in Python's unbounded integers."""
    mask = 2**64 - 1
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & mask
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & mask
    return word ^ (word >> 31)


def _hash(example_id, seed, purpose):
    state = _mix(seed % 2**64)
    state = _mix(state ^ int.from_bytes(purpose.encode()[:8], "little"))
    return _mix((state + example_id * 0x9E3779B97F4A7C15) % 2**64)


def _assert_part(part, examples):
    """`part` is a subset in ascending order with everything in its place."""
    assert (np.diff(part.ids) > 0).all()
    positions = np.searchsorted(examples.ids, part.ids)
    np.testing.assert_array_equal(part.ids, examples.ids[positions])
    np.testing.assert_array_equal(part.labels, examples.labels[positions])
    np.testing.assert_array_equal(part.images, examples.images[positions])


@pytest.mark.parametrize(
    ("counts", "fraction", "given"),
    [
        ([10, 20, 5], 0.1, [1, 2, 1]),  # 0.5 rounds to 0, raised to 1
        ([16, 14, 7], 0.1, [2, 1, 1]),  # 1.6, 1.4 and 0.7 to the nearest
        ([10, 20, 5], 0.5, [5, 10, 2]),  # 2.5 rounds to 2
        ([10, 2, 7], 0.99, [9, 1, 6]),  # one stays in train
        ([10, 1, 7], 0, [0, 0, 0]),
    ],
)
def test_split_validation_takes_the_documented_number_of_each_class(
    counts, fraction, given
):
    examples = _examples(counts)
    train, validation = split.split_validation(examples, fraction, seed=3)
    num = len(counts)
    np.testing.assert_array_equal(np.bincount(validation.labels, minlength=num), given)
    np.testing.assert_array_equal(
        np.bincount(train.labels, minlength=num), np.subtract(counts, given)
    )


@pytest.mark.parametrize("seed", [0, 1, -5, 2**70])
def test_split_validation_parts_are_disjoint_and_complete(seed):
    examples = _examples([30, 40, 50])
    train, validation = split.split_validation(examples, 0.2, seed)
    _assert_part(train, examples)
    _assert_part(validation, examples)
    np.testing.assert_array_equal(
        np.sort(np.concatenate([train.ids, validation.ids])), examples.ids
    )


def test_split_validation_depends_on_seed_alone():
    examples = _examples([30, 40, 50])
    once, again, other = (
        split.split_validation(examples, 0.3, seed)[1].ids for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(once, again)
    assert not np.array_equal(once, other)


@pytest.mark.parametrize("seed", [0, 7, -1])
def test_split_validation_takes_the_first_of_each_class_by_hash(seed):
    examples = _examples([25, 35], seed=1)
    _, validation = split.split_validation(examples, 0.4, seed)
    for label, quota in ((0, 10), (1, 14)):
        ids = examples.ids[examples.labels == label].tolist()
        first = sorted(ids, key=lambda i: _hash(i, seed, "validation"))[:quota]
        found = validation.ids[validation.labels == label]
        np.testing.assert_array_equal(found, sorted(first))


def test_split_validation_does_not_depend_on_the_order_or_on_other_classes():
    examples = _examples([30, 40])
    _, validation = split.split_validation(examples, 0.2, 0)
    backwards = examples.take(np.arange(70)[::-1])
    _, same = split.split_validation(backwards, 0.2, 0)
    np.testing.assert_array_equal(same.ids, validation.ids[::-1])
    alone = examples.take(np.flatnonzero(examples.labels == 1))
    _, part = split.split_validation(alone, 0.2, 0)
    np.testing.assert_array_equal(part.ids, validation.ids[validation.labels == 1])


def test_split_validation_takes_every_example_equally_often():
    ids = np.arange(50, dtype=np.int32)
    examples = source.Examples(np.zeros((50, 1, 1, 1), np.uint8), ids % 2, ids)
    counts = np.zeros(50)
    for seed in range(400):
        counts[split.split_validation(examples, 0.2, seed)[1].ids] += 1
    # 80 expected; the standard deviation of a binomial count is 8.
    assert counts.sum() == 400 * 10
    assert counts.min() > 80 - 4 * 8 and counts.max() < 80 + 4 * 8


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 2, float("nan")])
def test_split_validation_refuses_a_fraction_out_of_range(fraction):
    with pytest.raises(InputError, match=rf"must be in \[0, 1\), found {fraction}"):
        split.split_validation(_examples([5, 5]), fraction, 0)


def test_split_validation_refuses_a_class_of_one():
    with pytest.raises(InputError, match="label 1 has a single example"):
        split.split_validation(_examples([5, 1, 4]), 0.1, 0)


def test_mix_gives_the_first_number_of_splitmix64():
    word = np.array([0x9E3779B97F4A7C15], np.uint64)
    assert int(split._mix(word)[0]) == 0xE220A8397B1DCDAF


@pytest.mark.parametrize(
    ("counts", "size", "kept"),
    [
        ([50, 30, 20], 10, [5, 3, 2]),
        ([50, 30, 20], 11, [6, 3, 2]),  # remainders 0.5, 0.3, 0.2
        ([34, 33, 33], 10, [4, 3, 3]),  # 3.4, 3.3, 3.3
        ([10, 10, 10], 8, [3, 3, 2]),  # 2.67 each: ties to the lower label
        ([96, 2, 2], 10, [8, 1, 1]),  # 9.6, 0.2, 0.2: none disappears
        ([95, 5], 10, [9, 1]),  # 9.5, 0.5: the one it gets is its share of the rest
        ([26, 26, 8], 6, [3, 2, 1]),  # 2.6, 2.6, 0.8: the last has its share
        ([97, 1, 1, 1], 4, [1, 1, 1, 1]),
        ([3, 4], 7, [3, 4]),
        ([3, 4], 100, [3, 4]),
    ],
)
def test_thin_keeps_proportions_by_largest_remainders(counts, size, kept):
    examples = _examples(counts)
    part = split.thin(examples, size, seed=5)
    _assert_part(part, examples)
    np.testing.assert_array_equal(np.bincount(part.labels), kept)


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_thin_is_within_one_of_the_exact_share(seed):
    rng = np.random.default_rng(seed)
    counts = rng.integers(40, 90, 8)
    size = int(rng.integers(100, counts.sum()))
    part = split.thin(_examples(counts, seed), size, seed)
    assert len(part) == size
    shares = counts * size / counts.sum()
    assert (np.abs(np.bincount(part.labels) - shares) < 1).all()


def test_thin_skips_labels_that_do_not_occur():
    examples = _examples([20, 0, 40])
    np.testing.assert_array_equal(
        np.bincount(split.thin(examples, 6, 0).labels), [2, 0, 4]
    )


def test_thin_takes_the_first_of_each_class_by_hash():
    examples = _examples([25, 25])
    part = split.thin(examples, 12, seed=9)
    for label in (0, 1):
        ids = examples.ids[examples.labels == label].tolist()
        first = sorted(ids, key=lambda i: _hash(i, 9, "thin"))[:6]
        np.testing.assert_array_equal(part.ids[part.labels == label], sorted(first))


def test_thin_refuses_fewer_examples_than_classes():
    with pytest.raises(InputError, match="size must be at least 3, .* found 2"):
        split.thin(_examples([5, 5, 5]), 2, 0)


@pytest.mark.parametrize(
    ("count", "aside"), [(1, 0), (2, 1), (3, 1), (7, 1), (8, 2), (10, 2), (501, 100)]
)
def test_set_aside_takes_a_fifth_of_each_class(count, aside):
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1], [count, 20]))
    chosen = split.set_aside(labels)
    assert np.bincount(labels[chosen], minlength=2).tolist() == [aside, 4]


def test_set_aside_follows_the_keys():
    labels = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    keys = np.array([5, 1, 7, 8, 9, 4, 3, 2**64 - 1, 6, 0], np.uint64)
    chosen = split.set_aside(labels, keys)
    assert np.flatnonzero(chosen).tolist() == [1, 9]


def test_set_aside_has_nothing_to_do_with_validation():
    labels = np.zeros(200, np.int32)
    aside = np.flatnonzero(split.set_aside(labels))
    examples = source.Examples(labels, labels, np.arange(200))
    _, validation = split.split_validation(examples, 0.2, 0)
    assert len(np.intersect1d(aside, validation.ids)) < 20
