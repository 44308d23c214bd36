"""The label store on a damaged disk: what is wrong is found, named and refused."""

import numpy as np
import pytest
from store_cases import IDS, data_files, filled, flip, logits, make

from ddjax.errors import InputError
from ddjax.labels import LabelStore


def test_open_refuses_what_is_not_a_sound_store(tmp_path):
    with pytest.raises(InputError, match="absent/manifest.json: is missing"):
        LabelStore.open(tmp_path / "absent")
    assert not (tmp_path / "absent").exists()
    make(tmp_path / "s")
    manifest = tmp_path / "s" / "manifest.json"
    sound = manifest.read_text()
    for text, message in [
        (sound[:-30], "is damaged"),
        ("[]", "is damaged"),
        (sound.replace('"epochs": 4', '"epochs": 9'), "does not match its checksum"),
        (sound.replace('"schema": 1', '"schema": 2'), "schema 2, .* reads .* schema 1"),
        (sound.replace("label-store", "cookbook"), "'cookbook'"),
    ]:
        manifest.write_text(text)
        with pytest.raises(InputError, match=f"manifest.json: .*{message}"):
            LabelStore.open(tmp_path / "s")


@pytest.mark.parametrize(
    "name", ["example_ids.npy", "codec.npz", "labels/zarr.json", "written/zarr.json"]
)
def test_open_refuses_a_damaged_small_file_and_names_it(tmp_path, name):
    make(tmp_path / "s")
    flip(tmp_path / "s" / name, -20)
    with pytest.raises(InputError, match=name):
        LabelStore.open(tmp_path / "s")


def test_verify_finds_a_flipped_byte_anywhere(tmp_path):
    filled(tmp_path / "s", "fp16")
    opened = LabelStore.open(tmp_path / "s")
    assert opened.verify() == []
    for file in (f for f in (tmp_path / "s").rglob("*") if f.is_file()):
        sound = file.read_bytes()
        name = str(file.relative_to(tmp_path / "s"))
        step = max(1, len(sound) // 40)
        for offset in [*range(0, len(sound), step), len(sound) - 1]:
            flip(file, offset)
            lines = opened.verify()
            file.write_bytes(sound)
            if name == "manifest.json" and sound[offset : offset + 1].isspace():
                continue
            assert len(lines) == 1 and name in lines[0], (name, offset, lines)
    assert opened.verify() == []


def test_damage_is_named_and_refused_where_it_is_and_only_there(tmp_path):
    ids = np.arange(900)
    made, values = filled(tmp_path / "s", ids=ids, epochs=2, num_classes=100)
    file = data_files(tmp_path / "s")[0]
    flip(file, 100)
    opened = LabelStore.open(tmp_path / "s")
    (line,) = opened.verify()
    rows = opened._arrays.grid.chunk[1]
    place = f"chunk (0, 0), epochs 0 to 0, positions 0 to {rows - 1}"
    assert line.startswith(f"{file}: {place}, does not match its checksum")
    with pytest.raises(InputError, match=f"{file}: chunk .*delete the store"):
        opened.read([0, 1], [rows - 1, 5])
    np.testing.assert_array_equal(opened.read(0, ids[rows:]), values[0, rows:])
    np.testing.assert_array_equal(opened.read(1, ids), values[1])


@pytest.mark.parametrize("size", [0, 10, -1, -100])
def test_truncated_file_is_found_named_and_refused(tmp_path, size):
    filled(tmp_path / "s")
    file = data_files(tmp_path / "s")[0]
    file.write_bytes(file.read_bytes()[:size])
    opened = LabelStore.open(tmp_path / "s")
    (line,) = opened.verify()
    assert line.startswith(f"{file}: its index") and "truncated" in line
    with pytest.raises(InputError, match=f"{file}.*truncated"):
        opened.read(0, IDS)


def test_damaged_marks_are_refused(tmp_path):
    filled(tmp_path / "s")
    opened = LabelStore.open(tmp_path / "s")
    (file,) = data_files(tmp_path / "s", "written")
    flip(file, 12)
    (line,) = opened.verify()
    assert str(file) in line
    with pytest.raises(InputError, match=str(file)):
        LabelStore.open(tmp_path / "s")


def test_verify_reports_missing_labels_and_progress(tmp_path):
    made, done = make(tmp_path / "s"), []
    made.write(0, IDS, logits()[0])
    (line,) = made.verify(progress=done.append)
    assert line.endswith("15 of 20 labels are not written (epochs 1-3)")
    assert done == [1] * made.shards
