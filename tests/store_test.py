"""The label store: what is written is read, and nothing else is."""

import dataclasses
import json
import pathlib
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from store_cases import IDENTITY, IDS, data_files, filled, logits, make

from ddjax.errors import InputError
from ddjax.labels import codecs, store
from ddjax.labels.store import LabelStore, arrays
from ddjax.labels.store.arrays import Grid
from ddjax.labels.store.files import Files


@pytest.mark.parametrize("codec", ["fp32", "fp16", "bf16", "topk:k=2"])
def test_read_returns_what_was_written(tmp_path, codec):
    made, values = filled(tmp_path / "s", codec)
    found = LabelStore.open(tmp_path / "s").read(2, IDS)
    payload = made.codec.encode(jnp.asarray(values[2]))
    expected = made.codec.decode(payload, 3)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.asarray(expected))
    if codec in ("fp32", "fp16"):
        exact = values[2].astype({"fp32": np.float32, "fp16": np.float16}[codec])
        np.testing.assert_array_equal(found, exact.astype(np.float32))


def test_read_takes_any_order_pairs_and_duplicates(tmp_path):
    made, values = filled(tmp_path / "s")
    np.testing.assert_array_equal(made.read(1, [40, 7, 7]), values[1][[4, 0, 0]])
    rng = np.random.default_rng(1)
    epochs, positions = rng.integers(0, 4, 300), rng.integers(0, IDS.size, 300)
    found = made.read(epochs, IDS[positions])
    np.testing.assert_array_equal(found, values[epochs, positions])
    assert made.read(0, []).shape == (0, 3)


def test_read_in_blocks_equals_read_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "_BLOCK_BYTES", 4 * 3 * 8)
    monkeypatch.setattr(arrays, "_CHUNK_BYTES", 24)
    monkeypatch.setattr(arrays, "_CHUNKS_IN_FLIGHT", 2)
    small, values = filled(tmp_path / "s")
    rng = np.random.default_rng(2)
    epochs, positions = rng.integers(0, 4, 37), rng.integers(0, IDS.size, 37)
    found = small.read(epochs, IDS[positions])
    np.testing.assert_array_equal(found, values[epochs, positions])


def test_write_takes_any_order_and_parts_of_an_epoch(tmp_path):
    made, values = make(tmp_path / "s"), logits()
    made.write(3, [40, 3], jnp.asarray(values[3][[4, 1]]))
    made.write(3, [12], values[3][[2]])
    np.testing.assert_array_equal(made.read(3, [3, 12, 40]), values[3][[1, 2, 4]])
    missing = made.missing()
    assert missing.keys() == {0, 1, 2, 3}
    assert missing[3].tolist() == [7, 5] and missing[0].tolist() == IDS.tolist()
    assert not made.complete


def test_write_takes_several_epochs_at_once(tmp_path):
    made, values = make(tmp_path / "s"), logits()
    epochs, positions = np.array([2, 0, 2, 0, 2, 0]), np.array([4, 1, 0, 0, 2, 3])
    made.write(epochs, IDS[positions], values[epochs, positions])
    found = made.read(epochs, IDS[positions])
    np.testing.assert_array_equal(found, values[epochs, positions])
    assert made.missing().keys() == {0, 1, 2, 3}
    assert made.missing()[2].tolist() == IDS[[1, 3]].tolist()
    twice = r"example id 12 is written more than once in one call \(epoch 1\)"
    with pytest.raises(InputError, match=twice):
        made.write([0, 1, 1], [12, 12, 12], np.zeros((3, 3)))


def test_write_payload_equals_write(tmp_path):
    made, values = make(tmp_path / "s", "fp16"), logits()
    made.write_payload(0, IDS, made.codec.encode(jnp.asarray(values[0])))
    made.write(1, IDS, values[0])
    np.testing.assert_array_equal(made.read(0, IDS), made.read(1, IDS))


def test_store_of_zeros_is_written_and_not_taken_for_missing(tmp_path):
    made = make(tmp_path / "s")
    for epoch in range(4):
        made.write(epoch, IDS, np.zeros((5, 3)))
    assert LabelStore.open(tmp_path / "s").verify() == []
    data_files(tmp_path / "s")[0].unlink()
    with pytest.raises(InputError, match="labels/c/0/0/0.*missing though it was"):
        LabelStore.open(tmp_path / "s").read(0, IDS)


