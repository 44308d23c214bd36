"""Prints what every network costs and which options it has, as Markdown.

python -m ddjax.models [--out docs/models.md]
"""

import argparse
import dataclasses
import inspect
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

from ddjax.models import MODELS, cost, network

INTRODUCTION = """\
# Networks

Written by `python -m ddjax.models --out docs/models.md`; a test holds it up to date.

Multiply-adds are those of one image's forward pass in evaluation mode. Counted are
convolutions and matrix products, attention's included; additions, norms, activations
and pooling are not, and twice as many are called FLOPs. Parameters are what training
changes, without the running statistics of batch norm. Images have 3 channels.

Published figures are torchvision's: `num_params` and `_ops` (G, rounded) in the `meta`
of its `IMAGENET1K_V1` weights. Both count the same: in ViT the two products of
attention, in Swin also the perceptron of its position bias, once an image. Swin's are
at 256 px, its training size there; smaller maps are padded to whole windows, so at
224 px it costs more than its pixels say. Empty: no published figure that we know of.
"""


@dataclasses.dataclass(frozen=True)
class Case:
    """A network at a size at which the literature uses it, and what is published.

    Attributes:
      name: a key of `MODELS`.
      image_size: height and width, px.
      num_classes: number of logits.
      parameters: published number, None if there is none.
      giga: published multiply-adds / 1e9, rounded to 3 decimals, or None.
      options: those that differ from the defaults.
    """

    name: str
    image_size: int
    num_classes: int
    parameters: int | None = None
    giga: float | None = None
    options: dict[str, Any] = dataclasses.field(default_factory=dict)

    def network(self):
        """Returns the network for colour images."""
        shape = (self.image_size, self.image_size, 3)
        return network(self.name, self.num_classes, shape, **self.options)


# Published: torchvision 0.29, `get_model_weights(name).IMAGENET1K_V1.meta`.
CASES = (
    Case("alexnet", 224, 1000, 61_100_840, 0.714),
    Case("convnet_d1", 32, 10),
    Case("convnet_d2", 32, 10),
    Case("convnet_d3", 32, 10),
    Case("convnet_d3", 32, 100),
    Case("convnet_d4", 64, 200),
    Case("convnet_d5", 128, 10),
    Case("convnet_d6", 256, 10),
    Case("efficientnet_b0", 224, 1000, 5_288_548, 0.386),
    Case("mlp", 32, 10),
    Case("mobilenet_v2", 224, 1000, 3_504_872, 0.301),
    Case("resnet101", 224, 1000, 44_549_160, 7.801),
    Case("resnet18", 32, 10),
    Case("resnet18", 64, 200),
    Case("resnet18", 224, 1000, 11_689_512, 1.814),
    Case("resnet34", 224, 1000, 21_797_672, 3.664),
    Case("resnet50", 224, 1000, 25_557_032, 4.089),
    Case("resnet_ap10", 128, 10),
    Case("resnet_ap10", 224, 10),
    Case("shufflenet_v2_x0_5", 224, 1000, 1_366_792, 0.040),
    Case("swin_v2_t", 224, 1000),
    Case("swin_v2_t", 256, 1000, 28_351_570, 5.940),
    Case("vgg11", 224, 1000, 132_863_336, 7.609),
    Case("vgg11", 224, 1000, 132_868_840, 7.609, {"norm": "batch"}),
    Case("vit_b_16", 224, 1000, 86_567_656, 17.564),
    Case("wide_resnet_16_2", 32, 10),
    Case("wide_resnet_16_2", 32, 100),
)


def costs() -> str:
    """Returns the table of what every case costs."""
    header = (
        "network",
        "px",
        "classes",
        "parameters",
        "published",
        "multiply-adds",
        "published, G",
    )
    rows = []
    for case in CASES:
        net = case.network()
        rows.append(
            (
                "".join([f"`{case.name}`", *_pairs(case.options, ", `{}={!r}`")]),
                case.image_size,
                case.num_classes,
                f"{cost.parameters(net):,}",
                "" if case.parameters is None else f"{case.parameters:,}",
                f"{cost.multiply_adds(net):,}",
                "" if case.giga is None else f"{case.giga:.3f}",
            )
        )
    return _table(header, rows, numbers=6)


def options() -> str:
    """Returns the table of every network's options and their defaults."""
    takers = {}
    for name, build in MODELS.items():
        parameters = inspect.signature(build).parameters.values()
        defaults = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
        takers.setdefault(", ".join(_pairs(defaults, "`{}={!r}`")), []).append(name)
    rows = [
        (", ".join(f"`{name}`" for name in names), found)
        for found, names in takers.items()
    ]
    return _table(("networks", "options and defaults"), rows)


def _pairs(values, pattern):
    return [pattern.format(name, value) for name, value in values.items()]


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]], numbers: int = 0):
    """Returns a Markdown table; its last `numbers` columns are aligned to the right."""
    rule = ["---"] * (len(header) - numbers) + ["---:"] * numbers
    lines = (header, rule, *rows)
    return "".join("| " + " | ".join(map(str, line)) + " |\n" for line in lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the document, or writes it to `--out`."""
    parser = argparse.ArgumentParser(
        prog="python -m ddjax.models", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--out", type=pathlib.Path, help="file to write, not print")
    out = parser.parse_args(arguments).out
    text = f"{INTRODUCTION}\n{costs()}\n## Options\n\n{options()}"
    if out is None:
        print(text, end="")
    else:
        out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
