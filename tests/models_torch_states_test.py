"""Files with several sets of weights, and files that name their network."""

import json

import numpy as np
import pytest
from ddjax.models.torch_files import read_state
from ddjax.models.torch_states import check_name
from safetensors.numpy import save_file

from ddjax import models
from ddjax.errors import InputError

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
    return models.to_torch("mlp", network.init(models_key()))


def models_key():
    import jax

    return jax.random.key(0)


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
        InputError, match="of 'mlp_mixer', not of mlp, .*architecture=N"
    ):
        models.from_torch("mlp", path)
    models.from_torch("mlp", path, architecture="mlp_mixer")
    with pytest.raises(InputError, match="of 'mlp_mixer'"):
        models.from_torch("mlp", path, architecture="other")
    SAID[how](path, "MLP")
    models.from_torch("mlp", path)


@pytest.mark.parametrize("key", ["arch", "args"])
def test_a_checkpoint_says_its_network(key):
    def held(name):
        said = {"args": {"model": name}} if key == "args" else {"arch": name}
        return {"state_dict": mlp(), "epoch": 1} | said

    models.from_torch("mlp", held("mlp"))
    with pytest.raises(InputError, match=f"{key}.* says that the weights are of 'vgg'"):
        models.from_torch("mlp", held("vgg"))


def test_our_own_file_says_its_network(tmp_path):
    path = tmp_path / "w.safetensors"
    network = models.network("mlp", 3, (4, 4, 1), hidden=(5,))
    models.save_safetensors(path, "mlp", network.init(models_key()))
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
    if fits:
        check_name(name, {"arch": says}, "", "w.pth")
        return
    with pytest.raises(InputError, match=f"w.pth: arch says .*{says!r}, not of {name}"):
        check_name(name, {"arch": says}, "", "w.pth")
    check_name(name, {"arch": says}, says, "w.pth")