def test_reader_sees_what_another_writes_into_a_chunk_it_has_cached(tmp_path):
    writer, values = make(tmp_path / "s"), logits()
    writer.write(0, IDS[:2], values[0][:2])
    reader = LabelStore.open(tmp_path / "s")
    reader.read(0, IDS[:2])
    writer.write(0, IDS[2:], values[0][2:])
    np.testing.assert_array_equal(reader.read(0, IDS), values[0])
    reader.write(1, IDS[:1], values[1][:1])
    writer.write(1, IDS[1:], values[1][1:])
    np.testing.assert_array_equal(reader.read(1, IDS), values[1])


@pytest.mark.slow  # as `LabelStore.open` does above, in a process of its own
def test_store_is_read_by_another_process(tmp_path):
    _, values = filled(tmp_path / "s")
    program = (
        "import sys; from ddjax.labels.store import LabelStore; "
        "s = LabelStore.open(sys.argv[1]); "
        "print(s.complete, s.read([2, 0], [5, 7]).tolist())"
    )
    command = [sys.executable, "-c", program, tmp_path / "s"]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert out.strip() == f"True {values[[2, 0], [3, 0]].tolist()}"


def test_create_resumes_what_agrees(tmp_path):
    first, values = make(tmp_path / "s"), logits()
    first.write(0, IDS, values[0])
    second = make(tmp_path / "s")
    assert second.missing().keys() == {1, 2, 3}
    np.testing.assert_array_equal(second.read(0, IDS), values[0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher": "cc33"}, "teacher is 'aa11' in the label store, expected 'cc33'"),
        ({"source": "x"}, "source is 'bb22'"),
        ({"classes": ["dog", "cat", "eel"]}, "classes.0 is 'cat'.*expected 'dog'"),
        ({"classes": ["cat", "dog"]}, "classes.length is 3.*expected 2"),
        ({"recipe": {"crop": [0.08, 1.0], "cutmix": 0.5}}, r"recipe\.cutmix is 1.0"),
        ({"recipe": {"crop": [0.08, 1.0]}}, r"recipe\.cutmix is 1.0.*expected nothing"),
        ({"recipe": {"crop": [0.2, 1.0], "cutmix": 1.0}}, r"recipe\.crop\.0 is 0.08"),
        ({"seed": 1}, "seed is 0 in the label store, expected 1"),
        ({"batch_norm": "batch"}, "batch_norm is 'eval'"),
        ({"more": 1}, "more is nothing in the label store, expected 1"),
    ],
)
def test_other_identity_is_refused_and_the_key_named(tmp_path, changes, message):
    make(tmp_path / "s")
    with pytest.raises(InputError, match=message) as caught:
        LabelStore.open(tmp_path / "s", IDENTITY | changes)
    assert str(tmp_path / "s") in str(caught.value)
    with pytest.raises(InputError, match=message):
        make(tmp_path / "s", **changes)


