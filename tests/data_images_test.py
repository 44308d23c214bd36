"""Images: decoded, resized and gathered in memory, or left in their files."""

import fractions
import io
import itertools
import pathlib
import pickle
import shutil
from concurrent import futures

import numpy as np
import pytest
from data_tfds_test import _image, _prepare
from PIL import Image

from ddjax import data
from ddjax.data import tfds
from ddjax.data.images import Streamed, decode, decode_square, gather, resize
from ddjax.errors import InputError


def _png(pixels, mode=None):
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, "PNG")
    return file.getvalue()


def test_resize_hand_worked():
    image = np.array([[0, 1, 8, 8], [1, 0, 8, 9]], np.uint8)[None, ..., None]
    # Four rows: each old row twice. Two columns: means of 0.5, 8, 0.5 and 8.5, where a
    # tie goes to the even value. One pixel: 35 / 8.
    expected = [[0, 1, 8, 8], [0, 1, 8, 8], [1, 0, 8, 9], [1, 0, 8, 9]]
    np.testing.assert_array_equal(resize(image, 4)[0, ..., 0], expected)
    np.testing.assert_array_equal(resize(image, 2)[0, ..., 0], [[0, 8], [0, 8]])
    np.testing.assert_array_equal(resize(image, 1).ravel(), [4])


def _resize_by_fractions(image_HW, size):
    """Mean over the area of each new pixel, in exact arithmetic, one at a time."""
    height, width = image_HW.shape
    result = np.zeros((size, size), np.uint8)
    for i, j in np.ndindex(size, size):
        total = fractions.Fraction(0)
        for y, x in np.ndindex(height, width):
            edges = [
                min(fractions.Fraction((k + 1) * old, size), at + 1)
                - max(fractions.Fraction(k * old, size), at)
                for k, old, at in ((i, height, y), (j, width, x))
            ]
            if min(edges) > 0:
                total += edges[0] * edges[1] * int(image_HW[y, x])
        area = fractions.Fraction(height * width, size * size)
        result[i, j] = round(total / area)
    return result


@pytest.mark.parametrize(("shape", "size"), [((5, 7), 3), ((4, 3), 6), ((3, 3), 5)])
def test_resize_equals_exact_area_means(shape, size):
    rng = np.random.default_rng(size)
    images = rng.integers(0, 256, (3, *shape, 2), dtype=np.uint8)
    resized = resize(images, size)
    assert resized.dtype == np.uint8 and resized.shape == (3, size, size, 2)
    for n, c in itertools.product(range(3), range(2)):
        expected = _resize_by_fractions(images[n, ..., c], size)
        np.testing.assert_array_equal(resized[n, ..., c], expected)


def test_resize_is_mean_pooling_where_the_size_divides():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (300, 6, 6, 1), dtype=np.uint8)
    pooled = images.reshape(300, 3, 2, 3, 2, 1).mean(axis=(2, 4))
    np.testing.assert_array_equal(resize(images, 3), np.rint(pooled))
    # More images than are handled at a time, or one by one: no difference.
    single = [resize(image[None], 3)[0] for image in images]
    np.testing.assert_array_equal(resize(images, 3), single)


def test_resize_leaves_constant_images_and_the_same_size_alone():
    white = np.full((1, 7, 5, 3), 255, np.uint8)
    np.testing.assert_array_equal(resize(white, 11), 255)
    square = np.random.default_rng(0).integers(0, 256, (2, 5, 5, 3), dtype=np.uint8)
    np.testing.assert_array_equal(resize(square, 5), square)


def test_decode_returns_the_pixels_in_the_channels_asked_for():
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (3, 4), dtype=np.uint8)
    colour = rng.integers(0, 256, (3, 4, 3), dtype=np.uint8)
    alpha = rng.integers(0, 256, (3, 4, 1), dtype=np.uint8)

    def read(pixels, num_channels):
        return decode(io.BytesIO(_png(pixels)), num_channels, "x")

    np.testing.assert_array_equal(read(grey, 1), grey[..., None])
    np.testing.assert_array_equal(read(grey, 3), np.stack([grey] * 3, axis=-1))
    np.testing.assert_array_equal(read(colour, 3), colour)
    transparent = np.concatenate([colour, alpha], axis=-1)
    np.testing.assert_array_equal(read(transparent, 3), colour)


