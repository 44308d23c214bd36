import gc
import io
import json
import pickle
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from array_record.python import array_record_module
from data_tfds_test import _prepare
from PIL import Image

from ddjax import data
from ddjax.data import feed
from ddjax.data.feed import Feed, Meter
from ddjax.data.images import Streamed
from ddjax.errors import InputError
from ddjax.train import order


class Files:
    """Records of 4x4 PNGs that tell which one they are, and count what is read."""

    identity = "files"

    def __init__(self, count, damaged=None):
        self.count, self.damaged, self.read_ones = count, damaged, []

    def __len__(self):
        return self.count

    def read(self, position):
        self.read_ones.append(position)
        if position == self.damaged:
            return b"no image"
        file = io.BytesIO()
        Image.fromarray(np.full((4, 4), position, np.uint8)).save(file, "PNG")
        return file.getvalue()

    def describe(self, position):
        return f"file {position}"


def _images(count=20, **options):
    return Streamed(Files(count, **options), 4, 1)


def _shown(batches):
    """[steps, rows] which images were shown, and [steps, rows] which partners."""
    images, partners = zip(*batches, strict=True)
    assert all(batch.dtype == np.uint8 for batch in images)
    shown = np.array([batch[:, 3, 3, 0] for batch in images])
    if partners[0] is None:
        return shown, None
    return shown, np.array([batch[:, 0, 0, 0] for batch in partners])


def _order(length=47, count=20, seed=0):
    return np.random.default_rng(seed).integers(0, count, (2, length), np.int32)


@pytest.mark.parametrize("array", [False, True])
def test_iterate_gives_the_batches_in_order(array):
    images = _images()
    positions, partners = _order()
    batches = Feed(images[:] if array else images, positions, partners, 6, workers=2)
    assert len(batches) == 7
    shown, pasted = _shown(batches.iterate())
    np.testing.assert_array_equal(shown, positions[:42].reshape(7, 6))
    np.testing.assert_array_equal(pasted, partners[:42].reshape(7, 6))
    alone, nothing = _shown(Feed(images, positions, None, 6).iterate())
    np.testing.assert_array_equal(alone, shown)
    assert nothing is None


@pytest.mark.parametrize("first", [0, 1, 4, 6, 7])
def test_iterate_from_any_step_is_the_rest(first):
    images, (positions, partners) = _images(), _order()
    batches = Feed(images, positions, partners, 6)
    found = list(batches.iterate(first, 6))
    assert len(found) == max(0, 6 - first)
    for step, (batch, pasted) in enumerate(found, first):
        rows = slice(6 * step, 6 * step + 6)
        np.testing.assert_array_equal(batch, images[positions[rows]])
        np.testing.assert_array_equal(pasted, images[partners[rows]])


def test_rows_of_two_processes_make_up_the_batches():
    images, (positions, partners) = _images(), _order()
    whole = list(Feed(images, positions, partners, 6).iterate())
    shares = [
        Feed(images, positions, partners, 6, rows=slice(start, start + 3)).iterate()
        for start in (0, 3)
    ]
    for batch, *parts in zip(whole, *shares, strict=True):
        for side in (0, 1):
            both = np.concatenate([part[side] for part in parts])
            np.testing.assert_array_equal(both, batch[side])


def test_every_example_comes_once_an_epoch_over_two_processes():
    count, size, epochs = 20, 8, 4
    everything = np.arange(count, dtype=np.int32)
    drawn = order.presentations(
        np.int32(3), everything, everything, np.int32(0), count * epochs
    )
    positions = np.asarray(drawn.positions)
    shares = [
        _shown(Feed(_images(), positions, None, size, rows=rows).iterate())[0]
        for rows in (slice(0, 4), slice(4, 8))
    ]
    shown = np.concatenate(shares, axis=1).reshape(epochs, count)
    np.testing.assert_array_equal(np.sort(shown), np.tile(everything, (epochs, 1)))
    assert not (shown[0] == shown[1]).all()


def test_an_image_that_a_batch_shows_twice_is_decoded_once():
    images = _images()
    list(Feed(images, [3, 5, 3, 7], [5, 3, 7, 3], 4).iterate())
    assert sorted(images.records.read_ones) == [3, 5, 7]


@pytest.mark.parametrize("ahead", [1, 3])
def test_no_more_is_made_than_allowed_ahead(ahead):
    images = _images(200)
    batches = Feed(images, np.arange(200), None, 1, workers=2, ahead=ahead).iterate()
    next(batches)
    time.sleep(0.3)
    # One was taken; one more may be under way for each place that was free.
    assert ahead <= len(images.records.read_ones) <= 2 * ahead + 2
    batches.close()
    made = len(images.records.read_ones)
    time.sleep(0.1)
    assert len(images.records.read_ones) == made


def test_close_ends_the_threads_that_make_batches():
    gc.collect()
    before = set(threading.enumerate())
    batches = Feed(_images(), np.arange(20), None, 1, workers=2).iterate()
    next(batches)
    batches.close()
    for _ in range(100):  # those that were at work finish their batch
        left = {thread.name for thread in set(threading.enumerate()) - before}
        left = {name for name in left if not name.startswith("ddjax-decode")}
        if not left:
            return
        time.sleep(0.02)
    raise AssertionError(f"threads left: {left}")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_damaged_image_is_named_by_its_batch(workers):
    batches = Feed(_images(damaged=7), np.arange(20), None, 5, workers=workers)
    found = batches.iterate()
    next(found)
    with pytest.raises(InputError, match="^file 7: not a readable image"):
        next(found)


def test_what_makes_a_batch_reaches_another_process():
    batches = Feed(_images(), *_order(), 6)
    expected, partners = next(batches.iterate())
    make = feed._Make(batches._images, batches._positions, batches._partners, 1)
    found, pasted = pickle.loads(pickle.dumps(make))(0)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(pasted, partners)


