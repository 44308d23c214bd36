"""Files of `torch.save`: read and written without PyTorch, and hostile ones refused."""

import collections
import io
import os
import pickle
import zipfile

import ml_dtypes
import numpy as np
import pytest

from ddjax import torch_files
from ddjax.errors import InputError

NUMBERS = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
# A value, and its kinds of numbers.
VALUE = {
    "data": [[NUMBERS, np.array([1, 0])], [NUMBERS.astype(np.float64), -5, 2**40]],
    "scalar": np.array(0.25),
    "none": np.zeros((0, 3), np.float32),
    "rest": ["text", 1.5, True, False, (1, "ä")],
    "bytes": NUMBERS.astype(np.uint8),
}


def same(found, expected):
    if isinstance(expected, np.ndarray):
        assert isinstance(found, np.ndarray) and found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            same(found[key], expected[key])
    elif isinstance(expected, list | tuple):
        assert type(found) is type(expected) and len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            same(one, other)
    else:
        assert type(found) is type(expected) and found == expected


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "a.pt"
    torch_files.write(path, VALUE)
    same(torch_files.read(path), VALUE)
    content = path.read_bytes()
    torch_files.write(path, VALUE)
    assert path.read_bytes() == content
    turned = NUMBERS.transpose(2, 0, 1)
    torch_files.write(path, [turned, turned.astype(">f4")])
    same(torch_files.read(path), [np.array(turned)] * 2)
    for value in (None, {"a": NUMBERS.astype(np.complex64)}, 2**70, b"x"):
        with pytest.raises(InputError, match="value: found .*, allowed are dicts"):
            torch_files.write(path, value)


def archive(path, content, storages=None):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a/data.pkl", content)
        for key, raw in (storages or {}).items():
            file.writestr(f"a/data/{key}", raw)
    return path


def tensor(size, stride, offset=0, count=24):
    """A pickle of a view of a storage."""
    numbers = "".join(f"I{n}\n" for n in size), "".join(f"I{n}\n" for n in stride)
    return (
        "\x80\x02ctorch._utils\n_rebuild_tensor_v2\n("
        f"(S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nI{count}\ntQ"
        f"I{offset}\n({numbers[0]}t({numbers[1]}tI00\n}}tR."
    ).encode("latin1")


def test_views_are_read_and_stay_inside_their_storage(tmp_path):
    path, raw = tmp_path / "a.pt", {"0": NUMBERS.tobytes()}
    found = torch_files.read(archive(path, tensor((4, 2), (1, 8), offset=1), raw))
    flat = NUMBERS.ravel()
    np.testing.assert_array_equal(found, np.stack([flat[1:5], flat[9:13]], axis=1))
    assert torch_files.read(archive(path, tensor((), (), 23), raw)) == 23
    for size, stride, offset in (
        ((4, 3), (1, 8), 5),  # one number too far
        ((25,), (1,), 0),
        ((2,), (-1,), 3),
        ((2, 2), (1,), 0),
        ((), (), 24),
    ):
        archive(path, tensor(size, stride, offset), raw)
        with pytest.raises(InputError, match="no readable PyTorch file.*a tensor"):
            torch_files.read(path)
    with pytest.raises(InputError, match="a tensor's numbers take .* allowed is half"):
        torch_files.read(archive(path, tensor((2**20, 2**20), (0, 0)), raw))
    with pytest.raises(InputError, match="storage 0 has 96 bytes"):
        torch_files.read(archive(path, tensor((2,), (1,), count=25), raw))
    with pytest.raises(InputError, match="no readable PyTorch file"):
        torch_files.read(archive(path, tensor((2,), (1,))))


