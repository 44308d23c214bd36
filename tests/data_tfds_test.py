import io
import sys

import numpy as np
import pytest
import tensorflow_datasets
from PIL import Image

from ddjax.data import fashion_mnist, tfds
from ddjax.data.images import decode, resize
from ddjax.errors import InputError

features = tensorflow_datasets.features
tensorflow_datasets.disable_progress_bar()


def _encode(image, file_format):
    file = io.BytesIO()
    pixels = image[..., 0] if image.shape[-1] == 1 else image
    Image.fromarray(pixels).save(file, file_format, quality=90)
    file.seek(0)
    return file


def _image(number, size=6, channels=3):
    rng = np.random.default_rng(number)
    image = rng.integers(0, 256, (size, size, channels), dtype=np.uint8)
    image[0, 0] = number  # tells which one it is after TFDS has shuffled
    return image


def _prepare(
    folder,
    dataset="tiny_shapes",
    sizes=(("train", 12), ("test", 6)),
    shape=(6, 6, 3),
    size_of=lambda number: 6,
    label_of=lambda number: number % 3,
    classes=("circle", "square", "star"),
    file_format="PNG",
    extra=None,
    keys=("image", "label"),
):
    """Let TFDS itself write a dataset as ArrayRecord, without TensorFlow."""

    def generate(start, stop):
        for number in range(start, stop):
            image = _image(number, size_of(number), shape[-1])
            yield (
                number,
                {
                    "image": _encode(image, file_format),
                    "label": label_of(number),
                    "number": str(number),
                },
            )

    core = tensorflow_datasets.core

    class Builder(core.GeneratorBasedBuilder, skip_registration=True):
        name = dataset
        VERSION = core.Version("1.0.0")

        def _info(self):
            columns = {
                "image": features.Image(shape=shape),
                "label": features.ClassLabel(names=list(classes)),
                "number": features.Text(),
            }
            return core.DatasetInfo(
                builder=self,
                features=features.FeaturesDict(columns | (extra or {})),
                supervised_keys=keys,
            )

        def _split_generators(self, _):
            starts = np.cumsum([0] + [num for _, num in sizes]).tolist()
            return {
                split: generate(start, start + num)
                for (split, num), start in zip(sizes, starts, strict=False)
            }

        def _generate_examples(self):
            raise AssertionError("the generators are made in _split_generators")

    builder = Builder(data_dir=folder, file_format="array_record")
    builder.download_and_prepare()
    return builder


def _numbers(examples):
    return examples.images[:, 0, 0, 0]


def test_load_reads_every_image_label_and_class_name(tmp_path):
    _prepare(tmp_path)
    loaded = tfds.load("tiny_shapes", str(tmp_path))
    assert loaded.name == "tfds:tiny_shapes"
    assert loaded.classes == ("circle", "square", "star")
    assert loaded.shape == (6, 6, 3)
    for examples, numbers in (
        (loaded.train, range(12)),
        (loaded.test, range(12, 18)),
    ):
        assert sorted(_numbers(examples)) == list(numbers)
        expected = [_image(number) for number in _numbers(examples)]
        np.testing.assert_array_equal(examples.images, expected)
        np.testing.assert_array_equal(examples.labels, _numbers(examples) % 3)
        np.testing.assert_array_equal(examples.ids, np.arange(len(numbers)))
    assert "tensorflow" not in sys.modules


def test_load_gives_the_order_of_the_data_source_again_after_preparing_again(tmp_path):
    orders = []
    for folder in (tmp_path / "once", tmp_path / "again"):
        records = _prepare(folder).as_data_source("train")
        loaded = tfds.load("tiny_shapes:1.0.0", str(folder))
        orders.append(_numbers(loaded.train).tolist())
        assert orders[-1] == [int(record["number"]) for record in records]
    assert orders[0] == orders[1] != sorted(orders[0])


def test_load_finds_the_folder_in_the_environment(tmp_path, monkeypatch):
    _prepare(tmp_path)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert len(tfds.load("tiny_shapes").train) == 12


def test_load_decodes_grey_and_jpeg(tmp_path):
    _prepare(tmp_path, "grey", shape=(6, 6, 1))
    grey = tfds.load("grey", str(tmp_path))
    assert grey.shape == (6, 6, 1)
    np.testing.assert_array_equal(
        grey.train.images[4], _image(_numbers(grey.train)[4], channels=1)
    )
    _prepare(tmp_path, "jpeg", file_format="JPEG", keys=None)
    jpeg = tfds.load("jpeg", str(tmp_path))
    assert jpeg.shape == (6, 6, 3)
    decoded = [decode(_encode(_image(number), "JPEG"), 3, "") for number in range(12)]
    found = sorted(image.tobytes() for image in jpeg.train.images)
    assert found == sorted(image.tobytes() for image in decoded)