def test_open_looks_only_at_the_keys_it_is_given(tmp_path):
    make(tmp_path / "s")
    assert LabelStore.open(tmp_path / "s", {"seed": 0}).identity == IDENTITY
    assert LabelStore.open(tmp_path / "s", IDENTITY).epochs == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 5}, "epochs is 4 in the label store, expected 5"),
        ({"ids": IDS[:3]}, "examples is 5 in the label store, expected 3"),
        ({"ids": IDS[::-1]}, "example_ids is"),
        ({"num_classes": 4}, "num_classes is 3"),
        ({"codec": "fp16"}, "codec is 'fp32' in the label store, expected 'fp16'"),
    ],
)
def test_create_refuses_another_shape(tmp_path, options, message):
    make(tmp_path / "s")
    with pytest.raises(InputError, match=message):
        make(tmp_path / "s", **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs: found 0"),
        ({"ids": np.array([1, 1])}, "example_ids: found 2 ids, 1 of them distinct"),
        ({"ids": np.array([], int)}, "example_ids: found 0 ids"),
        ({"ids": np.array([0.5])}, "example_ids: found float64"),
    ],
)
def test_create_refuses_impossible_arguments(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        make(tmp_path / "s", **options)
    assert not (tmp_path / "s").exists()


def test_create_leaves_other_folders_alone(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="holds 'thesis.txt' but no manifest.json"):
        make(tmp_path / "s")
    assert [f.name for f in (tmp_path / "s").iterdir()] == ["thesis.txt"]
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file"):
        make(tmp_path / "file")


def test_create_completes_a_creation_that_was_cut_off(tmp_path):
    make(tmp_path / "s")
    (tmp_path / "s" / "codec.npz").unlink()
    (tmp_path / "s" / "written" / "zarr.json").unlink()
    with pytest.raises(InputError, match="was not created to its end"):
        LabelStore.open(tmp_path / "s")
    _, values = filled(tmp_path / "s")
    np.testing.assert_array_equal(
        LabelStore.open(tmp_path / "s").read(1, IDS), values[1]
    )


def test_read_of_missing_labels_says_how_many_and_where(tmp_path):
    made, values = make(tmp_path / "s"), logits()
    made.write(1, IDS, values[1])
    made.write(3, IDS[:4], values[3][:4])
    message = r"11 of the 20 requested labels are not written yet \(epochs 0, 2-3\)"
    with pytest.raises(InputError, match=message):
        made.read(np.repeat(np.arange(4), 5), np.tile(IDS, 4))
    with pytest.raises(InputError, match="run the command that writes the store again"):
        made.finish()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.write(0, IDS, np.zeros((5, 4))), r"\[5, 4\], expected \[5, 3\]"),
        (lambda s: s.write(0, IDS, np.zeros((4, 3))), r"\[4, 3\], expected \[5, 3\]"),
        (
            lambda s: s.write(4, IDS, np.zeros((5, 3))),
            "found epoch 4, allowed .* 0 to 3",
        ),
        (lambda s: s.write(-1, IDS, np.zeros((5, 3))), "found epoch -1"),
        (lambda s: s.write(0, [7, 8], np.zeros((2, 3))), "example id 8 is not in"),
        (lambda s: s.write(0, [3, 3], np.zeros((2, 3))), "id 3 is written more than"),
        (lambda s: s.write_payload(0, [3], np.zeros((1, 3))), "payload is float64"),
        (lambda s: s.read(0, [7, 8]), "example id 8 is not in"),
        (lambda s: s.read(9, [7]), "found epoch 9"),
        (lambda s: s.read([0, 1], [7]), r"epoch: found int64\[2\]"),
        (lambda s: s.read(0.5, [7]), "epoch: found float64"),
        (lambda s: s.read(0, [0.5]), "example_ids: found float64"),
    ],
)
def test_wrong_arguments_are_refused_and_write_nothing(tmp_path, call, message):
    made = make(tmp_path / "s")
    with pytest.raises(InputError, match=message):
        call(made)
    assert made.missing().keys() == {0, 1, 2, 3}
    assert data_files(tmp_path / "s") == []


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_refused(tmp_path, value):
    made, values = make(tmp_path / "s", "fp16"), logits()
    values[2, 1, 0] = value
    with pytest.raises(InputError, match="epoch 2, example id 3 are not finite"):
        made.write(2, IDS, values[2])
    with pytest.raises(InputError, match="epoch 2, example id 3 are not finite"):
        made.write_payload(2, IDS, values[2].astype(np.float16))
    assert data_files(tmp_path / "s") == []


def test_bytes_on_disk_are_those_of_the_formula(tmp_path):
    rng = np.random.default_rng(0)
    made = make(tmp_path / "s", "fp16", epochs=12, ids=np.arange(5000), num_classes=100)
    for epoch in range(12):
        made.write(epoch, np.arange(5000), rng.normal(0, 3, (5000, 100)))
    info = made.info()
    assert info["formula_bytes"] == 12 * 5000 * 200 > 10e6
    assert info["bits_per_label"] == 1600 and info["compression"] == 1.0
    assert info["written"] == 1.0
    files = [f for f in (tmp_path / "s").rglob("*") if f.is_file()]
    assert info["disk_bytes"] == sum(f.stat().st_size for f in files)
    assert info["disk_bytes"] <= 1.02 * info["formula_bytes"]
    assert len(files) < 30


