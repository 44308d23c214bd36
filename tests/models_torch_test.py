"""Weights of PyTorch: there and back, other libraries' names, what is refused."""

import dataclasses
import re

import jax
import numpy as np
import pytest

from ddjax import models
from ddjax.errors import InputError
from ddjax.models import from_torch, save_safetensors, swin, to_torch
from ddjax.models.torch import _arguments

CONVNET = ("convnet_d1", 3, (8, 8, 2), {"width": 4, "norm": "batch"})
# Name, classes, image, options; from_torch is told none of them but the first.
NETWORKS = [
    CONVNET,
    ("convnet_d2", 2, (12, 12, 3), {"width": 4, "norm": "none"}),
    ("convnet_d1", 2, (32, 32, 1), {"width": 1, "norm": "instance"}),
    ("mlp", 3, (4, 4, 1), {"hidden": (5, 6)}),
    ("mlp", 2, (2, 2, 3), {"hidden": ()}),
]


def fill(shapes, seed=0):
    rng = np.random.default_rng(seed)
    draw = {
        np.dtype("float32"): lambda n: rng.normal(size=n).astype(np.float32),
        np.dtype("int32"): lambda n: rng.integers(1, 9, n).astype(np.int32),
    }
    return jax.tree.map(lambda leaf: draw[leaf.dtype](leaf.shape), shapes)


def variables_of(case, seed=0):
    name, classes, shape, options = case
    net = models.network(name, classes, shape, **options)
    return fill(jax.eval_shape(net.init, jax.random.key(0)), seed)


@pytest.fixture
def few_networks(monkeypatch):
    """Leaves few networks that a message could name, since each is traced for it."""
    names = "convnet_d1", "convnet_d2", "mlp"
    monkeypatch.setattr(models, "MODELS", {name: models.MODELS[name] for name in names})


@pytest.fixture
def variables():
    return variables_of(CONVNET)


@pytest.fixture
def state(variables, few_networks):
    return to_torch("convnet_d1", variables)


def assert_equal(found, expected):
    """The same tree, kinds of numbers and bits."""
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_names_and_layouts_are_those_of_pytorch(variables, state):
    params, stats = variables["params"], variables["batch_stats"]["features.1"]
    assert {key: (v.shape, v.dtype.name) for key, v in state.items()} == {
        "features.0.weight": ((4, 2, 3, 3), "float32"),
        "features.0.bias": ((4,), "float32"),
        "features.1.weight": ((4,), "float32"),
        "features.1.bias": ((4,), "float32"),
        "features.1.running_mean": ((4,), "float32"),
        "features.1.running_var": ((4,), "float32"),
        "features.1.num_batches_tracked": ((), "int64"),
        "classifier.weight": ((3, 64), "float32"),
        "classifier.bias": ((3,), "float32"),
    }
    kernel = params["features.0"]["kernel"]
    assert state["features.0.weight"][3, 1, 0, 2] == kernel[0, 2, 1, 3]
    assert state["classifier.weight"][2, 50] == params["classifier"]["kernel"][50, 2]
    assert state["features.1.weight"][1] == params["features.1"]["scale"][1]
    assert state["features.1.running_mean"][2] == stats["mean"][2]
    assert state["features.1.running_var"][2] == stats["var"][2]
    assert state["features.1.num_batches_tracked"] == stats["count"]


@pytest.mark.parametrize("case", NETWORKS, ids=lambda case: case[0])
def test_round_trip_without_being_told_anything_is_bit_for_bit(case):
    expected = variables_of(case)
    state = to_torch(case[0], expected)
    found = from_torch(case[0], state)
    assert_equal(found, expected)
    assert_equal(to_torch(case[0], found), state)