def test_decode_refuses_damage_other_formats_and_depths():
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    good = _png(pixels)
    gif = io.BytesIO()
    Image.fromarray(pixels).save(gif, "GIF")
    deep = _png(np.full((4, 4), 40000, np.uint16))
    for bad in (good[: len(good) // 2], good[:20], b"", b"text", gif.getvalue(), deep):
        with pytest.raises(InputError, match="^cat.png: not a readable image"):
            decode(io.BytesIO(bad), 3, "cat.png")


def test_gather_keeps_the_order_of_many_images():
    images = np.arange(700 * 4).astype(np.uint8).reshape(700, 2, 2, 1)
    gathered = gather(images.__getitem__, 700, None, str)
    np.testing.assert_array_equal(gathered, images)
    small = gather(images.__getitem__, 700, 1, str)
    np.testing.assert_array_equal(small, resize(images, 1))


def test_gather_requires_image_size_for_mixed_sizes():
    images = [np.full((2 + (n == 300), 2, 1), n % 256, np.uint8) for n in range(400)]
    message = (
        r"image 300: shape \(3, 2, 1\), but image 0 has \(2, 2, 1\); image_size=PIXELS"
    )
    with pytest.raises(InputError, match=message):
        gather(images.__getitem__, 400, None, lambda n: f"image {n}")
    gathered = gather(images.__getitem__, 400, 3, str)
    np.testing.assert_array_equal(gathered[:, 1, 2, 0], np.arange(400) % 256)


def _encode(pixels, file_format="JPEG", mode=None, **options):
    file = io.BytesIO()
    image = Image.fromarray(pixels)
    image.convert(mode or image.mode).save(file, file_format, **options)
    return file.getvalue()


def _smooth(height, width, seed=0):
    """Colours that change slowly, as in a photograph, and one hard edge."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 216, (6, 6, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    pixels = np.array(image)
    pixels[height // 3 : height // 2, width // 4 : width // 2] = (250, 20, 90)
    return pixels


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize(
    ("file_format", "options"),
    [
        ("JPEG", {"quality": 90}),
        ("JPEG", {"quality": 75, "subsampling": 0}),
        ("JPEG", {"quality": 75, "progressive": True}),
        ("PNG", {}),
    ],
)
def test_decode_equals_loading_into_memory_where_the_size_fits(
    mode, file_format, options
):
    data = _encode(_smooth(48, 48), file_format, mode, **options)
    channels = 1 if mode == "L" else 3
    expected = decode(io.BytesIO(data), channels, "")
    np.testing.assert_array_equal(decode_square(data, 48, channels, ""), expected)


@pytest.mark.parametrize("shape", [(375, 500), (500, 375), (231, 260), (60, 100)])
def test_decode_is_close_to_the_mean_of_areas(shape):
    data = _encode(_smooth(*shape), quality=90)
    whole = decode(io.BytesIO(data), 3, "")
    expected = resize(whole[None], 224)[0].astype(int)
    found = decode_square(data, 224, 3, "")
    assert found.shape == (224, 224, 3) and found.dtype == np.uint8
    assert np.abs(found - expected).mean() < 1.5


def test_decode_never_goes_below_the_size():
    # Stripes 2 pixels wide: half the size would be one grey.
    pixels = np.zeros((100, 100, 3), np.uint8)
    pixels[:, np.arange(100) % 4 < 2] = 255
    data = _encode(pixels, quality=95, subsampling=0)
    assert decode_square(data, 88, 3, "").std() > 80  # 7/8 of the full size
    assert decode_square(data, 25, 3, "").std() < 10


def test_decode_squashes_and_crops_nothing():
    pixels = np.zeros((64, 160, 3), np.uint8)
    pixels[:, 80:] = 255
    pixels[:, 152:] = (255, 0, 0)  # a twentieth at the edge
    found = decode_square(_encode(pixels, "PNG"), 40, 3, "").astype(int)
    np.testing.assert_array_equal(found[:, :18], 0)
    np.testing.assert_array_equal(found[:, 22:36], 255)
    np.testing.assert_array_equal(found[:, 39], np.tile([255, 0, 0], (40, 1)))


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_decode_gives_the_channels_asked_for(mode):
    data = _encode(np.full((16, 16, 3), (200, 200, 200), np.uint8), mode=mode)
    for channels in (1, 3):
        found = decode_square(data, 8, channels, "")
        assert found.shape == (8, 8, channels)
        np.testing.assert_allclose(found, 200, atol=2)


def test_decode_drops_transparency_and_opens_palettes():
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[..., 1] = 255
    for mode in ("RGBA", "P"):
        data = _encode(pixels[..., : 3 if mode == "P" else 4], "PNG", mode)
        found = decode_square(data, 4, 3, "")
        np.testing.assert_array_equal(found, np.full((4, 4, 3), (0, 255, 0)))


def test_decode_forgives_what_pillow_forgives():
    data = _encode(_smooth(48, 48), quality=90)
    flawed = data[:-2] + bytes(9) + data[-2:]  # bytes between scan and end marker
    np.testing.assert_array_equal(
        decode_square(flawed, 48, 3, ""), decode_square(data, 48, 3, "")
    )


@pytest.mark.parametrize("damage", ["half", "header", "nothing", "text"])
def test_decode_names_the_damaged_image(damage):
    data = _encode(_smooth(48, 48), quality=90)
    data = {
        "half": data[: len(data) // 2],
        "header": data[:20],
        "nothing": b"",
        "text": b"no image",
    }[damage]
    with pytest.raises(InputError, match="^a.jpg: not a readable image"):
        decode_square(data, 48, 3, "a.jpg")


def test_decode_gives_the_same_pixels_again_on_any_thread():
    files = [_encode(_smooth(90, 120, seed), quality=90) for seed in range(8)]
    expected = [decode_square(data, 40, 3, "") for data in files]
    with futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda data: decode_square(data, 40, 3, ""), files * 4))
    np.testing.assert_array_equal(found, expected * 4)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "ddjax"


@pytest.fixture
def prepared(tmp_path):
    """TFDS's folder with the dataset tiny_shapes: 12 and 6 JPEGs of 6x6."""
    _prepare(tmp_path, file_format="JPEG")
    return str(tmp_path)


class Files:
    """Records of 8x8 PNGs that tell which one they are, and count what is read."""

    identity = "files"

    def __init__(self, count, readable=True):
        self.count, self.readable, self.read_ones = count, readable, []

    def __len__(self):
        return self.count

    def read(self, position):
        assert self.readable
        self.read_ones.append(position)
        pixels = np.full((8, 8, 3), position, np.uint8)
        return _png(pixels)

    def describe(self, position):
        return f"file {position}"


def _copy(root, where):
    """A folder source of the test's images, as PNG."""
    for split, labels in (("train", (0, 0, 1, 1, 1)), ("test", (0, 1))):
        for number, label in enumerate(labels):
            path = root / where / split / f"class{label}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_png(_image(number)))
    return f"folder:{root / where}"


@pytest.mark.parametrize("kind", ["tfds", "folder"])
def test_stream_equals_loading_into_memory_where_no_size_changes(tmp_path, kind):
    if kind == "tfds":
        _prepare(tmp_path, file_format="JPEG")
        name = "tfds:tiny_shapes"
    else:
        name = _copy(tmp_path, "images")
    memory = data.load(name, str(tmp_path), 6)
    stream = data.load(name, str(tmp_path), 6, stream=True)
    assert stream.name == memory.name and stream.classes == memory.classes
    assert stream.shape == memory.shape == (6, 6, 3)
    assert stream.mean == memory.mean and stream.std == memory.std
    for lazy, there in ((stream.train, memory.train), (stream.test, memory.test)):
        assert isinstance(lazy.images, Streamed)
        np.testing.assert_array_equal(lazy.images[:], there.images)
        np.testing.assert_array_equal(lazy.labels, there.labels)
        np.testing.assert_array_equal(lazy.ids, there.ids)
        assert lazy.labels.dtype == there.labels.dtype


def test_stream_brings_images_of_different_sizes_to_one(tmp_path):
    _prepare(tmp_path, shape=(None, None, 3), size_of=lambda number: 8 + number % 5)
    stream = data.load("tfds:tiny_shapes", str(tmp_path), 8, stream=True)
    memory = data.load("tfds:tiny_shapes", str(tmp_path), 8)
    assert stream.train.images.shape == memory.train.images.shape == (12, 8, 8, 3)
    # PNGs of 8 pixels are the same, the others resized by another rule.
    np.testing.assert_array_equal(stream.train.labels, memory.train.labels)
    same = (stream.train.images[:] == memory.train.images).all((1, 2, 3))
    assert same.sum() >= 2


def test_stream_reads_grey_images(tmp_path):
    _prepare(tmp_path, "grey", shape=(6, 6, 1), file_format="JPEG")
    stream = data.load("tfds:grey", str(tmp_path), 6, stream=True)
    memory = data.load("tfds:grey", str(tmp_path), 6)
    np.testing.assert_array_equal(stream.train.images[:], memory.train.images)


def test_load_refuses_to_stream_without_a_size_or_what_is_in_memory(prepared):
    with pytest.raises(InputError, match="found 'digits', which .* tfds:NAME and"):
        data.load("digits", image_size=8, stream=True)
    with pytest.raises(InputError, match="image_size: found None"):
        data.load("tfds:tiny_shapes", prepared, stream=True)


def test_stream_refuses_what_loading_refuses(tmp_path):
    _prepare(tmp_path, "unlabelled", label_of=lambda number: -1)
    with pytest.raises(InputError, match="tfds:unlabelled: train split has label -1"):
        data.load("tfds:unlabelled", str(tmp_path), 6, stream=True)
    _prepare(tmp_path, "no_test", sizes=(("train", 12),))
    with pytest.raises(InputError, match="must have examples in 'train' and in 'test'"):
        data.load("tfds:no_test", str(tmp_path), 6, stream=True)


@pytest.mark.parametrize(
    "index",
    [0, -1, np.int32(4), slice(2, 7), slice(None, None, -3), slice(5, 5), [], [3, 3, 9]]
    + [np.array([9, 0, 9, 4, 0]), np.arange(10) % 3 == 0, np.array([], np.int64)],
    ids=str,
)
def test_images_are_indexed_as_an_array(index):
    images = Streamed(Files(10), 8, 3)
    array = np.broadcast_to(np.arange(10)[:, None, None, None], (10, 8, 8, 3))
    found = images[index]
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, array[index])


@pytest.mark.parametrize(
    "index", [10, -11, [0, 10], (0, 1), [[0, 1]], np.zeros(3, bool)]
)
def test_images_refuse_what_is_outside(index):
    with pytest.raises(IndexError):
        Streamed(Files(10), 8, 3)[index]


def test_images_stand_for_an_array():
    images = Streamed(Files(10), 8, 3)
    assert (images.shape, images.dtype, images.ndim) == ((10, 8, 8, 3), np.uint8, 4)
    assert images.nbytes == np.asarray(images).nbytes == 1920
    assert len(images) == 10
    np.testing.assert_array_equal(np.asarray(images)[:, 0, 0, 0], np.arange(10))
    assert np.asarray(images, np.float32).dtype == np.float32


def test_images_decode_once_what_is_asked_for_twice_at_once():
    files = Files(10)
    found = Streamed(files, 8, 3)[[7, 2, 7, 7, 2]]
    np.testing.assert_array_equal(found[:, 0, 0, 0], [7, 2, 7, 7, 2])
    assert sorted(files.read_ones) == [2, 7]


def test_views_splits_and_the_digest_read_nothing():
    images = Streamed(Files(10, readable=False), 8, 3)
    labels = np.arange(10) % 2
    source = data.from_arrays("lazy", ("a", "b"), (images, labels), (images, labels))
    assert len(source.digest) == 64
    train, held_out = data.split_validation(source.train, 0.2, seed=0)
    for part in (train, held_out, data.thin(train, 4, seed=0)):
        assert isinstance(part.images, Streamed)
        assert part.images.shape == (len(part), 8, 8, 3)
        np.testing.assert_array_equal(part.images.positions_N, part.ids)
    twice = source.train.take([8, 3, 8]).images.take([2, 1])
    np.testing.assert_array_equal(twice.positions_N, [8, 3])
    assert twice.identity != twice.take([1, 0]).identity


def test_images_are_pickled_unread_and_read_elsewhere(prepared):
    images = data.load("tfds:tiny_shapes", prepared, 6, stream=True).train.images
    for each in (images, images.take([4, 1])):
        other = pickle.loads(pickle.dumps(each))
        np.testing.assert_array_equal(other[:], each[:])
        assert other.identity == each.identity
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(each))[:], each[:])


