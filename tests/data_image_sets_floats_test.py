"""Image sets with floats, learned labels and rates, in the files of others and ours."""

import numpy as np
import pytest

from ddjax import data
from ddjax.data.image_sets import read_image_set
from ddjax.errors import InputError

RNG = np.random.default_rng(0)
CLASSES = ("cat", "dog")
REAL = RNG.integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
LABELS = np.array([0, 0, 1, 1])


@pytest.fixture(scope="module")
def source():
    split = REAL, np.arange(20) % 2
    return data.from_arrays("own", CLASSES, split, split)


def read(path, source=None):
    return read_image_set(path, CLASSES, (8, 8, 3), None, None, source=source)


FLOATS = (REAL[:4] + RNG.normal(0, 40, REAL[:4].shape)).astype(np.float32)
SOFT = np.float32([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.0, 1.0]])


def test_floats_are_written_and_read_as_they_are(tmp_path, source):
    order = np.array([2, 0, 3, 1])  # of another order than the classes
    images, labels, soft = FLOATS[order], LABELS[order], SOFT[order]
    same = np.array([1, 3, 0, 2])
    more = {"soft_labels": soft, "learning_rate": 0.03}
    moments = {"mean": source.mean, "std": source.std}
    write = data.write_image_set
    write(images, labels, CLASSES, tmp_path / "a.npz", "npz", **more)
    found = read(tmp_path / "a.npz")
    np.testing.assert_array_equal(found.images, images[same])
    np.testing.assert_allclose(found.soft_labels, soft[same], rtol=1e-6)
    assert found.learning_rate == 0.03

    write(images, labels, CLASSES, tmp_path / "dc.pt", "dc", **moments)
    found = read(tmp_path / "dc.pt", source)
    np.testing.assert_allclose(found.images, images[same], atol=1e-3)
    write(images, labels, CLASSES, tmp_path / "mtt", "mtt", **moments, **more)
    found = read(tmp_path / "mtt", source)
    np.testing.assert_allclose(found.images, images[same], atol=1e-3)
    np.testing.assert_allclose(found.soft_labels, soft[same], atol=1e-6)
    assert found.learning_rate == pytest.approx(0.03)

    write(images, labels, CLASSES, tmp_path / "png")
    found = read(tmp_path / "png")
    expected = np.rint(images[same]).clip(0, 255)
    np.testing.assert_array_equal(found.images, expected)


def test_levels_stay_levels_in_files_of_normalised_floats(tmp_path, source):
    for format, name in (("dc", "dc.pt"), ("mtt", "mtt")):
        data.write_image_set(
            REAL[:4], LABELS, CLASSES, tmp_path / name, format, source.mean, source.std
        )
        found = read(tmp_path / name, source)
        np.testing.assert_array_equal(found.images, REAL[:4])
        assert found.images.dtype == np.uint8


def test_what_rounding_costs():
    images = np.float32([10.0, 10.25, 10.5, -2.0, 256.5, 255.25]).reshape(1, 2, 3, 1)
    found = data.rounding(images)  # by hand: 0, .25, .5, 2, 1.5, .25
    assert found == data.Rounding(2.0, 4.5 / 6, 2 / 6)
    assert data.rounding(REAL) == data.Rounding(0.0, 0.0, 0.0)


GIVEN = {"images": FLOATS, "labels": LABELS, "classes": CLASSES}


@pytest.mark.parametrize(
    "format, changes, message",
    [
        ("dc", {}, "mean: found None, dc allows 3 numbers"),
        (
            "dc",
            {"mean": (0.5,) * 3, "std": (0.5,) * 2},
            "std: .* 3 finite numbers",
        ),
        ("mtt", {"mean": (0.5,) * 3, "std": (0, 1, 1)}, "std: .* above 0"),
        ("npz", {"mean": (0.5,) * 3}, "mean: found .* npz allows None"),
        ("png", {"soft_labels": SOFT}, "soft_labels: was given, png does not have it"),
        ("npz", {"soft_labels": SOFT[:, :1]}, r"soft_labels: found shape \[4, 1\]"),
        ("npz", {"soft_labels": SOFT / 2}, "rows that do not sum to 1"),
        (
            "npz",
            {"learning_rate": 0.0},
            "learning_rate: found 0.0, allowed is a nu",
        ),
        (
            "npz",
            {"images": FLOATS * np.nan},
            "images: found values that are not fin",
        ),
        ("npz", {"images": FLOATS.astype(float)}, "of float64, expected .* float32 on"),
    ],
)
def test_what_a_format_does_not_take_is_refused(tmp_path, format, changes, message):
    name = {"dc": "a.pt", "npz": "a.npz"}.get(format, "a")
    with pytest.raises(InputError, match=message):
        data.write_image_set(**GIVEN | changes, path=tmp_path / name, format=format)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_pytorch_reads_what_is_written(tmp_path, source):
    torch = pytest.importorskip("torch")
    moments = {"mean": source.mean, "std": source.std}
    data.write_image_set(**GIVEN, path=tmp_path / "a.pt", format="dc", **moments)
    images, labels = torch.load(tmp_path / "a.pt", weights_only=True)["data"][-1]
    assert labels.tolist() == LABELS.tolist() and labels.dtype == torch.int64
    expected = (FLOATS / 255 - source.mean) / source.std
    np.testing.assert_allclose(images.permute(0, 2, 3, 1).numpy(), expected, atol=1e-5)
