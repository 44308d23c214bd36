"""Files with weights of PyTorch, whole and damaged, honest and not."""

import os
import pickle
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from ddjax.models.torch_files import read_state
from safetensors.numpy import save

from ddjax.errors import InputError

TENSORS = {"a.weight": np.arange(200, dtype=np.float32).reshape(2, 100)}


def read_tensors(state, weights=""):
    return read_state(state, weights)[0]


class Command:
    """What an attacker would put in a pickle: loaded, it runs a command."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_safetensors_of_every_precision_are_read(tmp_path):
    path = tmp_path / "a.safetensors"
    whole = {"count": np.array(5)}
    for kind in (np.float32, np.float16, np.float64, jnp.bfloat16):
        path.write_bytes(save({k: v.astype(kind) for k, v in TENSORS.items()} | whole))
        found = read_tensors(path)
        assert found["a.weight"].dtype == np.float32
        expected = TENSORS["a.weight"].astype(kind).astype(np.float32)
        np.testing.assert_array_equal(found["a.weight"], expected)
        assert found["count"].dtype == np.int64 and found["count"] == 5


def test_arrays_have_memory_of_their_own():
    found = read_tensors(TENSORS)["a.weight"]
    np.testing.assert_array_equal(found, TENSORS["a.weight"])
    assert not np.shares_memory(found, TENSORS["a.weight"])


@pytest.mark.parametrize("size", [0, 5, 40, 500])
def test_a_damaged_safetensors_file_is_refused(tmp_path, size):
    path = tmp_path / "a.safetensors"
    path.write_bytes(save(TENSORS)[:size])
    with pytest.raises(InputError, match=r"a.safetensors: is no readable .safetens"):
        read_tensors(path)


def test_a_file_that_is_none_of_ours_is_refused(tmp_path):
    with pytest.raises(InputError, match="none.safetensors: there is no such file"):
        read_tensors(tmp_path / "none.safetensors")
    with pytest.raises(InputError, match="there is no such file"):
        read_tensors(tmp_path)
    path = tmp_path / "weights.h5"
    path.write_bytes(b"hdf")
    with pytest.raises(InputError, match="ends in '.h5', allowed is .safetensors, .pt"):
        read_tensors(path)


def test_a_pickle_without_torch_says_what_to_do(tmp_path, monkeypatch):
    path = tmp_path / "a.pth"
    path.write_bytes(pickle.dumps({}))
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match=r"pip install torch.*as .safetensors"):
        read_tensors(path)


@pytest.mark.parametrize("name", ["a.pth", "a.pt", "a.pth.tar", "a.bin"])
def test_files_of_torch_are_read(tmp_path, name):
    torch = pytest.importorskip("torch")
    weight = torch.nn.Parameter(torch.arange(200.0).reshape(2, 100))
    tensors = {"module.a.weight": weight, "module.b": torch.ones(2).bfloat16()}
    torch.save({"epoch": 2, "state_dict": tensors}, tmp_path / name)
    for source in (tmp_path / name, tensors):
        found = read_tensors(source)
        np.testing.assert_array_equal(found["a.weight"], TENSORS["a.weight"])
        np.testing.assert_array_equal(found["b"], np.ones(2))
        assert found["b"].dtype == np.float32


@pytest.mark.parametrize("zipped", [True, False])
def test_a_damaged_file_of_torch_is_refused(tmp_path, zipped):
    torch = pytest.importorskip("torch")
    path = tmp_path / "a.pth"
    tensors = {"a": torch.arange(200.0)}
    torch.save(tensors, path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    for damaged in (b"", b"not a checkpoint", content[: len(content) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="a.pth: is no readable PyTorch file"):
            read_tensors(path)


@pytest.mark.parametrize("plain", [True, False])
def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path, plain):
    torch = pytest.importorskip("torch")
    path, trace = tmp_path / "a.pth", tmp_path / "trace"
    content = {"a": torch.zeros(3), "b": Command(trace)}
    if plain:
        path.write_bytes(pickle.dumps(content["b"], protocol=2))
    else:
        torch.save(content, path)
    with pytest.raises(InputError, match="a.pth: is refused.* to run code, .*mkdir"):
        read_tensors(path)
    assert not trace.exists()
