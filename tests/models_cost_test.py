"""What networks cost, against torchvision's tables and PyTorch's own counter.

Letters: B batch, H W image, C channels, D features.
"""

import contextlib
import io
import pathlib

import jax
import pytest
from flax import linen as nn

from ddjax.models import MODELS, Network, cost, network
from ddjax.models.__main__ import main
from ddjax.models.layers import Layers, adaptive_average_pool, flatten

DOCUMENT = pathlib.Path(__file__).parents[1] / "docs" / "models.md"
# Half of what torch.utils.flop_counter (2.14) counts in torchvision 0.29's networks, by
# name and size in px. ViT is missing, whose attention it does not see on CPU.
COUNTED = {
    ("alexnet", 224): 714_188_480,
    ("densenet121", 224): 2_834_161_664,
    ("efficientnet_b0", 224): 385_814_752,
    ("mobilenet_v2", 224): 300_774_272,
    ("resnet101", 224): 7_801_405_440,
    ("resnet18", 224): 1_814_073_344,
    ("resnet34", 224): 3_663_761_408,
    ("resnet50", 224): 4_089_184_256,
    ("shufflenet_v2_x0_5", 224): 40_476_448,
    ("swin_v2_t", 224): 4_938_464_256,
    ("swin_v2_t", 256): 5_939_690_496,
    ("vgg11", 224): 7_609_090_048,
}
PUBLISHED = [
    pytest.param(name, size, id=name)
    for name, model in MODELS.items()
    for size in model.sizes
    if size.parameters
]


class Probe(nn.Module):
    """One function of the images in front of a dense layer."""

    layers: Layers
    function: str

    @nn.compact
    def __call__(self, x_BHWC, train=False, features=False):
        x_BHWC = {
            "nothing": lambda x: x,
            "pooling": lambda x: adaptive_average_pool(x, 3),
            "depthwise": self.depthwise,
            "zero": nn.Conv(3, (1, 1), kernel_init=nn.initializers.zeros),
            "attention": self.attend,
            "scan": lambda x: jax.lax.scan(self.conv, x, length=5)[0],
            "norm": nn.BatchNorm(use_running_average=True),
        }[self.function](x_BHWC)
        x_BD = flatten(x_BHWC)
        return self.layers.dense(x_BD, 2, "head")

    def depthwise(self, x_BHWC):
        return self.layers.conv(x_BHWC, 2, 3, "conv", depthwise=True)

    def attend(self, x_BHWC):
        return jax.numpy.einsum("bhwc,bhvc->bhwv", x_BHWC, x_BHWC)[..., :2]

    def conv(self, x_BHWC, _):
        kernel = jax.numpy.ones((3, 3, 1, 2)) * x_BHWC.mean()
        same = jax.lax.conv_general_dilated(
            x_BHWC,
            kernel,
            (1, 1),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=2,
        )
        return same, None


def probe(function):
    return Network(Probe(Layers(), function), (6, 6, 2))


@pytest.mark.parametrize(("name", "size"), PUBLISHED)
def test_published_figures(name, size):
    shape = (size.image_size, size.image_size, 3)
    net = network(name, size.num_classes, shape, **size.options)
    assert cost.parameters(net) == size.parameters
    assert round(cost.multiply_adds(net) / 1e9, 3) == size.giga


@pytest.mark.parametrize(("name", "size"), COUNTED)
def test_counts_are_pytorchs(name, size):
    net = network(name, 1000, (size, size, 3))
    assert cost.multiply_adds(net) == COUNTED[name, size]


def test_convnet_by_hand():
    net = network("convnet_d2", 10, (32, 32, 3), width=8, norm="batch")
    maps = 32 * 32 * 9 * 3 * 8 + 16 * 16 * 9 * 8 * 8
    assert cost.multiply_adds(net) == maps + 8 * 8 * 8 * 10
    kernels = 9 * 3 * 8 + 9 * 8 * 8 + 8 * 8 * 8 * 10
    assert cost.parameters(net) == kernels + 2 * 3 * 8 + 10


@pytest.mark.parametrize("lowering", ["patches", "direct"])
def test_lowering_is_ignored(lowering):
    net = Network(Probe(Layers(lowering=lowering), "depthwise"), (6, 6, 2))
    assert cost.multiply_adds(net) == 6 * 6 * 9 * 2 + 6 * 6 * 2 * 2


def test_variables_of_zero_count():
    assert cost.multiply_adds(probe("zero")) == 6 * 6 * 3 * (2 + 2)


@pytest.mark.parametrize(
    ("function", "products"),
    [
        ("nothing", 0),
        ("pooling", 0),
        ("norm", 0),
        ("attention", 6 * 6 * 6 * 2),
        ("scan", 5 * 6 * 6 * 9 * 2),
    ],
)
def test_what_counts(function, products):
    size = 3 if function == "pooling" else 6
    head = size * size * 2 * 2
    assert cost.multiply_adds(probe(function)) == products + head
    assert cost.parameters(probe(function)) == head + 2 + 4 * (function == "norm")


def test_every_network_has_a_size():
    assert all(model.sizes for model in MODELS.values())


def test_document_is_what_the_command_writes(tmp_path):
    main(["--out", str(tmp_path / "models.md")])
    written = (tmp_path / "models.md").read_text(encoding="utf-8")
    assert written == DOCUMENT.read_text(encoding="utf-8")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        main([])
    assert printed.getvalue() == written