def test_what_is_told_wins(few_networks):
    name, classes, shape, options = case = NETWORKS[3]
    state = to_torch(name, variables_of(case))
    assert_equal(
        from_torch(name, state, classes, shape[0], **options), variables_of(case)
    )
    with pytest.raises(InputError, match=r"3 of another shape: fc_1.bias \(found "):
        from_torch(name, state, image_size=4, hidden=(7, 6))
    with pytest.raises(InputError, match="image_size: found 3, but the first layer"):
        from_torch(name, state, image_size=3)


def test_results_do_not_share_memory(variables, state):
    found = from_torch("convnet_d1", state)
    again = to_torch("convnet_d1", found)
    for array in [*state.values(), *again.values()]:
        array[...] = 0
    assert_equal(found, variables)


def test_half_precision_becomes_float32(variables, state):
    for kind in (np.float16, jax.numpy.bfloat16, np.float64):
        other = {k: v.astype(kind) if v.ndim else v for k, v in state.items()}
        found = to_torch("convnet_d1", from_torch("convnet_d1", other))
        for key, array in other.items():
            expected = array.astype(np.float32) if array.ndim else array
            np.testing.assert_array_equal(found[key], expected)
            assert found[key].dtype == expected.dtype


def test_wrappers_and_prefixes_are_dropped(variables, state):
    deep = {f"module._orig_mod.{key}": array for key, array in state.items()}
    for wrapped in (deep, {"epoch": 3, "state_dict": {"net": deep}, "optimizer": {}}):
        assert_equal(from_torch("convnet_d1", wrapped), variables)
    deep["fc"] = deep.pop("module._orig_mod.classifier.bias")
    with pytest.raises(InputError, match="no features.0.weight with 4 axes"):
        from_torch("convnet_d1", deep)


def test_all_that_does_not_fit_is_listed(state):
    state["extra.weight"] = np.zeros(2, np.float32)
    del state["features.0.bias"], state["features.1.running_var"]
    state["features.1.bias"] = np.zeros(5, np.float32)
    with pytest.raises(InputError) as error:
        from_torch("convnet_d1", state)
    assert str(error.value) == (
        "state: does not fit convnet_d1: 2 missing: features.1.running_var, "
        "features.0.bias; 1 left over: extra.weight; 1 of another shape: "
        "features.1.bias (found (5,), expected (4,))"
    )
    state |= {f"more.{i}": np.zeros(2, np.float32) for i in range(9)}
    with pytest.raises(InputError, match="10 left over: extra.weight, .* and 2 more;"):
        from_torch("convnet_d1", state)


def test_another_network_is_named(state):
    fit = "they fit convnet_d1$"
    with pytest.raises(InputError, match=f"7 missing: .*features.4.weight.*; {fit}"):
        from_torch("convnet_d2", state)
    with pytest.raises(InputError, match=f"no fc_1.weight with 2 axes .*; {fit}"):
        from_torch("mlp", state, num_classes=3)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"num_classes": 10}, "num_classes: found 10, but .* with 3 classes"),
        ({"width": 8}, r"of another shape: .*\(found \(4,\), expected \(8,\)\)"),
        ({"norm": "instance"}, "3 left over: .*features.1.running_mean"),
        ({"norm": "none"}, "5 left over: .*features.1.weight"),
        ({"image_size": 16}, r"classifier.weight \(found \(3, 64\), expected \(3, 256"),
        ({"image_size": 0}, "image_size: found 0, allowed is an integer in"),
        ({"colour": 1}, "colour: found 1, but convnet_d1 has no such option"),
    ],
)
def test_arguments_that_contradict_the_tensors_are_refused(state, arguments, message):
    with pytest.raises(InputError, match=message):
        from_torch("convnet_d1", state, **arguments)


