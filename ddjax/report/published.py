"""Published accuracies of the same cell: other people's numbers beside a run's own.

`published.csv` has one printed number a row, transcribed from papers, their tables and
repositories; none was measured by this library. Columns: source and table, where it was
printed; dataset; ipc; method that made or chose the images (`Random`: real ones);
student; labels (`hard`; `soft`, one fixed label an image; `soft_kd`, a teacher's labels
of views; `hybrid_soft`, of several teachers); loss; protocol, the recipe's key;
setting, a variation inside the protocol; metric; value and std, its "+-"; note. Sources
that this module matches:

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

from ddjax.report.statistics import students
from ddjax.report.table import plus_minus
from ddjax.settings import Labels, Settings

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["labels", "IPC", "method", "published", "printed in", "this run"]
EXPLANATION = (
    "These numbers are other people's: of the same data, budget, network, labels and "
    "recipe of training, but with images, teachers and splits of their own."
)

# What differs from the defaults in `augment` and `student`; all else there has to be as
# by default. What a source does not say, such as RD3's weight decay and temperature, is
# as in `configs/protocols`. The batch is at most the whole set.
RECIPES: dict[str, dict[str, Any]] = {
    "rd3_rn18": {
        "augment.resized_crop": (0.5, 1.0),
        "augment.flip": True,
        "augment.cutmix": 1.0,
        "augment.patch_shuffle": 2,
        "student.epochs": 400,
        "student.batch_size": 50,
        "student.learning_rates": (1e-3,),
        "student.scale_by_t2": False,
    },
    "rd3_cross": {
        "augment.resized_crop": (0.5, 1.0),
        "augment.flip": True,
        "augment.cutmix": 1.0,
        "augment.patch_shuffle": 2,
        "student.epochs": 400,
        "student.batch_size": 100,
        "student.learning_rates": (1e-3,),
        "student.optimizer.zeta": 2.0,
        "student.scale_by_t2": False,
    },
    "pca_hard": {
        "augment.resized_crop": (0.08, 1.0),
        "augment.flip": True,
        "student.epochs": 300,
        "student.batch_size": 128,
        "student.learning_rates": (1e-3,),
    },
    "hardtruths_small_hl": {
        "augment.dsa": ("color", "crop", "cutout", "flip", "scale", "rotate"),
        "student.epochs": 300,
        "student.batch_size": 256,
        "student.learning_rates": (1e-2,),
        "student.optimizer.name": "sgd",
        "student.optimizer.weight_decay": 5e-4,
        "student.optimizer.schedule": "step",
    },
}
# Labels of the rows that a recipe stands for. RD3 has hard ones too, but does not say
# how CutMix treats them: they match nothing.
_LABELS = {
    "rd3_rn18": "soft_kd",
    "rd3_cross": "soft_kd",
    "pca_hard": "hard",
    "hardtruths_small_hl": "hard",
}
_SOURCES = {"rd3": "RD3", "hardtruths": "Hard Truths", "pca": "arXiv 2502.06434"}
_SETTINGS = ("", "bs100")  # the latter is what rd3_cross does
_IDLE = {"hard": ("temperature", "scale_by_t2"), "soft_kd": ("label_smoothing",)}
# Name in a source's settings -> (dataset, pixels a side, classes).
_DATASETS = {
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
_NETWORKS = {
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
_METHODS = {
    "random": "Random",
    "k_center": "K-centers",
    "cad_prune": "CAD-Prune",
    "ca2d": "CA2D",
    "cda": "CDA",
    "d4m": "D4M",
    "datm": "DATM",
    "dc": "DC",
    "dm": "DM",
    "dwa": "DWA",
    "edc": "EDC",
    "g_vbsm": "G-VBSM",
    "minimax": "Minimax",
    "mtt": "TM",
    "pca": "PCA",
    "rded": "RDED",
    "sre2l": "SRe2L",
}


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
        the recipe differs.
    """
    rows, labels = _rows(), settings.labels[regime]
    network, data = settings.student.network, settings.data
    dataset = _DATASETS.get(_data_name(data.source), ("", 0, 0))
    options = {name for name in network.options() if name not in ("stem", "dtype")}
    known = dataset[1:] == (shape[0], classes) and not data.pool and not options
    if not known or labels != Labels(regime=labels.regime):
        return rows[:0]
    protocols = [
        key
        for key, of in _LABELS.items()
        if of == labels.regime and _follows(settings, key, ipc * classes)
    ]
    loss = "ce" if labels.regime == "hard" else labels.loss
    found = rows[
        (rows["dataset"] == dataset[0])
        & (rows["ipc"] == ipc)
        & (rows["student"] == _NETWORKS.get(network.name))
        & (rows["labels"] == labels.regime)
        & (rows["loss"] == loss)
        & rows["protocol"].isin(protocols)
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
    """The accuracies of published.csv that a recipe stands for."""
    import pandas as pd

    path = resources.files("ddjax.report").joinpath("published.csv")
    with path.open(encoding="utf-8") as file:
        rows = pd.read_csv(
            file, keep_default_na=False, na_values={"std": "", "ipc": ""}
        )
    chosen = rows["setting"].isin(_SETTINGS) & (rows["metric"] == "top1_percent")
    return rows[chosen & rows["protocol"].isin(list(RECIPES))]


def _data_name(source: str) -> str:
    """The part of a source's name that tells which data it is."""
    kind, _, place = source.partition(":")
    parts = place.rstrip("/").split("/")
    return (parts[0].split(":")[0] if kind == "tfds" else parts[-1]).lower()


def _published_name(settings: Settings, method: str) -> str | None:
    if method in settings.distill:
        method = settings.distill[method].method
    return _METHODS.get(method)


def _follows(settings: Settings, protocol: str, images: int) -> bool:
    """Whether students of `images` images are trained by a recipe, key by key."""
    regime = _LABELS[protocol]
    expected = _relevant(Settings(), regime) | RECIPES[protocol]
    size = "student.batch_size"
    expected[size] = min(expected[size], images)
    return _relevant(settings, regime) == expected


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