@pytest.mark.slow
def test_processes_make_the_same_batches(monkeypatch, tmp_path):
    # Of TFDS, its import would take each process seconds.
    pixels = np.random.default_rng(0).integers(0, 256, (14, 6, 6), np.uint8)
    for index, image in enumerate(pixels):
        split = "train" if index < 12 else "test"
        place = tmp_path / split / "ab"[index % 2] / f"{index}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place)
    images = data.load(f"folder:{tmp_path}", image_size=6, stream=True).train.images
    batches = Feed(images, np.arange(12)[::-1], np.arange(12), 4, workers=2)
    monkeypatch.setattr(feed, "_THREADS", 1)
    assert batches._num_processes() == 2
    expected = images[:]
    for step, found in enumerate(batches.iterate(1), 1):
        rows = slice(4 * step, 4 * step + 4)
        np.testing.assert_array_equal(found[0], expected[::-1][rows])
        np.testing.assert_array_equal(found[1], expected[rows])
    assert step == 2


def test_processes_are_no_more_than_shared_memory_holds(monkeypatch):
    class Usage:
        free = 4 * 3 * 2 * 6 * 16  # four processes' batches of 6 pairs of 16 bytes

    monkeypatch.setattr(feed.shutil, "disk_usage", lambda path: Usage)
    monkeypatch.setattr(feed, "_SHARED", "/")
    batches = Feed(_images(), *_order(), 6, workers=100)
    assert batches._num_processes() == 4
    Usage.free -= 1
    assert batches._num_processes() == 3
    Usage.free = 0
    assert batches._num_processes() == 1
    assert Feed(_images(), *_order(), 6, workers=8)._num_processes() == 1


@pytest.mark.parametrize(
    "options", [{"batch_size": 48}, {"workers": -1}, {"ahead": 0}, {"batch_size": 0}]
)
def test_feed_refuses_what_makes_no_batch(options):
    with pytest.raises(ValueError, match="presentations"):
        Feed(_images(), *_order(), **{"batch_size": 6} | options)


class Clock:
    """A host that takes `make` seconds a batch and a device that takes `use`."""

    def __init__(self, make, use, batches):
        self.now, self.make, self.use, self.batches = 0.0, make, use, batches

    def __call__(self):
        return self.now

    def host(self):
        for _ in range(self.batches):
            self.now += self.make
            yield np.zeros((10, 1, 1, 1)), None

    def run(self):
        meter = Meter(self)
        for _ in meter.watch(self.host()):
            self.now += self.use
        return meter.read()


def test_meter_says_that_the_host_is_too_slow():
    seen = Clock(make=3.0, use=1.0, batches=5).run()
    assert seen.images == 40 and seen.seconds == 16.0
    assert seen.waited == 0.75 and seen.bottleneck == "host"
    assert seen.host == 2.5 and seen.device == 10.0
    assert str(seen) == (
        "input: the host gives 2 images/s, the device takes 10: the host is the "
        "bottleneck (75 % of 16.0 s waited for the host)"
    )


def test_meter_says_that_the_device_is_too_slow():
    seen = Clock(make=0.0, use=2.0, batches=3).run()
    assert seen[:5] == (20, 4.0, 0.0, 5.0, 5.0) and seen.bottleneck == "device"
    assert "the host gives at least 5 images/s, the device takes 5:" in str(seen)


def test_meter_knows_nothing_of_one_batch():
    assert Clock(make=1.0, use=1.0, batches=1).run() is None
    assert Clock(make=1.0, use=1.0, batches=0).run() is None


def test_meter_closes_what_it_watches():
    images = _images()
    batches = Feed(images, np.arange(20), None, 1).iterate()
    watched = Meter().watch(batches)
    next(watched)
    watched.close()
    with pytest.raises(StopIteration):
        next(batches)


READ = """
import sys, numpy as np
from ddjax import data
from ddjax.data.feed import Feed

def memory():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

images = data.load("tfds:many", sys.argv[1], 64, stream=True).train.images
order = np.random.default_rng(0).permutation(len(images))
seen, start = 0, None
for batch, _ in Feed(images, order, None, 250, workers=2).iterate():
    start, seen = start or memory(), seen + len(batch)
    most = max(start, memory())
print(seen, images.nbytes >> 20, (most - start) >> 20)
"""


def _multiply(builder, times):
    """Repeat the records of a prepared train split, faster than TFDS writes them."""
    (shard,) = builder.data_path.glob("*-train.array_record-*")
    reader = array_record_module.ArrayRecordReader(str(shard))
    records = [reader.read([at])[0] for at in range(reader.num_records())]
    reader.close()
    writer = array_record_module.ArrayRecordWriter(str(shard), "group_size:1")
    for record in records * times:
        writer.write(record)
    writer.close()
    info = builder.data_path / "dataset_info.json"
    written = json.loads(info.read_text())
    (train,) = (split for split in written["splits"] if split["name"] == "train")
    train["shardLengths"] = [str(len(records) * times)]
    info.write_text(json.dumps(written))


@pytest.mark.slow
def test_an_epoch_needs_no_memory(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    builder = _prepare(
        tmp_path,
        "many",
        sizes=(("train", 200), ("test", 3)),
        shape=(None, None, 3),
        size_of=lambda number: 32 + number % 5,
        file_format="JPEG",
    )
    _multiply(builder, 100)
    command = [sys.executable, "-c", READ, str(tmp_path)]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    seen, whole, grown = map(int, found.stdout.split())
    assert seen == 20_000 and whole == seen * 64 * 64 * 3 >> 20  # MiB
    assert grown < 100 and whole > 200