def test_load_resizes_images_of_different_sizes_and_requires_image_size(tmp_path):
    _prepare(tmp_path, shape=(None, None, 3), size_of=lambda number: 4 + number % 2)
    message = r"split train, example \d+: shape \(., ., 3\), .*; image_size=PIXELS"
    with pytest.raises(InputError, match=message):
        tfds.load("tiny_shapes", str(tmp_path))
    loaded = tfds.load("tiny_shapes", str(tmp_path), image_size=8)
    assert loaded.shape == loaded.test.images.shape[1:] == (8, 8, 3)
    images = {}
    for number in range(12):
        image = resize(_image(number, 4 + number % 2)[None], 8)
        images[image.tobytes()] = number
    numbers = [images[image.tobytes()] for image in loaded.train.images]
    np.testing.assert_array_equal(np.array(numbers) % 3, loaded.train.labels)


def test_load_tests_on_validation_without_a_labelled_test_split(tmp_path):
    _prepare(tmp_path, "untested", sizes=(("train", 12), ("validation", 6)))
    assert len(tfds.load("untested", str(tmp_path)).test) == 6
    _prepare(
        tmp_path,
        "unlabelled",
        sizes=(("train", 12), ("validation", 3), ("test", 6)),
        label_of=lambda number: number % 3 if number < 15 else -1,
    )
    loaded = tfds.load("unlabelled", str(tmp_path))
    assert sorted(_numbers(loaded.test)) == [12, 13, 14]
    _prepare(tmp_path, "both", sizes=(("train", 9), ("validation", 3), ("test", 6)))
    assert len(tfds.load("both", str(tmp_path)).test) == 6


def test_load_refuses_missing_splits_and_labels(tmp_path):
    _prepare(tmp_path, "no_test", sizes=(("train", 12),))
    message = "must have examples in 'train' and in 'test' or 'valid.*{'train': 12}"
    with pytest.raises(InputError, match=message):
        tfds.load("no_test", str(tmp_path))
    _prepare(tmp_path, "no_labels", label_of=lambda number: -1)
    with pytest.raises(InputError, match="tfds:no_labels: train split has label -1"):
        tfds.load("no_labels", str(tmp_path))


@pytest.mark.parametrize(
    ("extra", "keys"),
    [
        ({"label": features.Text()}, ("image", "label")),
        ({"image": features.Text()}, None),
        ({"image": features.Image(shape=(6, 6, 1), dtype=np.uint16)}, None),
        (None, ("image", "number")),
        (None, ("image", "label", "number")),
    ],
)
def test_keys_refuses_what_is_not_image_classification(tmp_path, extra, keys):
    class Info:
        supervised_keys = keys

    Info.features = features.FeaturesDict(
        {
            "image": features.Image(shape=(6, 6, 3)),
            "label": features.ClassLabel(num_classes=2),
            "number": features.Text(),
        }
        | (extra or {})
    )
    with pytest.raises(InputError, match="^tfds:x: .* uint8 image and a class label, "):
        tfds._keys("tfds:x", Info)


@pytest.mark.parametrize("name", ["cifar10", "tiny_shapes:2.0.0", "tiny_shapes/big"])
def test_load_names_the_folder_and_how_to_prepare(tmp_path, name):
    _prepare(tmp_path)
    with pytest.raises(InputError) as error:
        tfds.load(name, str(tmp_path))
    message = str(error.value)
    assert f"tfds:{name} is not there as ArrayRecord in {tmp_path}" in message
    assert "ddjax does not download" in message
    assert f"tfds.builder({name!r}" in message and "'array_record'" in message
    assert "\n" not in message


def test_load_refuses_other_formats_malformed_names_and_broken_metadata(tmp_path):
    builder = _prepare(tmp_path)
    with pytest.raises(InputError, match="Parsing builder name string"):
        tfds.load("tiny shapes!", str(tmp_path))
    info = builder.data_path / "dataset_info.json"
    text = info.read_text()
    info.write_text(text.replace("array_record", "tfrecord"))
    with pytest.raises(InputError, match=r"array_record does not match .*\['tfrecord'"):
        tfds.load("tiny_shapes", str(tmp_path))
    info.write_text(text[:60])
    with pytest.raises(InputError, match="Failed to load JSON"):
        tfds.load("tiny_shapes", str(tmp_path))


def test_load_refuses_truncated_and_missing_shards(tmp_path):
    builder = _prepare(tmp_path)
    (shard,) = builder.data_path.glob("*-train.array_record-*")
    message = f"tfds:tiny_shapes: {builder.data_path} has a missing or damaged shard"
    shard.write_bytes(shard.read_bytes()[:-1000])
    with pytest.raises(InputError, match=message):
        tfds.load("tiny_shapes", str(tmp_path))
    shard.unlink()
    with pytest.raises(InputError, match=message):
        tfds.load("tiny_shapes", str(tmp_path))


def test_fashion_mnist_load_falls_back_to_tfds(tmp_path, monkeypatch):
    monkeypatch.setattr(fashion_mnist, "DEBIAN_FOLDER", str(tmp_path / "no package"))
    _prepare(
        tmp_path,
        "fashion_mnist",
        shape=(6, 6, 1),
        classes=fashion_mnist.CLASSES,
        label_of=lambda number: number % 10,
    )
    loaded = fashion_mnist.load("", str(tmp_path), image_size=3)
    assert loaded.name == "fashion_mnist"
    assert loaded.classes == fashion_mnist.CLASSES
    assert loaded.shape == (3, 3, 1)
    assert loaded.digest == tfds.load("fashion_mnist", str(tmp_path), 3).digest