def test_digest_knows_what_it_depends_on_but_not_where_it_lies(tmp_path):
    name = _copy(tmp_path, "images")
    digests = [data.load(name, None, size, stream=True).digest for size in (6, 6, 5)]
    assert digests[0] == digests[1] != digests[2]
    assert data.load(_copy(tmp_path, "there"), None, 6, True).digest == digests[0]
    path = tmp_path / "images" / "train" / "class0" / "0.png"
    path.write_bytes(path.read_bytes() + b"\0")
    assert data.load(name, None, 6, stream=True).digest != digests[0]
    path.rename(path.with_name("00.png"))
    assert data.load(name, None, 6, stream=True).digest != digests[0]


def test_mean_and_std_are_of_images_spread_evenly(monkeypatch):
    monkeypatch.setattr(data.source, "_SAMPLE", 4)
    images = Streamed(Files(10), 8, 3)
    labels = np.arange(10) % 2
    source = data.from_arrays("lazy", ("a", "b"), (images, labels), (images, labels))
    shown = np.array([0, 2, 5, 7])
    assert sorted(images.records.read_ones) == []
    np.testing.assert_allclose(source.mean, [shown.mean() / 255] * 3)
    np.testing.assert_allclose(source.std, [shown.std() / 255] * 3)
    np.testing.assert_array_equal(sorted(images.records.read_ones), shown)


