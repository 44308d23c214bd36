"""What networks declare, and what `create` and `network` refuse."""

import dataclasses

import numpy as np
import pytest

from ddjax import models
from ddjax.declare import allowed_text, declaration
from ddjax.errors import InputError
from ddjax.models.layers import Layers
from ddjax.models.model import renamed, side, small_stem

# Wrong for any number, word or tuple of numbers.
WRONG = [-1, 2.5, "unknown", True, float("nan"), None, (0,), [6.5], 10**400]


@pytest.mark.parametrize("name", models.MODELS)
def test_every_option_is_declared_and_checked(name):
    model = models.MODELS[name]
    assert (model.options.__doc__ or "").endswith(".")
    default = models.create(name, 10, 64)
    for field in dataclasses.fields(model.options):
        assert declaration(field).meaning.endswith("."), field.name
        same = models.create(name, 10, 64, **{field.name: field.default})
        assert same == default
        for value in WRONG:
            if isinstance(field.default, bool) and value is True:
                continue
            with pytest.raises(InputError, match=f"^{field.name}: found ") as caught:
                models.create(name, 10, 64, **{field.name: value})
            assert str(caught.value).endswith(allowed_text(field)), value
    for option, known in (("dtype", "bfloat16"), ("lowering", "winograd")):
        with pytest.raises(InputError, match=f"^{option}: found 1 .* one of .*{known}"):
            models.create(name, 10, 64, **{option: 1})
    with pytest.raises(InputError, match=f"^depth: found 2, but {name} has no such"):
        models.create(name, 10, 64, depth=2)


@pytest.mark.parametrize(
    ("name", "size", "options", "message"),
    [
        ("alexnet", 62, {}, "image_size: found 62, allowed is at least 63 px"),
        ("convnet_d6", 32, {}, "image_size: found 32, .* at least 64 px, .* 6 blocks"),
        ("convnet_d6", 28, {}, "image_size: found 28, allowed is at least 64 px"),
        ("convnet_d5", 27, {}, "image_size: found 27, .* at least 32 px, .* 5 blocks"),
        ("convnet_d1", 1, {}, "image_size: found 1, allowed is at least 2 px"),
        ("convnet_d3", 32, {"norm": "group", "width": 6}, "width: found 6, .* of 4"),
        ("resnet18", 32, {"norm": "group", "width": 6}, "width: found 6, .* of 4"),
        ("resnet18", 7, {"downsample": "average"}, "image_size: found 7, .* 8 px"),
        (
            "resnet18",
            32,
            {"downsample": "average", "stem": "large"},
            "stem: found 'large', allowed is auto or small with downsample average",
        ),
        ("resnet_ap10", 7, {}, "image_size: found 7, .* at least 8 px, since three st"),
        ("resnet_ap10", 32, {"norm": "group", "width": 6}, "width: found 6, .* of 4"),
        ("swin_v2_t", 3, {}, "image_size: found 3, allowed is at least 4 px"),
        ("vgg11", 31, {}, "image_size: found 31, allowed is at least 32 px"),
        ("vit_b_16", 40, {}, "image_size: found 40, allowed is a multiple of 16 px"),
        ("lenet", 32, {}, "name: found 'lenet', allowed is one of alexnet, .*mlp"),
        (3, 32, {}, "name: found 3, allowed is one of alexnet"),
        ("resnet_18", 32, {}, "name: found 'resnet_18', .* did you mean resnet18"),
        ("mlp", 32.0, {}, "image_size: found 32.0 of .* allowed is an integer in .1, "),
        ("mlp", 0, {}, "image_size: found 0, allowed is an integer in .1, "),
        ("mlp", 8, {"width": 8}, "width: .* no .*options: hidden, dtype, lowering$"),
    ],
)
def test_create_refuses_what_does_not_fit(name, size, options, message):
    with pytest.raises(InputError, match=f"^{message}"):
        models.create(name, 10, size, **options)


@pytest.mark.parametrize("classes", [1, True, 2.0, "2", None])
def test_create_refuses_what_is_no_number_of_classes(classes):
    with pytest.raises(InputError, match="^num_classes: found .* integer in .2, "):
        models.create("mlp", classes, 8)


def test_create_takes_numbers_of_numpy():
    whole = models.create("mlp", np.int64(3), np.uint8(8), hidden=[np.int32(4)])
    assert whole == models.create("mlp", 3, 8, hidden=(4,))
    half = models.create("vit_b_16", 3, 32, dropout=np.float32(0.5))
    assert half == models.create("vit_b_16", 3, 32, dropout=0.5)
    assert models.create("vit_b_16", 3, 32, dropout=0).dropout == 0


@pytest.mark.parametrize(
    "shape", [(32, 30, 3), (32, 32), (32, 32, 0), 32, (32, 32, 3, 1)]
)
def test_network_refuses_shapes_that_are_no_square_images(shape):
    with pytest.raises(InputError, match=r"^image_shape"):
        models.network("mlp", 10, shape)


def test_families_are_words_that_options_share():
    families = {}
    for name, model in models.MODELS.items():
        assert model.family.isidentifier() and name.startswith(model.family)
        assert families.setdefault(model.family, model.options) is model.options
        names = {field.name for field in dataclasses.fields(model.options)}
        assert not names & {field.name for field in dataclasses.fields(Layers)} - {
            "norm"
        }


def test_the_stem_is_small_up_to_64_px_by_default():
    found = [small_stem(s, n) for s in ("auto", "small", "large") for n in (64, 65)]
    assert found == [True, False, True, True, False, False]


def test_sides_are_those_of_squares():
    assert [side(n) for n in (1, 2, 49, 48, 0.5, 27 / 3)] == [1, 0, 7, 0, 0, 3]


def test_names_are_replaced_one_after_the_other():
    found = renamed({"a.b": np.ones(1)}, [("^a", "c"), (r"^c\.(b)", r"\1\1")])
    assert list(found) == ["bb"]
    with pytest.raises(InputError, match="^a: found two .* called b here"):
        renamed({"b": np.ones(1), "a": np.ones(1)}, [("a", "b")])
