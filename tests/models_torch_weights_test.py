"""Weights of PyTorch: there and back, bit for bit, and what is refused."""

import jax
import numpy as np
import pytest
from ddjax.models.torch_weights import from_torch, save_safetensors, to_torch

from ddjax import models
from ddjax.errors import InputError
from ddjax.models import swin
from ddjax.models.layers import Layers

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


@pytest.fixture(autouse=True)
def few_networks(monkeypatch):
    """Leaves few networks that a message could name, since each is traced for it."""
    names = "convnet_d1", "convnet_d2", "mlp"
    monkeypatch.setattr(models, "MODELS", {name: models.MODELS[name] for name in names})


@pytest.fixture
def variables():
    return variables_of(CONVNET)


@pytest.fixture
def state(variables):
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


def test_what_is_told_wins():
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
        ({"image_size": 0}, "image_size: found 0, allowed is an integer of at"),
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
        with pytest.raises(InputError, match="name: found 'convnet_d9', allowed: "):
            call("convnet_d9", state if call is from_torch else variables)


def test_counts_may_be_missing_all_together_only():
    case = ("convnet_d2", 3, (8, 8, 2), {"width": 4, "norm": "batch"})
    state = to_torch(case[0], variables_of(case))
    del state["features.1.num_batches_tracked"]
    with pytest.raises(InputError, match="1 missing: features.1.num_batches_tracked"):
        from_torch(case[0], state)
    del state["features.5.num_batches_tracked"]
    stats = from_torch(case[0], state)["batch_stats"]
    assert stats["features.1"]["count"] == stats["features.5"]["count"] == 0


@pytest.fixture
def small_swin(monkeypatch):
    """Puts a Swin of one small block in the place of the large one."""

    def build(num_classes, image_size):
        return swin.SwinTransformer(num_classes, 0.0, Layers("none"), 8, (1,), (2,))

    monkeypatch.setitem(models.MODELS, "swin_v2_t", build)
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