def test_labels_are_kept_until_the_files_change(prepared, cache, monkeypatch):
    def load():
        return data.load("tfds:tiny_shapes", prepared, 6, stream=True)

    first = load()
    assert len(list(cache.glob("labels-*.npz"))) == len(list(cache.iterdir())) == 2
    with monkeypatch.context() as patch:
        patch.setattr(tfds, "_read_labels", None)  # not callable
        again = load()
        np.testing.assert_array_equal(again.train.labels, first.train.labels)
        assert again.digest == first.digest
    for file in cache.iterdir():
        file.write_bytes(file.read_bytes()[:-9])
    np.testing.assert_array_equal(load().train.labels, first.train.labels)

    shutil.rmtree(pathlib.Path(prepared) / "tiny_shapes")
    _prepare(prepared, file_format="JPEG", label_of=lambda number: (number + 1) % 3)
    changed = load()
    np.testing.assert_array_equal(changed.train.labels, (first.train.labels + 1) % 3)
    assert changed.digest != first.digest


def test_labels_are_read_where_the_cache_cannot_be_written(prepared, cache):
    cache.parent.write_text("no folder")
    stream = data.load("tfds:tiny_shapes", prepared, 6, stream=True)
    assert np.bincount(stream.train.labels).tolist() == [4, 4, 4]