@dataclasses.dataclass(frozen=True, eq=False)
class Shift(codecs.Codec):
    """A fitted codec that is fast: one array decodes, a second one encodes."""

    NAME, DTYPE = "shift", np.dtype(np.float32)

    arrays: dict

    def width(self, num_classes):
        return num_classes

    def encode(self, logits):
        if "back" not in self.arrays:
            raise InputError("codec: shift can only decode")
        return logits + self.arrays["back"]

    def decode(self, payload, num_classes):
        return payload + self.arrays["shift"]

    def bits_per_label(self, num_classes):
        return 32.0 * num_classes

    def state(self, encoder=False):
        if not self.arrays:
            raise InputError("codec: shift is not fitted")
        return {n: a for n, a in self.arrays.items() if encoder or n == "shift"}

    def restore(self, num_classes, state):
        return Shift(state)


def test_store_keeps_its_fitted_codec_until_and_after_finish(tmp_path, monkeypatch):
    monkeypatch.setattr(store.codecs, "load", lambda _, c, s: Shift({}).restore(c, s))
    encoder, values = tmp_path / "s" / "encoder.npz", np.ones((5, 3), np.float32)

    def create(**arrays):
        return LabelStore.create(
            tmp_path / "s",
            epochs=1,
            example_ids=IDS,
            num_classes=3,
            codec=Shift(dict(arrays)),
            identity=IDENTITY,
        )

    with pytest.raises(InputError, match="shift is not fitted"):
        create()
    assert not (tmp_path / "s").exists()
    create(shift=np.float32(2), back=np.float32(-2)).write(0, IDS[:2], values[:2])
    assert encoder.exists()
    create(shift=np.float32(9), back=np.float32(-9)).write(0, IDS[2:3], values[2:3])
    resumed = create()
    resumed.write(0, IDS[3:], values[3:])
    stored = resumed._arrays.read(np.zeros(5, int), np.arange(5))
    np.testing.assert_array_equal(stored, values - 2)
    resumed.finish()
    resumed.finish()
    assert not encoder.exists()
    found = create()
    np.testing.assert_array_equal(found.read(0, IDS), values)
    with pytest.raises(InputError, match="shift can only decode"):
        found.write(0, IDS, values)
    assert found.verify() == [] and not encoder.exists()


def test_grid_makes_few_files_of_bounded_size():
    for epochs, examples, label_bytes in [
        (300, 10_000, 2000),
        (300, 200_000, 2000),
        (100, 100, 20),
        (5000, 500, 40),
        (3, 1, 4),
        (2, 1_281_167, 9),
        (4, 50, 200_000),
    ]:
        grid = Grid.plan(epochs, examples, label_bytes)
        regions = list(grid.regions(grid.shard))
        total = epochs * examples * label_bytes
        assert len(regions) <= max(epochs * 50, 1) and len(regions) <= 2 + total / 5e5
        assert grid.shard[0] % grid.chunk[0] == grid.shard[1] % grid.chunk[1] == 0
        assert np.prod(grid.shard) * label_bytes <= 9 << 20
        assert np.prod(grid.chunk) * label_bytes <= max(16 << 10, label_bytes)
        covered = sum((r.stop - r.start) * (c.stop - c.start) for r, c in regions)
        assert covered == epochs * examples


def test_files_take_a_bucket_url_without_reading_it():
    found = Files("gs://bucket/labels/run/").spec("labels/")
    assert (found["driver"], found["bucket"]) == ("gcs", "bucket")
    assert found["path"] == "labels/run/labels/"
    with pytest.raises(InputError, match="nowhere://x: cannot be opened"):
        Files("nowhere://x")


def test_manifest_tells_what_the_labels_are(tmp_path):
    make(tmp_path / "s", "fp16")
    manifest = json.loads(pathlib.Path(tmp_path / "s" / "manifest.json").read_text())
    assert manifest["identity"] == IDENTITY and manifest["codec"] == "fp16"
    assert {"jax", "numpy", "tensorstore"} <= manifest["versions"].keys()
