import hashlib
import json

import numpy as np
import pytest

from ddjax.data import source
from ddjax.data.images import resize
from ddjax.errors import InputError


def _arrays(num_train=12, num_test=6, shape=(4, 5, 3), num_classes=3, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(
        (
            rng.integers(0, 256, (num, *shape), dtype=np.uint8),
            np.arange(num) % num_classes,
        )
        for num in (num_train, num_test)
    )


def _source(**options):
    return source.from_arrays("toy", ("a", "b", "c"), *_arrays(**options))


def test_examples_take_keeps_each_id_with_its_image_and_label():
    examples = _source().train
    part = examples.take([7, 2]).take(np.array([1, 0, 1]))
    assert len(part) == 3
    np.testing.assert_array_equal(part.ids, [2, 7, 2])
    np.testing.assert_array_equal(part.images, examples.images[[2, 7, 2]])
    np.testing.assert_array_equal(part.labels, examples.labels[[2, 7, 2]])
    assert len(examples.take([])) == 0


def test_from_arrays_makes_ids_types_and_a_channel_axis():
    train, test = _arrays(shape=(4, 5))
    toy = source.from_arrays("toy", ["a", "b", "c"], train, test)
    assert toy.shape == (4, 5, 1)
    assert toy.num_classes == 3
    assert toy.classes == ("a", "b", "c")
    for examples, (images, labels) in ((toy.train, train), (toy.test, test)):
        np.testing.assert_array_equal(examples.images[..., 0], images)
        np.testing.assert_array_equal(examples.labels, labels)
        np.testing.assert_array_equal(examples.ids, np.arange(len(labels)))
        assert examples.images.dtype == np.uint8
        assert examples.labels.dtype == examples.ids.dtype == np.int32


def test_source_mean_and_std_hand_worked():
    # Channel 0 is half 0 and half 255, channel 1 constant, test split without effect.
    images = np.zeros((2, 1, 2, 3), np.uint8)
    images[:, :, 1, 0] = 255
    images[..., 1:] = 51
    labels = np.array([0, 1])
    toy = source.from_arrays("toy", ("a", "b"), (images, labels), (images // 2, labels))
    assert toy.mean == (0.5, 0.2, 0.2)
    assert toy.std == (0.5, 1.0, 1.0)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_source_mean_and_std_equal_numpy(seed):
    toy = _source(num_train=300, seed=seed)
    pixels = toy.train.images / 255
    np.testing.assert_allclose(toy.mean, pixels.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(toy.std, pixels.std(axis=(0, 1, 2)), rtol=1e-12)


def test_source_digest_is_sha256_of_classes_shapes_and_arrays():
    toy = _source()
    shapes = [toy.train.images.shape, toy.test.images.shape]
    content = json.dumps([["a", "b", "c"], shapes]).encode()
    for split in (toy.train, toy.test):
        content += split.images.tobytes() + split.labels.astype("<i4").tobytes()
    assert toy.digest == hashlib.sha256(content).hexdigest()


def test_source_digest_changes_with_data_and_not_with_the_name():
    (images, labels), test = _arrays()
    brighter, relabelled = images.copy(), labels.copy()
    brighter[3, 2, 1, 0] ^= 1
    relabelled[3] = 1
    classes = ("a", "b", "c")
    digests = {
        source.from_arrays("toy", classes, *splits).digest
        for splits in (
            ((images, labels), test),
            ((brighter, labels), test),
            ((images, relabelled), test),
            (test, (images, labels)),
            (
                (images.reshape(-1, 5, 4, 3), labels),
                (test[0].reshape(-1, 5, 4, 3), test[1]),
            ),
        )
    }
    digests.add(source.from_arrays("toy", ("a", "c", "b"), *_arrays()).digest)
    assert len(digests) == 6
    renamed = source.from_arrays("other", classes, (images, labels), test)
    assert renamed.digest in digests


@pytest.mark.parametrize(
    ("split", "label", "found"),
    [(0, 3, "3"), (1, -1, "-1"), (1, 2**32, "4294967296"), (0, 1.5, "1.5")],
)
def test_validate_names_the_label_out_of_range(split, label, found):
    arrays = _arrays()
    images, labels = arrays[split]
    labels = labels.astype(type(label))
    labels[4] = label
    arrays = (*arrays[:split], (images, labels), *arrays[split + 1 :])
    where = ("train", "test")[split]
    message = f"toy: {where} split has label {found} at position 4, .* of 0..2"
    with pytest.raises(InputError, match=message):
        source.from_arrays("toy", ("a", "b", "c"), *arrays)


def test_validate_refuses_nan_and_infinite_labels():
    (images, labels), test = _arrays()
    for bad in (np.nan, np.inf):
        labels = labels.astype(float)
        labels[0] = bad
        with pytest.raises(InputError, match=f"label {bad} at position 0"):
            source.from_arrays("toy", ("a", "b", "c"), (images, labels), test)


def test_from_arrays_takes_integral_float_labels():
    (images, labels), test = _arrays()
    toy = source.from_arrays("t", ("a", "b", "c"), (images, labels.astype(float)), test)
    np.testing.assert_array_equal(toy.train.labels, labels)


def test_validate_names_the_class_without_training_examples():
    (images, labels), test = _arrays()
    labels = np.where(labels == 1, 0, labels)
    with pytest.raises(InputError, match=r"toy: train split .* class 'b' \(label 1\)"):
        source.from_arrays("toy", ("a", "b", "c"), (images, labels), test)
    # Test may lack a class.
    source.from_arrays("toy", ("a", "b", "c"), test, (images, labels))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x[:0], y[:0]), "toy: test split has no images"),
        (lambda x, y: (x, y[:-1]), r"labels of shape \(5,\), must be \(6,\)"),
        (lambda x, y: (x, y[:, None]), r"labels of shape \(6, 1\), must be \(6,\)"),
        (lambda x, y: (x, y.astype(str)), "labels of dtype <U21"),
        (lambda x, y: (x, y > 0), "labels of dtype bool"),
        (lambda x, y: (x.astype(np.int16), y), "dtype int16"),
        (lambda x, y: (x[:, 0, 0], y), r"shape \(6, 3\), must be uint8"),
        (lambda x, y: (x[:, :0], y), r"shape \(6, 0, 5, 3\)"),
        (lambda x, y: (x.transpose(0, 3, 1, 2), y), "1 or 3 channels, last"),
        (lambda x, y: (x[:, 1:], y), r"train images .*\(4, 5, 3\) but test .*\(3, 5"),
        (lambda x, y: (x[..., :1], y), r"\(4, 5, 3\) but test images \(4, 5, 1\)"),
    ],
)
def test_validate_refuses_a_bad_split(change, message):
    train, test = _arrays()
    with pytest.raises(InputError, match=message):
        source.from_arrays("toy", ("a", "b", "c"), train, change(*test))


def test_validate_refuses_equal_class_names():
    with pytest.raises(InputError, match=r"toy: .*differ, found \['a', 'b', 'a'\]"):
        source.from_arrays("toy", ("a", "b", "a"), *_arrays())


def test_from_arrays_resizes_both_splits_and_digests_the_result():
    train, test = _arrays(shape=(4, 4, 3))
    small = source.from_arrays("toy", ("a", "b", "c"), train, test, image_size=2)
    assert small.shape == small.test.images.shape[1:] == (2, 2, 3)
    again = source.from_arrays(
        "toy",
        ("a", "b", "c"),
        (resize(train[0], 2), train[1]),
        (resize(test[0], 2), test[1]),
    )
    assert small.digest == again.digest
    assert small.digest != source.from_arrays("t", ("a", "b", "c"), train, test).digest
