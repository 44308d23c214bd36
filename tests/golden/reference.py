"""The networks in PyTorch: torchvision's, and the rest of the literature's.

The latter are written from their published definitions: they give the order and the
names of the layers. Needs torch and torchvision.
"""

from collections.abc import Callable

import torchvision
from torch import nn


def build(
    network: str, num_classes: int, size: int, channels: int = 3, **options: str
) -> nn.Module:
    """Returns PyTorch's counterpart of `ddjax.models.create`.

    Args:
      network: a key of `ddjax.models.MODELS`.
      num_classes: number of logits.
      size: height and width of the images, px.
      channels: of the images; 3 for all but ConvNet and MLP.
      **options: `norm`, `stem` and `downsample`, as in ddjax. Nothing but these decides
        about the stem, so that it is torchvision's unless "small" is asked for.

    Returns:
      The module.
    """
    if network in SMALL:
        return SMALL[network](num_classes, size, channels, **options)
    if options.get("downsample") == "average":
        return resnet18_ap(num_classes, size, **options)
    return torchvision_network(network, num_classes, size, **options)


def torchvision_network(network, num_classes, size, norm=None, stem="large"):
    """Returns torchvision's network, or what distillation makes of it.

    Args:
      network, num_classes, size: see `build`.
      norm: None is the network's own; "batch" for VGG, "instance" for ResNets.
      stem: "small" takes strides and max-pool away in front of the blocks, in DenseNet
        also the norm.
    """
    options = {"num_classes": num_classes}
    if network.startswith("vit"):
        options["image_size"] = size
    if norm == "batch":
        network += "_bn"
    elif norm:
        options["norm_layer"] = lambda channels: make_norm(norm, channels)
    module = getattr(torchvision.models, network)(**options)
    if stem == "small":
        if network.startswith("resnet"):
            module.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        if network.startswith("densenet"):
            module.features.conv0 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
            for layer in ("norm0", "relu0", "pool0"):
                setattr(module.features, layer, nn.Identity())
        next(m for m in module.modules() if isinstance(m, nn.Conv2d)).stride = (1, 1)
        module.maxpool = nn.Identity()
    return module


def make_norm(kind: str, channels: int) -> nn.Module:
    """Returns a norm with learned gain and bias: batch, instance or group."""
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    return nn.GroupNorm(4 if kind == "group" else channels, channels)


class ConvNet(nn.Module):
    """DC's ConvNet of `depth` blocks, 128 channels wide unless `width` differs."""

    def __init__(self, depth, num_classes, size, channels, norm="instance", width=128):
        super().__init__()
        # 28 px become 32.
        first, layers = 3 if size == 28 else 1, []
        for i in range(depth):
            layers.append(nn.Conv2d(channels, width, 3, padding=1 if i else first))
            if norm != "none":
                layers.append(make_norm(norm, width))
            layers += [nn.ReLU(), nn.AvgPool2d(2)]
            channels = width
        side = (size + 2 * first - 2) >> depth
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(width * side * side, num_classes)

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


class MLP(nn.Module):
    """DC's MLP: two hidden layers of 128 units."""

    def __init__(self, num_classes, size, channels):
        super().__init__()
        self.fc_1 = nn.Linear(channels * size * size, 128)
        self.fc_2 = nn.Linear(128, 128)
        self.fc_3 = nn.Linear(128, num_classes)

    def forward(self, x):
        x = self.fc_1(x.flatten(1)).relu()
        return self.fc_3(self.fc_2(x).relu())


class PoolingBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, both halved by average pooling."""

    def __init__(self, inputs, outputs, stride, norm):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn1 = make_norm(norm, outputs)
        self.pool = nn.AvgPool2d(stride)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = make_norm(norm, outputs)
        self.downsample = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, bias=False),
                nn.AvgPool2d(stride),
                make_norm(norm, outputs),
            )

    def forward(self, x):
        y = self.pool(self.bn1(self.conv1(x)).relu())
        return (self.bn2(self.conv2(y)) + self.downsample(x)).relu()


def pooling_stages(blocks, norm):
    """Returns the layers layer1 to layer4 of `blocks` blocks each, 64 to 512 wide."""
    stages, inputs = {}, 64
    for stage in range(4):
        layers = []
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            layers.append(PoolingBlock(inputs, 64 << stage, stride, norm))
            inputs = 64 << stage
        stages[f"layer{stage + 1}"] = nn.Sequential(*layers)
    return stages


def named(**layers: nn.Module) -> nn.Sequential:
    """Returns layers one after the other, with these names."""
    module = nn.Sequential()
    for name, layer in layers.items():
        module.add_module(name, layer)
    return module


def resnet18_ap(num_classes, size, norm="batch", stem="small", downsample="average"):
    """DC's ResNet18_AP, which reads the flattened last map.

    There, `downsample` and `fc` are called `shortcut` and `classifier`.
    """
    assert (stem, downsample) == ("small", "average")
    return named(
        conv1=nn.Conv2d(3, 64, 3, padding=1, bias=False),
        bn1=make_norm(norm, 64),
        relu=nn.ReLU(),
        **pooling_stages(2, norm),
        flatten=nn.Flatten(),
        fc=nn.Linear(512 * (size // 8) ** 2, num_classes),
    )


def resnet_ap10(num_classes, size, channels=3, norm="instance"):
    """IDC's ResNetAP-10, whose stem depends on the size."""
    kernel, pool = (7, 4) if size > 128 else (3, 2 if size > 64 else 1)
    conv = nn.Conv2d(channels, 64, kernel, padding=kernel // 2, bias=False)
    norm1 = make_norm(norm, 64)
    return named(
        layer0=named(conv1=conv, bn1=norm1, relu=nn.ReLU(), pool=nn.AvgPool2d(pool)),
        **pooling_stages(1, norm),
        mean=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        fc=nn.Linear(512, num_classes),
    )


class PreactivationBlock(nn.Module):
    """Twice norm, ReLU, 3x3 convolution; the shortcut of a wider block is a 1x1."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.convShortcut = None
        if inputs != outputs:
            self.convShortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x):
        first = self.bn1(x).relu()
        shortcut = x if self.convShortcut is None else self.convShortcut(first)
        return shortcut + self.conv2(self.bn2(self.conv1(first)).relu())


def wide_resnet_16_2(num_classes, size, channels=3):
    """WRN-16-2 of RepDistiller and mdistiller, averaging the whole last map."""
    blocks, inputs = {}, 16
    for i, outputs in enumerate((32, 64, 128)):
        first = PreactivationBlock(inputs, outputs, 2 if i else 1)
        second = PreactivationBlock(outputs, outputs, 1)
        blocks[f"block{i + 1}"] = named(layer=nn.Sequential(first, second))
        inputs = outputs
    return named(
        conv1=nn.Conv2d(channels, 16, 3, padding=1, bias=False),
        **blocks,
        bn1=nn.BatchNorm2d(128),
        relu=nn.ReLU(),
        mean=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        fc=nn.Linear(128, num_classes),
    )


def _convnet(depth):
    return lambda *args, **options: ConvNet(depth, *args, **options)


# Those that torchvision does not have.
SMALL: dict[str, Callable[..., nn.Module]] = {
    **{f"convnet_d{depth}": _convnet(depth) for depth in range(1, 7)},
    "mlp": MLP,
    "resnet_ap10": resnet_ap10,
    "wide_resnet_16_2": wide_resnet_16_2,
}
