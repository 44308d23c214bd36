"""The names by which papers and people know methods, networks and data sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddjax.report.statistics import FULL

if TYPE_CHECKING:
    from ddjax import distill, select

# Name in a source's settings -> (dataset, pixels a side, classes).
DATASETS = {
    "cifar10": ("CIFAR-10", 32, 10),
    "cifar100": ("CIFAR-100", 32, 100),
    "cifar-10-batches-py": ("CIFAR-10", 32, 10),
    "cifar-10-batches-bin": ("CIFAR-10", 32, 10),
    "cifar-100-python": ("CIFAR-100", 32, 100),
    "cifar-100-binary": ("CIFAR-100", 32, 100),
    "imagenet2012": ("ImageNet-1K", 224, 1000),
    "tiny_imagenet": ("TinyImageNet", 64, 200),
    "tiny-imagenet-200": ("TinyImageNet", 64, 200),
}
NETWORKS = {
    "resnet18": "ResNet-18",
    "resnet50": "ResNet-50",
    "resnet101": "ResNet-101",
    "mobilenet_v2": "MobileNet-V2",
    "efficientnet_b0": "EfficientNet-B0",
    "swin_v2_t": "Swin-V2-T",
    "vit_b_16": "ViT-B-16",
    "convnet_d3": "ConvNet-D3",
    "convnet_d4": "ConvNet-D4",
}


def published_name(method: str) -> str | None:
    """Returns the name of a selection or distillation method in published tables."""
    declared = _declared(method)
    return declared.title if declared else None


def title(arm: str) -> str:
    """Returns an arm's name for people: a method's own one, else the arm's words."""
    if arm == FULL:
        return "Full data"
    words = arm.replace("_", " ")
    return published_name(arm) or words[:1].upper() + words[1:]


def is_control(arm: str) -> bool:
    """Whether an arm is bad on purpose, see `select.Selection`."""
    return bool(getattr(_declared(arm), "control", False))


def is_claim(arm: str) -> bool:
    """Whether an arm is what a study of selections tests, see `select.Selection`."""
    return bool(getattr(_declared(arm), "claim", False))


def signed(points: float) -> str:
    """Returns text such as "+2.1" or "−0.3", never "-0.0"."""
    return f"{round(points, 1) + 0.0:+.1f}".replace("-", "−")


def _declared(method: str) -> select.Selection | distill.Method | None:
    from ddjax import distill, select

    return select.METHODS.get(method) or distill.METHODS.get(method)