@pytest.mark.parametrize(
    "key, value, message",
    [
        (
            "features.1.bias",
            np.array([0, 1, np.nan, 0]),
            "found NaN or infinite",
        ),
        (
            "classifier.bias",
            np.array([0, 1e300, 0]),
            "bias: found NaN or infinite",
        ),
        ("classifier.bias", np.zeros(3, int), "classifier.bias: found int64, allowed"),
        ("classifier.bias", np.zeros(3, complex), "found complex128, allowed is float"),
        (
            "features.1.num_batches_tracked",
            np.array(2**31),
            "2147483648, allowed",
        ),
        (
            "features.1.num_batches_tracked",
            np.array(1.0),
            "float32, allowed is int",
        ),
        ("classifier.bias", "zeros", "found 'classifier.bias' -> str, allowed"),
        ("classifier.bias", [[1], [2, 3]], "found 'classifier.bias' -> list, allowed"),
        (3, np.zeros(3), "found 3 -> ndarray, allowed"),
    ],
)
def test_tensors_that_are_none_are_refused(state, key, value, message):
    with pytest.raises(InputError, match=message):
        from_torch("convnet_d1", state | {key: value})


@pytest.mark.parametrize("state", [{}, {"state_dict": {}}])
def test_no_tensors_are_refused(state):
    with pytest.raises(InputError, match="found dict without tensors"):
        from_torch("convnet_d1", state)


def test_an_unknown_network_is_refused(variables, state):
    for call in (from_torch, to_torch):
        with pytest.raises(InputError, match="name: found 'convnet_d9', allowed is "):
            call("convnet_d9", state if call is from_torch else variables)


def test_counts_may_be_missing_all_together_only(few_networks):
    case = ("convnet_d2", 3, (8, 8, 2), {"width": 4, "norm": "batch"})
    state = to_torch(case[0], variables_of(case))
    del state["features.1.num_batches_tracked"]
    with pytest.raises(InputError, match="1 missing: features.1.num_batches_tracked"):
        from_torch(case[0], state)
    del state["features.5.num_batches_tracked"]
    stats = from_torch(case[0], state)["batch_stats"]
    assert stats["features.1"]["count"] == stats["features.5"]["count"] == 0


@pytest.fixture
def small_swin(monkeypatch, few_networks):
    """Puts a Swin of one small block in the place of the large one."""

    def build(num_classes, image_size, options, layers):
        return swin.SwinTransformer(num_classes, 0.0, layers, 8, (1,), (2,))

    small = dataclasses.replace(swin.MODEL, build=build)
    monkeypatch.setitem(models.MODELS, "swin_v2_t", small)
    return variables_of(("swin_v2_t", 2, (8, 8, 3), {}))


def test_constants_of_swin_are_written_checked_and_consumed(small_swin):
    state = to_torch("swin_v2_t", small_swin)
    layer = "features.1.0.attn."
    table = state[layer + "relative_coords_table"]
    places = state[layer + "relative_position_index"]
    assert (table.shape, table.dtype) == ((1, 15, 15, 2), np.float32)
    assert (places.shape, places.dtype) == ((64 * 64,), np.int64)
    # 14 rows of 15 columns, and 14 columns more; then the middle, no offset.
    assert (places[63], places[63 * 64], places[0]) == (0, 14 * 15 + 14, 112)
    largest = np.log2(9) / 3
    np.testing.assert_allclose(table[0, 0, 14], [-largest, largest], rtol=1e-6)
    assert_equal(from_torch("swin_v2_t", state), small_swin)
    weights = {key: v for key, v in state.items() if "relative" not in key}
    assert_equal(from_torch("swin_v2_t", weights), small_swin)
    for constant in ("relative_coords_table", "relative_position_index"):
        key = layer + constant
        with pytest.raises(InputError, match=f"{constant}: found other numbers than"):
            from_torch("swin_v2_t", state | {key: np.flip(state[key])})
    with pytest.raises(InputError, match=rf"1 of another shape: {key} \(found"):
        from_torch("swin_v2_t", state | {key: state[key][:1]})


