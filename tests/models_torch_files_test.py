"""Files with weights of PyTorch, whole and damaged, honest and not."""

import json
import os
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save, save_file

from ddjax import models
from ddjax.errors import InputError
from ddjax.models.torch.files import check_name, read_state

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
    with pytest.raises(InputError, match="a.pth: is refused, .*mkdir.* run code"):
        read_tensors(path)
    assert not trace.exists()


PLAIN = {"a.weight": np.zeros((2, 3), np.float32), "a.bias": np.zeros(2, np.float32)}
OTHER = {key: array + 1 for key, array in PLAIN.items()}
OPTIMIZER = {"state": {0: {"exp_avg": PLAIN["a.weight"]}}, "param_groups": [{"lr": 1}]}
# Two sets of weights as scripts keep them, and the places of both.
BOTH = {
    "timm": ({"state_dict": PLAIN, "state_dict_ema": OTHER}, "state_dict_ema"),
    "DeiT, torchvision": ({"model": PLAIN, "model_ema": OTHER}, "model_ema"),
    "averages of steps": ({"net": PLAIN, "ema": {"shadow": OTHER}}, "ema.shadow"),
    "mean teacher": ({"student": PLAIN, "teacher": OTHER}, "teacher"),
    "nested": ({"model": {"state_dict": PLAIN, "average": OTHER}}, "model.average"),
}


@pytest.mark.parametrize("case", BOTH)
def test_several_sets_of_weights_are_refused_unless_one_is_named(case):
    held, place = BOTH[case]
    held |= {"epoch": 3, "optimizer": OPTIMIZER, "best": {"top1": 76.1}}
    with pytest.raises(InputError, match=rf"state: found 2 sets .*{place}.*weights=N"):
        read_state(held)
    found, _ = read_state(held, place)
    np.testing.assert_array_equal(found["a.weight"], OTHER["a.weight"])
    with pytest.raises(InputError, match="weights: found 'x', but state has 2 sets"):
        read_state(held, "x")


@pytest.mark.parametrize("key", ["state_dict", "model", "weights", "ema", "a.b"])
def test_one_set_of_weights_is_taken_wherever_it_lies(key):
    found, _ = read_state({key: OTHER, "optimizer": OPTIMIZER, "step": 3})
    np.testing.assert_array_equal(found["a.weight"], OTHER["a.weight"])
    with pytest.raises(InputError, match="has no sets of weights by name"):
        read_state({"loss": 3.0}, "model")


def mlp():
    network = models.network("mlp", 3, (4, 4, 1), hidden=(5,))
    return models.to_torch("mlp", network.init(jax.random.key(0)))


# How a file, or one beside it, says of what network its weights are.
SAID = {
    "safetensors": lambda path, name: save_file(mlp(), path, {"architecture": name}),
    "config.json": lambda path, name: (
        save_file(mlp(), path),
        path.with_name("config.json").write_text(json.dumps({"architecture": name})),
    ),
    "its pretrained_cfg": lambda path, name: (
        save_file(mlp(), path),
        path.with_name("config.json").write_text(
            json.dumps({"pretrained_cfg": {"architecture": name}})
        ),
    ),
}


@pytest.mark.parametrize("how", SAID)
def test_weights_that_say_another_network_are_refused(tmp_path, how):
    path = tmp_path / "w.safetensors"
    SAID[how](path, "mlp_mixer")
    with pytest.raises(
        InputError, match="the network 'mlp_mixer', not mlp, .*architecture=N"
    ):
        models.from_torch("mlp", path)
    models.from_torch("mlp", path, architecture="mlp_mixer")
    with pytest.raises(InputError, match="network 'mlp_mixer'"):
        models.from_torch("mlp", path, architecture="other")
    SAID[how](path, "MLP")
    models.from_torch("mlp", path)


@pytest.mark.parametrize("key", ["arch", "args"])
def test_a_checkpoint_says_its_network(key):
    def held(name):
        said = {"args": {"model": name}} if key == "args" else {"arch": name}
        return {"state_dict": mlp(), "epoch": 1} | said

    models.from_torch("mlp", held("mlp"))
    with pytest.raises(InputError, match=f"{key}.* names the network 'vgg'"):
        models.from_torch("mlp", held("vgg"))


def test_our_own_file_says_its_network(tmp_path):
    path = tmp_path / "w.safetensors"
    network = models.network("mlp", 3, (4, 4, 1), hidden=(5,))
    models.save_safetensors(path, "mlp", network.init(jax.random.key(0)))
    assert read_state(path)[1] == {"architecture": "mlp"}


@pytest.mark.parametrize(
    "name, says, fits",
    [
        ("resnet50", "resnet50.a1_in1k", True),
        ("resnet50", "timm/resnet50.tv_in1k", True),
        ("resnet50", "ResNet-50", True),
        ("resnet50", "resnetaa50", False),
        ("resnet50", "resnetaa50d.sw_in12k", False),
        ("resnet50", "resnetblur50", False),
        ("resnet50", "wide_resnet50_2", False),
        ("efficientnet_b0", "efficientnet_b0.ra_in1k", True),
        ("efficientnet_b0", "tf_efficientnet_b0.ns_jft_in1k", False),
        ("mobilenet_v2", "mobilenetv2_100", True),
        ("vit_b_16", "vit_base_patch16_224.augreg_in21k", True),
        ("vit_b_16", "vit_base_patch16_clip_224", False),
        ("swin_v2_t", "swinv2_tiny_window8_256", True),
        ("convnet_d3", "ConvNet", True),
        ("convnet_d3", "ConvNetD4", False),
    ],
)
def test_names_of_libraries_are_known(name, says, fits):
    def check(*more):
        also = models.MODELS[name].state_dict.also
        check_name(name, (*more, *also), {"arch": says}, "w.pth")

    if fits:
        check()
        return
    with pytest.raises(InputError, match=f"w.pth: arch names .*{says!r}, not {name}"):
        check()
    check(says)