class Command:
    """What an attacker would put in a pickle: loaded, it runs a command."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


FIXED = "ctorch._utils\n_rebuild_tensor_v2\n"  # a name, on the stack
# Pickles that would call, change or keep something, and what the refusal names.
HOSTILE = {
    "a call": (b"cos\nsystem\n(S'true'\ntR.", "os.system"),
    "an attribute": (b"cnumpy\nload\n.", "numpy.load"),
    "builtins": (b"cbuiltins\neval\n.", "builtins.eval"),
    "a dotted name": (
        b"\x80\x04\x8c\x0ctorch._utils\x94\x8c\x0bos.mkdir.xx\x94\x93.",
        "torch._utils.os.mkdir.xx",
    ),
    "old state": (FIXED.encode() + b"}S'_held'\nI1\nsb.", "the state of a name"),
    "an extension": (b"\x80\x02\x82\x01.", "unregistered"),
    "a new object": (FIXED.encode() + b")\x81.", "NEWOBJ"),
    "objects of NumPy": (b"cnumpy\ndtype\n(S'O8'\ntR.", "numbers are of object"),
    "a reference": (b"\x80\x02X\x04\x00\x00\x00/etcQ.", "'/etc', which is no stor"),
}


@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.parametrize("zipped", [True, False])
def test_hostile_pickles_are_refused(tmp_path, case, zipped):
    content, message = HOSTILE[case]
    path = tmp_path / "a.pt"
    archive(path, content) if zipped else path.write_bytes(content)
    with pytest.raises(InputError, match=rf"a\.pt: is .*{message}"):
        torch_files.read(path)


def test_a_command_is_not_run(tmp_path):
    path = archive(tmp_path / "a.pt", pickle.dumps([Command(tmp_path / "trace")]))
    with pytest.raises(InputError, match="is refused, since it holds posix.mkdir"):
        torch_files.read(path)
    assert not (tmp_path / "trace").exists()
    # Names are as before.
    torch_files.write(path, NUMBERS)
    same(torch_files.read(path), NUMBERS)


def test_numbers_of_numpy_are_read(tmp_path):
    held = {"accs": [np.float64(0.5), np.float32(0.25), np.int64(-3)]}
    for protocol in (2, 4):
        content = pickle.dumps(held, protocol=protocol)
        found = torch_files.read(archive(tmp_path / "a.pt", content))
        assert found == {"accs": [0.5, 0.25, -3]}


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.9, 0.99])
def test_damaged_files_are_refused(tmp_path, share):
    path = tmp_path / "a.pt"
    torch_files.write(path, VALUE)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match="a.pt: is no readable PyTorch file"):
        torch_files.read(path)
    with pytest.raises(InputError, match="none.pt: there is no such file"):
        torch_files.read(tmp_path / "none.pt")


def old(value, kind, raw, count=None):
    """A file of PyTorch before 1.6, with a storage "k" of bytes."""
    file = io.BytesIO()
    for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
        pickle.dump(part, file, protocol=2)
    file.write(value)
    pickle.dump(["k"], file, protocol=2)
    count = len(raw) // kind if count is None else count
    file.write(count.to_bytes(8, "little") + raw)
    return file.getvalue()


def test_files_of_before_1_6_are_read(tmp_path):
    path = tmp_path / "a.pt"
    pickled = tensor((2, 3), (12, 4)).replace(b"S'0'", b"S'k'")
    path.write_bytes(old(pickled, 4, NUMBERS.tobytes()))
    same(torch_files.read(path), np.array(NUMBERS[:, :, 0]))
    for wrong in (
        old(pickled, 4, NUMBERS.tobytes()[:-4]),
        old(pickled, 4, NUMBERS.tobytes(), count=23),
        old(pickled.replace(b"I24\n", b"I999999999999\n"), 4, NUMBERS.tobytes()),
    ):
        path.write_bytes(wrong)
        with pytest.raises(InputError, match="no readable PyTorch file.*storage k"):
            torch_files.read(path)


@pytest.mark.slow
@pytest.mark.parametrize("zipped", [True, False])
def test_pytorch_agrees(tmp_path, zipped):
    torch = pytest.importorskip("torch")
    path = tmp_path / "a.pt"
    torch_files.write(path, VALUE)
    found = torch.load(path, weights_only=True)
    assert found["rest"] == VALUE["rest"] and found["data"][1][1:] == [-5, 2**40]
    np.testing.assert_array_equal(found["data"][0][0].numpy(), NUMBERS)
    assert found["data"][1][0].dtype == torch.float64
    assert found["scalar"].shape == () and found["none"].shape == (0, 3)

    whole = torch.tensor(NUMBERS)
    kinds = (torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.bool)
    held = {
        "kinds": [whole.to(kind) for kind in kinds],
        "views": [whole, whole.permute(2, 0, 1), whole[:, 1:2, ::2], whole[1, 1, 1]],
        "wide": torch.ones(1, 3).expand(5, 3),
        "parameter": torch.nn.Parameter(whole),
        "state": collections.OrderedDict(torch.nn.Linear(2, 3).state_dict()),
        "size": whole.shape,
        "dtype": torch.float32,
    }
    torch.save(held, path, _use_new_zipfile_serialization=zipped)
    found = torch_files.read(path)
    for got, kind in zip(found["kinds"], kinds, strict=True):
        expected = whole.to(kind).double().numpy()
        np.testing.assert_array_equal(got.astype(np.float64), expected)
    assert found["kinds"][1].dtype == ml_dtypes.bfloat16
    for name in ("views", "wide", "parameter"):
        for got, tensor in zip(found[name], held[name], strict=True):
            np.testing.assert_array_equal(got, tensor.detach().numpy())
    assert found["size"] == (2, 3, 4) and found["dtype"] == "torch.float32"
    assert list(found["state"]) == ["weight", "bias"]
