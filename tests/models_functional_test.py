"""Networks by name, and their pure functions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddjax import models
from ddjax.errors import InputError


@pytest.mark.parametrize(
    ("args", "options", "message"),
    [
        (("lenet", 10, 32), {}, r"^name: found 'lenet', allowed: convnet, mlp, res"),
        ((3, 10, 32), {}, r"^name: found 3, allowed: convnet"),
        (("convnet", 1, 32), {}, r"^num_classes: found 1, .* at least 2"),
        (("convnet", 10, 32.0), {}, r"^image_size: found 32.0, .* at least 1"),
        (("convnet", 10, 32), {"widht": 8}, r"^widht: found 8, but convnet has no .*"
         r"options: width, depth, norm, lowering$"),
        (("mlp", 10, 32), {"width": 8}, r"^width: .*mlp has no .*options: hidden$"),
    ],
)  # fmt: skip
def test_create_refuses_what_it_does_not_know(args, options, message):
    with pytest.raises(InputError, match=message):
        models.create(*args, **options)


@pytest.mark.parametrize(
    "shape", [(32, 30, 3), (32, 32), (32, 32, 0), 32, (32, 32, 3, 1)]
)
def test_network_refuses_shapes_that_are_no_square_images(shape):
    with pytest.raises(InputError, match=r"^image_shape"):
        models.network("mlp", 10, shape)


def test_create_gives_a_module_with_logits_and_features():
    module = models.create("convnet", 5, 8, width=4, depth=1)
    images = jnp.ones((2, 8, 8, 1))
    variables = module.init(jax.random.key(0), images)
    logits = module.apply(variables, images, train=False)
    again, features = module.apply(variables, images, features=True)
    assert logits.shape == (2, 5)
    assert features.shape == (2, 4 * 4 * 4)
    np.testing.assert_array_equal(again, logits)
    head = variables["params"]["head"]
    np.testing.assert_allclose(
        features @ head["kernel"] + head["bias"].reshape(1, -1), logits, atol=1e-5
    )


@pytest.mark.parametrize("name", sorted(models.MODELS))
def test_network_is_equal_and_hashes_equal_when_built_from_equal_arguments(name):
    a = models.network(name, 10, (32, 32, 3))
    b = models.network(name, np.int64(10), [32, 32, np.int32(3)])
    assert a == b
    assert hash(a) == hash(b)
    assert a != models.network(name, 11, (32, 32, 3))
    assert a != models.network(name, 10, (32, 32, 1))


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


def test_network_init_is_plain_float32_and_the_same_under_jit_and_vmap():
    net = models.network("convnet", 3, (4, 4, 1), width=4, depth=1, norm="batch")
    keys = jax.random.split(jax.random.key(7), 2)
    together = jax.jit(jax.vmap(net.init))(keys)
    alone = net.init(jax.random.split(jax.random.key(7), 2)[1])
    assert type(alone) is dict and set(alone) == {"params", "batch_stats"}
    assert {leaf.dtype for leaf in jax.tree.leaves(alone)} == {jnp.dtype("float32")}
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a[1], b, rtol=1e-6), together, alone
    )
    kernels = together["params"]["conv0"]["kernel"]
    assert not np.array_equal(kernels[0], kernels[1])
    np.testing.assert_array_equal(alone["batch_stats"]["norm0"]["var"], np.ones(4))
    # The first convolution sees 9 numbers, the head 16.
    assert 0.2 < np.abs(kernels).max() <= 1 / 3
    assert 0.2 < np.abs(alone["params"]["head"]["kernel"]).max() <= 1 / 4


def test_features_of_a_named_layer_are_its_output():
    network = models.network("convnet", 3, (8, 8, 1), width=4, depth=2)
    assert network.layers == ("conv0", "conv1", "head", "norm0", "norm1")
    variables = jax.jit(network.init)(jax.random.key(0))
    images = jax.random.normal(jax.random.key(1), (2, 8, 8, 1))
    convolved = jax.lax.conv_general_dilated(
        images,
        variables["params"]["conv0"]["kernel"],
        (1, 1),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    expected = convolved + variables["params"]["conv0"]["bias"].reshape(1, 1, 1, -1)
    features = jax.jit(network.features, static_argnums=2)
    found = features(variables, images, "conv0")
    np.testing.assert_allclose(found, expected.reshape(2, -1), rtol=1e-4, atol=1e-5)
    logits, _ = jax.jit(network.apply)(variables, images)
    np.testing.assert_allclose(
        features(variables, images, "head"), logits, rtol=1e-5, atol=1e-6
    )


def test_features_of_a_nested_layer_and_of_one_that_is_not_there():
    network = models.network("resnet18", 3, (8, 8, 1), width=4)
    assert "stage1_block0/first" in network.layers
    variables = jax.eval_shape(network.init, jax.random.key(0))
    images = jax.ShapeDtypeStruct((2, 8, 8, 1), jnp.float32)

    def features(layer):
        asked = functools.partial(network.features, layer=layer)
        return jax.eval_shape(asked, variables, images)

    assert features("stage1_block0/first").shape == (2, 4 * 4 * 8)
    with pytest.raises(InputError, match="layer: found 'stage9', allowed are head, st"):
        features("stage9")
