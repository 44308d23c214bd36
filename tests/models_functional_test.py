"""Networks by name, and their pure functions."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from ddjax import models
from ddjax.errors import InputError
from ddjax.models.conv import conv
from ddjax.models.layers import Dropout


def _small(norm="batch", **options):
    """A network of one block, its variables, none of them trivial, and images."""
    net = models.network("convnet_d1", 3, (6, 6, 2), width=4, norm=norm, **options)
    rng = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda leaf: rng.uniform(0.2, 1.0, leaf.shape).astype(leaf.dtype),
        jax.eval_shape(net.init, jax.random.key(0)),
    )
    images = rng.normal(size=(5, 6, 6, 2)).astype(np.float32)
    return net, variables, images


def _convolved(variables, images):
    layer = variables["params"]["features.0"]
    bias = layer["bias"].reshape(1, 1, 1, -1)
    return conv(images, layer["kernel"], 1, 1, "direct") + bias


def test_create_gives_a_module_with_logits_and_features():
    module = models.create("convnet_d1", 5, 8, width=4)
    images = jnp.ones((2, 8, 8, 1))
    variables = jax.jit(module.init)(jax.random.key(0), images)

    @jax.jit
    def run(variables):
        logits = module.apply(variables, images, train=False)
        return logits, *module.apply(variables, images, features=True)

    logits, again, features = run(variables)
    assert logits.shape == (2, 5)
    assert features.shape == (2, 4 * 4 * 4)
    np.testing.assert_array_equal(again, logits)
    head = variables["params"]["classifier"]
    np.testing.assert_allclose(
        features @ head["kernel"] + head["bias"].reshape(1, -1), logits, atol=1e-5
    )


@pytest.mark.parametrize("name", sorted(models.MODELS))
def test_network_is_equal_and_hashes_equal_when_built_from_equal_arguments(name):
    a = models.network(name, 10, (64, 64, 3))
    b = models.network(name, np.int64(10), [64, 64, np.int32(3)])
    assert a == b
    assert hash(a) == hash(b)
    assert a != models.network(name, 11, (64, 64, 3))
    assert a != models.network(name, 10, (64, 64, 1))


def test_network_is_a_static_argument_that_compiles_once():
    traces = []

    def run(net, variables, images):
        traces.append(net)
        return net.apply(variables, images)[0]

    jitted = jax.jit(run, static_argnums=0)
    images = jnp.ones((1, 2, 2, 1))
    for _ in range(2):
        net = models.network("mlp", 3, (2, 2, 1), hidden=[4])
        shapes = jax.eval_shape(net.init, jax.random.key(0))
        jitted(net, jax.tree.map(jnp.ones_like, shapes), images)
    assert len(traces) == 1


def test_network_init_is_plain_float32_and_the_same_under_vmap():
    net = models.network("convnet_d1", 3, (4, 4, 1), width=4, norm="batch")
    keys = jax.random.split(jax.random.key(7), 2)
    together = jax.jit(jax.vmap(net.init))(keys)
    alone = jax.jit(net.init)(jax.random.split(jax.random.key(7), 2)[1])
    assert type(alone) is dict and set(alone) == {"params", "batch_stats"}
    statistics = alone["batch_stats"]["features.1"]
    np.testing.assert_array_equal(statistics["var"], np.ones(4))
    assert statistics.pop("count").dtype == jnp.int32
    assert {leaf.dtype for leaf in jax.tree.leaves(alone)} == {jnp.dtype("float32")}
    for name, bound in (("features.0", 1 / 3), ("classifier", 1 / 4)):
        # The first convolution sees 9 numbers, the head 16.
        kernels, kernel = (v["params"][name]["kernel"] for v in (together, alone))
        np.testing.assert_allclose(kernels[1], kernel, rtol=1e-6)
        assert not np.array_equal(kernels[0], kernels[1])
        assert 0.2 < np.abs(kernels).max() <= bound


def test_features_of_a_named_layer_are_its_output():
    network = models.network("convnet_d2", 3, (8, 8, 1), width=4)
    names = ("features.0", "features.1", "features.4", "features.5")
    assert network.layers == ("classifier", *names)
    assert network.head == "classifier"
    net, variables, images = _small()

    @jax.jit
    def run(images):
        asked = [net.features(variables, images, n) for n in ("features.0", net.head)]
        return asked, _convolved(variables, images), net.apply(variables, images)[0]

    (convolved, last), expected, logits = run(images)
    np.testing.assert_allclose(convolved, expected.reshape(5, -1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(last, logits, rtol=1e-5, atol=1e-6)


def test_features_of_a_nested_layer_and_of_one_that_is_not_there():
    network = models.network("resnet_ap10", 3, (32, 32, 1), width=4)
    assert "layer2.0/conv1" in network.layers
    variables = jax.eval_shape(network.init, jax.random.key(0))
    images = jax.ShapeDtypeStruct((2, 32, 32, 1), jnp.float32)

    def features(layer):
        asked = functools.partial(network.features, layer=layer)
        return jax.eval_shape(asked, variables, images)

    assert features("layer2.0/conv1").shape == (2, 32 * 32 * 8)
    with pytest.raises(
        InputError, match="layer: found 'layer9', allowed are fc, layer0.bn1"
    ):
        features("layer9")


@pytest.mark.parametrize(
    ("name", "head"),
    [("mlp", "fc_3"), ("resnet18", "fc"), ("vgg11", "classifier.6")],
)
def test_head_is_the_dense_layer_that_gives_the_logits(name, head):
    assert models.network(name, 3, (32, 32, 3)).head == head


def test_inspect_measures_what_enters_every_norm_and_passes_gradients():
    net, variables, images = _small()

    def loss(images, found):
        mean, var = found["features.1"]
        return jnp.sum(mean**2) + jnp.sum(jnp.sqrt(var))

    def by_inspect(images):
        logits, found = net.inspect(variables, images, {"norm": models.moments})
        return loss(images, found), (logits, found)

    def by_hand(images):
        flat = _convolved(variables, images).reshape(-1, 4)
        mean = flat.mean(0)
        found = {"features.1": (mean, ((flat - mean.reshape(1, 4)) ** 2).mean(0))}
        return loss(images, found), (net.apply(variables, images)[0], found)

    found, expected = (
        jax.jit(jax.value_and_grad(run, has_aux=True))(images)
        for run in (by_inspect, by_hand)
    )
    assert np.abs(expected[1]).max() > 1e-3
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
        found,
        expected,
    )


def test_inspect_in_training_gives_the_logits_of_training():
    net, variables, images = _small()

    @jax.jit
    def run(images):
        inspected = net.inspect(variables, images, {"norm": jnp.shape}, train=True)[0]
        trained, _ = net.apply(variables, images, train=True)
        return inspected, trained, net.apply(variables, images)[0]

    inspected, trained, evaluated = run(images)
    np.testing.assert_allclose(inspected, trained, rtol=1e-5)
    assert np.abs(trained - evaluated).max() > 0.1


def test_inspect_of_convolutions_sees_the_images_and_refuses_unknown_kinds():
    net, variables, images = _small("none")
    run = jax.jit(lambda x: net.inspect(variables, x, {"conv": lambda x: x})[1])
    found = run(images)
    assert list(found) == ["features.0"]
    np.testing.assert_array_equal(found["features.0"], images)
    assert (
        jax.eval_shape(
            lambda x: net.inspect(variables, x, {"norm": jnp.mean})[1], images
        )
        == {}
    )
    with pytest.raises(InputError, match=r"^measures: found 'dense', .* norm, conv$"):
        net.inspect(variables, images, {"dense": jnp.mean})


def test_running_moments_are_those_of_every_batch_norm():
    net, variables, _ = _small()
    statistics = variables["batch_stats"]["features.1"]
    found = models.running_moments(variables)
    assert list(found) == ["features.1"]
    np.testing.assert_array_equal(found["features.1"][0], statistics["mean"])
    np.testing.assert_array_equal(found["features.1"][1], statistics["var"])
    assert models.running_moments({"params": variables["params"]}) == {}


def test_rescale_is_what_the_network_makes_of_rescaled_images():
    net, variables, images = _small()
    factors, offsets = np.float32([2.0, 0.5]), np.float32([0.25, -1.0])
    rescale = tuple(factors.tolist()), tuple(offsets.tolist())
    rescaled = dataclasses.replace(net, rescale=rescale)
    assert hash(rescaled) != hash(net) and rescaled != net

    def everything(net, images):
        logits, updated = net.apply(variables, images, train=True)
        return {
            "apply": net.apply(variables, images)[0],
            "train": (logits, updated["batch_stats"]),
            "features": net.features(variables, images),
            "layer": net.features(variables, images, "features.0"),
            "inspect": net.inspect(variables, images, {"norm": models.moments}),
        }

    run = jax.jit(everything, static_argnums=0)
    found = run(rescaled, images)
    by_hand = images * factors.reshape(1, 1, 1, 2) + offsets.reshape(1, 1, 1, 2)
    expected, other = run(net, by_hand), run(net, images)
    for name, values in expected.items():
        jax.tree.map(
            functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5),
            found[name],
            values,
        )
        first, unlike = (jax.tree.leaves(a[name])[0] for a in (expected, other))
        assert np.abs(first - unlike).max() > 0.01


class Dropped(nn.Module):
    """The pixels after dropout."""

    @nn.compact
    def __call__(self, images, train=False):
        return Dropout(0.5, train)(images).reshape(len(images), -1)


def test_apply_passes_its_key_to_dropout_in_training():
    net = models.Network(Dropped(), (4, 4, 1))
    images = np.ones((2, 4, 4, 1), np.float32)

    def logits(train, seed=None):
        key = None if seed is None else jax.random.key(seed)
        return np.asarray(net.apply({}, images, train=train, key=key)[0])

    plain = images.reshape(2, 16)
    np.testing.assert_array_equal(logits(False, 0), plain)
    np.testing.assert_array_equal(logits(True), plain)
    assert set(np.unique(logits(True, 0))) == {0, 2}
    np.testing.assert_array_equal(logits(True, 0), logits(True, 0))
    assert not np.array_equal(logits(True, 0), logits(True, 1))


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_bfloat16_networks_keep_float32_weights_and_answers(norm):
    net, variables, images = _small(norm, dtype="bfloat16")
    exact, *_ = _small(norm)
    shapes = jax.eval_shape(net.init, jax.random.key(0))
    assert {leaf.dtype.name for leaf in jax.tree.leaves(shapes["params"])} == {
        "float32"
    }

    @functools.partial(jax.jit, static_argnums=0)
    def run(net, images):
        logits, updated = net.apply(variables, images, train=True)
        return logits, net.features(variables, images), updated

    found, expected = run(net, images), run(exact, images)
    same = lambda a, b: a.dtype == b.dtype and a.shape == b.shape  # noqa: E731
    assert all(jax.tree.leaves(jax.tree.map(same, found, expected)))
    assert found[0].dtype == found[1].dtype == jnp.float32
    for a, b in zip(found[:2], expected[:2], strict=True):
        # Eight bits, but not more.
        difference = np.abs(a - b).max() / np.abs(b).max()
        assert 1e-4 < difference < 0.02