def test_labels_come_from_all_blocks_in_order(prepared, monkeypatch):
    expected = data.load("tfds:tiny_shapes", prepared, 6).train.labels
    monkeypatch.setattr(tfds, "_BLOCK", 5)
    stream = data.load("tfds:tiny_shapes", prepared, 6, stream=True)
    np.testing.assert_array_equal(stream.train.labels, expected)


def test_stream_names_a_missing_or_truncated_shard(tmp_path):
    builder = _prepare(tmp_path, file_format="JPEG")
    (shard,) = builder.data_path.glob("*-train.array_record-*")
    message = f"tfds:tiny_shapes: {builder.data_path} has a missing or damaged shard"
    content = shard.read_bytes()
    shard.write_bytes(content[:-1000])
    with pytest.raises(InputError, match=message):
        data.load("tfds:tiny_shapes", str(tmp_path), 6, stream=True)
    shard.unlink()
    with pytest.raises(InputError, match=message):
        data.load("tfds:tiny_shapes", str(tmp_path), 6, stream=True)
    shard.write_bytes(content)
    images = data.load("tfds:tiny_shapes", str(tmp_path), 6, stream=True).train.images
    shard.unlink()  # after its labels were read
    with pytest.raises(InputError, match="split train, example 3: the record is miss"):
        pickle.loads(pickle.dumps(images))[3]


def test_images_name_the_damaged_example(tmp_path, monkeypatch):
    _prepare(tmp_path, "broken", file_format="JPEG")
    stream = data.load("tfds:broken", str(tmp_path), 6, stream=True)
    read = tfds._Shards.read
    half = lambda self, at: read(self, at)[: 200 if at == 3 else None]  # noqa: E731
    monkeypatch.setattr(tfds._Shards, "read", half)
    stream.train.images[[0, 1, 2, 4]]
    message = "tfds:broken: split train, example 3: not a readable image"
    with pytest.raises(InputError, match=message):
        stream.train.images[:]
    name = _copy(tmp_path, "images")
    stream = data.load(name, None, 6, stream=True)
    path = tmp_path / "images" / "train" / "class0" / "1.png"
    path.write_bytes(b"no image")
    with pytest.raises(InputError, match=f"{path}: not a readable image"):
        stream.train.images[1]
    path.unlink()
    with pytest.raises(InputError, match=f"{path}: cannot be read: No such file"):
        stream.train.images[:]
