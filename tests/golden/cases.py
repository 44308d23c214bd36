"""The networks, options and image sizes that are compared with PyTorch."""

import dataclasses

BATCH = 4
CLASSES = 10


@dataclasses.dataclass(frozen=True)
class Case:
    """A network and the images it is given.

    Sizes are small, but leave every batch norm at least 16 numbers a channel, and 36
    or more where a network magnifies rounding.

    Attributes:
      network: a key of `ddjax.models.MODELS`.
      size: height and width of the images, px.
      options: (name, value) pairs that differ from the network's defaults.
      channels: of the images.
    """

    network: str
    size: int
    options: tuple[tuple[str, str], ...] = ()
    channels: int = 3

    def __str__(self) -> str:
        """Such as `resnet18-small-32`, the name of the test and of the file."""
        values = (value for _, value in self.options)
        return "-".join([self.network, *values, str(self.size)])


def _cases(network, sizes, **options):
    return [Case(network, size, tuple(options.items())) for size in sizes]


CASES = [
    # 28 px is where the first convolution pads by 3.
    Case("convnet_d1", 28, (("norm", "none"),), channels=1),
    *_cases("convnet_d1", [32], norm="none"),
    *_cases("convnet_d2", [28, 32], norm="batch"),
    *_cases("convnet_d3", [28, 32], norm="instance"),
    *_cases("convnet_d4", [32, 64], norm="group"),
    *_cases("convnet_d5", [64, 96], norm="batch"),
    *_cases("convnet_d6", [64, 96], norm="instance"),
    Case("mlp", 28, channels=1),
    *_cases("mlp", [32]),
    *_cases("resnet18", [64, 96], stem="large"),
    *_cases("resnet18", [32], stem="small"),
    *_cases("resnet18", [32], stem="small", norm="instance"),
    *_cases("resnet18", [48], stem="small", downsample="average"),
    *_cases("resnet34", [96, 128], stem="large"),
    *_cases("resnet50", [64, 96], stem="large"),
    *_cases("resnet101", [96, 128], stem="large"),
    *_cases("resnet_ap10", [32, 96]),
    *_cases("resnet_ap10", [132]),
    *_cases("wide_resnet_16_2", [32, 48]),
    *_cases("mobilenet_v2", [128], stem="large"),
    *_cases("mobilenet_v2", [64], stem="small"),
    *_cases("efficientnet_b0", [64], stem="large"),
    *_cases("efficientnet_b0", [32], stem="small"),
    *_cases("shufflenet_v2_x0_5", [64], stem="large"),
    *_cases("shufflenet_v2_x0_5", [32], stem="small"),
    *_cases("densenet121", [96], stem="large"),
    *_cases("densenet121", [32], stem="small"),
    *_cases("alexnet", [64, 96]),
    *_cases("vgg11", [32, 64]),
    *_cases("vgg11", [64], norm="batch"),
    *_cases("vit_b_16", [32, 64]),
    *_cases("swin_v2_t", [64, 96]),
]

# Networks that take longest to compile.
LONG = {
    "alexnet",
    "densenet121",
    "efficientnet_b0",
    "mobilenet_v2",
    "resnet34",
    "resnet50",
    "resnet101",
    "shufflenet_v2_x0_5",
    "swin_v2_t",
    "vgg11",
    "vit_b_16",
}
