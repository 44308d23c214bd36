"""Published accuracies of the same cell: other people's numbers beside a run's own.

`published.csv` has one printed number a row, transcribed from papers, their tables and
repositories; none was measured by this library. Columns: source and table, where it was
printed; dataset; ipc; method that selected or synthesised the images (`Random`: random
real ones); student; labels (`hard`; `soft`, one fixed label an image; `soft_kd`, a
teacher's labels of views; `hybrid_soft`, of several teachers); loss; protocol, a key
that a declaration in `ddjax.protocols` names; setting, a variation inside the protocol;
metric; value and std, its "+-"; note. Sources that this module matches:

- rd3: "Rectified Decoupled Dataset Distillation" (RD3), read in full.
- hardtruths: "Rethinking Dataset Distillation: Hard Truths about Soft Labels", arXiv
  2604.18811, transcribed by others.
- pca: "Rethinking Large-scale Dataset Compression", arXiv 2502.06434, transcribed by
  others.

The same method under another protocol is another number: RDED at 10 images a class of
ImageNet-1K with hard labels is 14.3, 11.5 or 12.4 in these three.
"""

from __future__ import annotations

import dataclasses
import functools
from importlib import resources
from typing import TYPE_CHECKING, Any

from ddjax.report.names import DATASETS, NETWORKS, published_name
from ddjax.report.statistics import students
from ddjax.report.table import plus_minus

if TYPE_CHECKING:
    import pandas as pd

    from ddjax.protocols import Protocol
    from ddjax.settings import Settings

COLUMNS = ["labels", "IPC", "method", "published", "printed in", "this run"]
EXPLANATION = (
    "These numbers are other people's: of the same data, budget, network, labels and "
    "recipe of training, but with images, teachers and splits of their own."
)

_SOURCES = {"rd3": "RD3", "hardtruths": "Hard Truths", "pca": "arXiv 2502.06434"}
_IDLE = {"hard": ("temperature", "scale_by_t2"), "soft_kd": ("label_smoothing",)}


def published(
    settings: Settings, shape: tuple[int, ...], classes: int, ipc: int, regime: str
) -> pd.DataFrame:
    """The published numbers of one budget and regime of a run.

    Args:
        settings: the run's.
        shape: (height, width, channels) of its images.
        classes: their number.
        ipc: images per class.
        regime: a name in `settings.labels`.

    Returns:
        Rows of published.csv whose dataset, budget, student, labels, loss and protocol
        are the run's, one a method, of the first table that prints it; empty where the
        data are thinned, an option of the network is not its default or any setting of
        the protocol differs.
    """
    from ddjax.protocols import PROTOCOLS  # imports the settings of every package
    from ddjax.settings import Labels

    rows, labels = _rows(), settings.labels[regime]
    network, data = settings.student.network, settings.data
    dataset = DATASETS.get(_data_name(data.source), ("", 0, 0))
    options = {name for name in network.options() if name not in ("stem", "dtype")}
    known = dataset[1:] == (shape[0], classes) and not data.pool and not options
    if not known or labels != Labels(regime=labels.regime):
        return rows[:0]
    protocols = {
        (key, setting)
        for protocol in PROTOCOLS.values()
        for key, of, setting in protocol.published
        if of == labels.regime and _follows(settings, protocol, of, shape, classes, ipc)
    }
    loss = "ce" if labels.regime == "hard" else labels.loss
    found = rows[
        (rows["dataset"] == dataset[0])
        & (rows["ipc"] == ipc)
        & (rows["student"] == NETWORKS.get(network.name))
        & (rows["labels"] == labels.regime)
        & (rows["loss"] == loss)
        & rows[["protocol", "setting"]].apply(tuple, axis=1).isin(protocols)
    ]
    return found.drop_duplicates(["protocol", "method"])


def beside(
    settings: Settings, shape: tuple[int, ...], classes: int, summary: pd.DataFrame
) -> pd.DataFrame:
    """The published numbers of all cells of a run, beside what it measured itself.

    Args:
        settings: the run's.
        shape: (height, width, channels) of its images.
        classes: their number.
        summary: the result of `statistics.summarise`.

    Returns:
        A table of text with the columns COLUMNS: "29.7 ±0.8" as published, where it
        was printed, and the run's own accuracy with its 95 % half width under the same
        labels, "" where it has no such method. No row where nothing matches.
    """
    import pandas as pd

    lines = []
    own = students(summary)
    for regime, ipc in dict.fromkeys(zip(own["regime"], own["ipc"], strict=True)):
        cell = own[(own["regime"] == regime) & (own["ipc"] == ipc) & (own["n"] > 0)]
        for row in published(settings, shape, classes, int(ipc), regime).itertuples():
            ours = [
                plus_minus(mine.accuracy, mine.ci95)
                for mine in cell.itertuples()
                if _published_name(settings, mine.method) == row.method
            ]
            spread = "" if pd.isna(row.std) else f" ±{row.std:g}"
            lines.append(
                [
                    regime,
                    str(ipc),
                    row.method,
                    f"{row.value:g}{spread}",
                    _printed_in(row.source, row.table),
                    "; ".join(ours),
                ]
            )
    return pd.DataFrame(lines, columns=COLUMNS)


def _printed_in(source: str, table: str) -> str:
    name = _SOURCES[source]
    return f"{name}, table {table}" if table.isdigit() else name


@functools.cache
def _rows() -> pd.DataFrame:
    """The accuracies of published.csv that a protocol stands for."""
    import pandas as pd

    from ddjax.protocols import PROTOCOLS

    path = resources.files("ddjax.report").joinpath("published.csv")
    with path.open(encoding="utf-8") as file:
        rows = pd.read_csv(
            file, keep_default_na=False, na_values={"std": "", "ipc": ""}
        )
    known = [place for found in PROTOCOLS.values() for place in found.published]
    places = rows[["protocol", "labels", "setting"]].apply(tuple, axis=1)
    return rows[places.isin(known) & (rows["metric"] == "top1_percent")]


def _data_name(source: str) -> str:
    """The part of a source's name that names the data."""
    kind, _, place = source.partition(":")
    parts = place.rstrip("/").split("/")
    return (parts[0].split(":")[0] if kind == "tfds" else parts[-1]).lower()


def _published_name(settings: Settings, method: str) -> str | None:
    if method in settings.distill:
        method = settings.distill[method].method
    return published_name(method)


def _follows(
    settings: Settings,
    protocol: Protocol,
    regime: str,
    shape: tuple[int, ...],
    classes: int,
    ipc: int,
) -> bool:
    """Whether students of a regime are trained as a protocol has it, key by key."""
    from ddjax.settings import defaults, from_config

    config = defaults()
    protocol.apply(config, classes, shape[-1] == 1, ipc)
    return _relevant(settings, regime) == _relevant(from_config(config), regime)


def _relevant(settings: Settings, regime: str) -> dict[str, Any]:
    """The settings of augmentation and students that act on a regime, by dotted key.

    What mixes views of other regimes only is off.
    """
    found = {}

    def walk(tree, prefix):
        for name, value in tree.items():
            if isinstance(value, dict):
                walk(value, f"{prefix}{name}.")
            else:
                found[f"{prefix}{name}"] = value

    walk(dataclasses.asdict(settings.augment), "augment.")
    student = dataclasses.asdict(settings.student)
    del student["network"]
    for name in _IDLE[regime]:
        del student[name]
    walk(student, "student.")
    for name in ("augment.cutmix", "augment.patch_shuffle"):
        if regime not in found.pop(f"{name}_regimes"):
            found[name] = 0
    return found
