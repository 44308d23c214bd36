"""Prints what every network costs and which options it has, as Markdown.

python -m ddjax.models [--out docs/models.md]
"""

import argparse
import dataclasses
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

from ddjax.declare import allowed_text, declaration
from ddjax.models import MODELS, cost, network
from ddjax.models.layers import Layers

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
224 px it costs more than its pixels suggest. Empty: we know of no published figure.
"""


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
    for name, model in MODELS.items():
        for size in model.sizes:
            shape = (size.image_size, size.image_size, 3)
            net = network(name, size.num_classes, shape, **size.options)
            changed = (f", `{key}={value!r}`" for key, value in size.options.items())
            rows.append(
                (
                    "".join([f"`{name}`", *changed]),
                    size.image_size,
                    size.num_classes,
                    f"{cost.parameters(net):,}",
                    "" if size.parameters is None else f"{size.parameters:,}",
                    f"{cost.multiply_adds(net):,}",
                    "" if size.giga is None else f"{size.giga:.3f}",
                )
            )
    return _table(header, rows, numbers=6)


def options() -> str:
    """Returns the table of every option, its default, range and meaning."""
    takers: dict[type, list[str]] = {}
    for name, model in MODELS.items():
        takers.setdefault(model.options, []).append(f"`{name}`")
    owners = {kind: ", ".join(names) for kind, names in takers.items()}
    header = ("networks", "option", "default", "allowed", "meaning")
    rows = [
        (
            names,
            f"`{field.name}`",
            f"`{field.default!r}`",
            allowed_text(field),
            declaration(field).meaning,
        )
        for kind, names in (owners | {Layers: "all"}).items()
        for field in dataclasses.fields(kind)
        if kind is not Layers or field.name != "norm"
    ]
    return _table(header, rows)


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