def test_safetensors_round_trip_is_bit_for_bit(variables, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_safetensors(path, "convnet_d1", variables_of(CONVNET, seed=1))
    save_safetensors(path, "convnet_d1", variables)
    assert [p.name for p in tmp_path.iterdir()] == ["weights.safetensors"]
    assert_equal(from_torch("convnet_d1", path), variables)
    assert_equal(from_torch("convnet_d1", str(path), 3, 8, width=4), variables)


def test_a_network_without_a_layout_in_pytorch_is_refused(state, monkeypatch):
    alone = dataclasses.replace(models.MODELS["convnet_d2"], state_dict=None)
    monkeypatch.setitem(models.MODELS, "convnet_d2", alone)
    with pytest.raises(InputError, match="^name: found 'convnet_d2', .* with weights"):
        from_torch("convnet_d2", state)
    with pytest.raises(InputError, match="they fit convnet_d1$"):
        from_torch("mlp", state)


def tensors(**shapes):
    """Tensors of these shapes, without their memory; _ stands for a dot."""
    return {
        key.replace("__", "."): np.broadcast_to(np.float32(0), shape)
        for key, shape in shapes.items()
    }


RESNET = tensors(
    conv1__weight=(8, 3, 7, 7),
    bn1__weight=(8,),
    bn1__running_mean=(8,),
    layer4__0__conv1__weight=(64, 32, 3, 3),
    layer4__0__conv2__weight=(64, 64, 3, 3),
    fc__weight=(5, 64),
)
BATCH = {"norm": "batch", "width": 8}


def told(name, found, size=None, **options):
    return _arguments(name, found, None, size, options)


def test_a_resnet_tells_its_stem_width_and_norm():
    large = BATCH | {"stem": "large", "downsample": "stride"}
    assert told("resnet18", RESNET) == (5, (224, 224, 3), large)
    assert told("resnet18", RESNET, 96)[1] == (96, 96, 3)
    small = RESNET | tensors(conv1__weight=(8, 1, 3, 3))
    expected = large | {"stem": "small"}
    assert told("resnet18", small) == (5, (64, 64, 1), expected)
    assert told("resnet18", small, norm="group")[2] == expected | {"norm": "group"}
    del small["bn1.running_mean"]
    assert told("resnet18", small)[2] == expected | {"norm": "instance"}
    del small["bn1.weight"]
    assert told("resnet18", small)[2] == expected | {"norm": "none"}


def test_a_resnet_with_pooling_tells_its_image_size():
    found = RESNET | tensors(
        conv1__weight=(8, 3, 3, 3),
        layer2__0__downsample__2__weight=(16,),
        fc__weight=(5, 64 * 4 * 4),
    )
    options = BATCH | {"stem": "small", "downsample": "average"}
    assert told("resnet18", found) == (5, (32, 32, 3), options)


@pytest.mark.parametrize(
    "inputs, size, expected",
    [
        (32 * 32 * 3, None, (32, 32, 3)),
        (28 * 28, None, (28, 28, 1)),
        (16 * 16 * 2, 16, (16, 16, 2)),
    ],
)
def test_an_mlp_tells_its_images_and_layers(inputs, size, expected):
    layers = {f"fc_{i + 1}__weight": (2 + i, 2) for i in range(11)}
    found = tensors(**layers | {"fc_1__weight": (2, inputs)})
    options = {"hidden": tuple(range(2, 12))}
    assert told("mlp", found, size) == (12, expected, options)


def test_an_mlp_on_no_square_must_be_told():
    found = tensors(fc_1__weight=(5, 7))
    with pytest.raises(InputError, match="found none, but the first layer has 7 inp"):
        told("mlp", found)


@pytest.mark.parametrize(
    "name, stem, head, size",
    [
        ("convnet_d3", (16, 1, 3, 3), (2, 16 * 8 * 8), 64),
        ("convnet_d1", (16, 1, 3, 3), (2, 16 * 6 * 6), 12),
    ],
)
def test_a_convnet_tells_its_image_size(name, stem, head, size):
    found = tensors(features__0__weight=stem, classifier__weight=head)
    options = {"width": 16, "norm": "none"}
    assert told(name, found) == (2, (size, size, 1), options)


def test_a_vision_transformer_tells_its_image_size():
    found = tensors(
        conv_proj__weight=(768, 3, 16, 16),
        encoder__pos_embedding=(1, 26, 768),
        heads__head__weight=(9, 768),
    )
    assert told("vit_b_16", found) == (9, (80, 80, 3), {})


def test_missing_ends_and_other_classes_are_refused():
    with pytest.raises(InputError, match="no conv1.0.weight with 4 axes among the 6"):
        told("shufflenet_v2_x0_5", RESNET)
    with pytest.raises(InputError, match="no fc.weight with 2 axes among the 6 tensor"):
        told("resnet18", RESNET | tensors(fc__weight=(5, 64, 1)))
    with pytest.raises(InputError, match="num_classes: found 10, but .* 5 classes"):
        _arguments("resnet18", RESNET, 10, None, {})


def standard(name, tensors):
    return models.MODELS[name].state_dict.standard(tensors)


def renamed(name, *keys):
    """Our names of tensors that another library calls by these keys."""
    return list(standard(name, dict.fromkeys(keys, np.zeros(1))))


@pytest.mark.parametrize(
    "name, key, expected",
    [
        ("resnet18", "layer2.0.shortcut.0.weight", "layer2.0.downsample.0.weight"),
        ("resnet18", "linear.bias", "fc.bias"),
        ("resnet50", "classifier.weight", "fc.weight"),
        (
            "densenet121",
            "features.denseblock2.denselayer12.conv.2.weight",
            "features.denseblock2.denselayer12.conv2.weight",
        ),
        ("vgg11", "pre_logits.fc2.bias", "classifier.3.bias"),
        ("vgg11", "head.fc.weight", "classifier.6.weight"),
        ("mobilenet_v2", "conv_stem.weight", "features.0.0.weight"),
        ("mobilenet_v2", "bn1.running_var", "features.0.1.running_var"),
        ("mobilenet_v2", "blocks.0.0.conv_dw.weight", "features.1.conv.0.0.weight"),
        ("mobilenet_v2", "blocks.0.0.bn2.bias", "features.1.conv.2.bias"),
        ("mobilenet_v2", "blocks.1.0.bn2.bias", "features.2.conv.1.1.bias"),
        ("mobilenet_v2", "blocks.3.3.conv_pwl.weight", "features.10.conv.2.weight"),
        ("mobilenet_v2", "blocks.2.0.bn3.bias", "features.4.conv.3.bias"),
        ("mobilenet_v2", "blocks.4.0.bn3.bias", "features.11.conv.3.bias"),
        ("mobilenet_v2", "blocks.5.0.bn3.bias", "features.14.conv.3.bias"),
        ("mobilenet_v2", "blocks.6.0.bn3.weight", "features.17.conv.3.weight"),
        ("mobilenet_v2", "conv_head.weight", "features.18.0.weight"),
        ("mobilenet_v2", "classifier.bias", "classifier.1.bias"),
        (
            "efficientnet_b0",
            "blocks.0.0.se.conv_expand.bias",
            "features.1.0.block.1.fc2.bias",
        ),
        (
            "efficientnet_b0",
            "blocks.4.2.se.conv_reduce.weight",
            "features.5.2.block.2.fc1.weight",
        ),
        (
            "efficientnet_b0",
            "blocks.0.0.conv_pw.weight",
            "features.1.0.block.2.0.weight",
        ),
        (
            "efficientnet_b0",
            "blocks.6.0.conv_dw.weight",
            "features.7.0.block.1.0.weight",
        ),
        ("efficientnet_b0", "bn2.weight", "features.8.1.weight"),
        ("vit_b_16", "pos_embed", "encoder.pos_embedding"),
        (
            "vit_b_16",
            "blocks.11.attn.qkv.weight",
            "encoder.layers.encoder_layer_11.self_attention.in_proj_weight",
        ),
        ("vit_b_16", "blocks.0.norm2.bias", "encoder.layers.encoder_layer_0.ln_2.bias"),
        ("vit_b_16", "norm.bias", "encoder.ln.bias"),
        ("swin_v2_t", "layers.0.blocks.1.norm1.bias", "features.1.1.norm1.bias"),
        ("swin_v2_t", "layers.3.downsample.norm.bias", "features.6.norm.bias"),
        ("swin_v2_t", "layers.2.blocks.5.mlp.fc2.bias", "features.5.5.mlp.3.bias"),
        ("swin_v2_t", "norm.weight", "norm.weight"),
    ],
)
def test_names_of_other_libraries_become_ours(name, key, expected):
    assert renamed(name, key) == [expected]
    assert renamed(name, expected) == [expected]


def test_idc_convnets_count_norms_apart():
    keys = ["layers.conv.2.bias", "layers.norm.2.bias", "classifier.bias"]
    found = renamed("convnet_d3", *keys)
    assert found == ["features.8.bias", "features.9.bias", "classifier.bias"]
    # Without norms a block has three layers.
    assert renamed("convnet_d3", keys[0], keys[2]) == ["features.6.bias", keys[2]]


def test_two_tensors_of_one_name_are_refused():
    with pytest.raises(InputError, match="linear.bias: found two .* called fc.bias"):
        renamed("resnet18", "fc.bias", "linear.bias")
    layer = "features.1.0.attn."
    with pytest.raises(InputError, match="found two .* called .*attn.qkv.bias here"):
        renamed("swin_v2_t", *(f"{layer}{part}bias" for part in ("qkv.", "q_", "v_")))


def test_dense_layers_and_biases_of_timm_get_our_shapes():
    weight = np.arange(24.0).reshape(2, 3, 2, 2)
    found = standard("vgg11", {"pre_logits.fc1.weight": weight})
    np.testing.assert_array_equal(found["classifier.0.weight"], weight.reshape(2, 12))
    biases = {"attn.q_bias": np.array([1.0, 2.0]), "attn.v_bias": np.array([3.0, 4.0])}
    found = standard("swin_v2_t", biases)
    np.testing.assert_array_equal(found.pop("attn.qkv.bias"), [1, 2, 0, 0, 3, 4])
    assert not found


# Without VGG, which takes minutes to build.
TIMM = {
    "mobilenet_v2": ("mobilenetv2_100", 64),
    "efficientnet_b0": ("efficientnet_b0", 64),
    "vit_b_16": ("vit_base_patch16_224", 224),
    "swin_v2_t": ("swinv2_tiny_window8_256", 256),
    "resnet50": ("resnet50", 64),
    "densenet121": ("densenet121", 64),
}


@pytest.mark.parametrize("name", TIMM)
def test_timm_weights_under_our_names_are_the_same_function(name):
    torch = pytest.importorskip("torch")
    timm = pytest.importorskip("timm")
    torchvision = pytest.importorskip("torchvision")
    theirs, size = TIMM[name]
    torch.manual_seed(0)
    source = timm.create_model(theirs, pretrained=False, num_classes=5).eval()
    with torch.no_grad():
        for key, tensor in source.state_dict().items():
            if re.search(r"(bias|mean|norm\d?\.weight|bn\d\.weight|embed)$", key):
                tensor.uniform_(0.1, 0.9)
    state = {key: tensor.numpy() for key, tensor in source.state_dict().items()}
    with torch.device("meta"):
        target = getattr(torchvision.models, name)(num_classes=5).eval()
    found = {k: torch.from_numpy(v) for k, v in standard(name, state).items()}
    if name == "swin_v2_t":  # The constants that timm does not write.
        whole = torchvision.models.swin_v2_t(num_classes=5).state_dict()
        found |= {key: v for key, v in whole.items() if "relative_" in key}
    target.load_state_dict(found, strict=True, assign=True)
    images = torch.randn(2, 3, size, size)
    with torch.no_grad():
        expected, logits = source(images), target(images)
    assert (logits - expected).abs().max() < 1e-4 * expected.abs().max()
