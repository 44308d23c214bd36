"""Settings for a data set of one's own, derived from what is found in it.

The rules are few, and each adds a remark: what it did, and which flag changes that. A
run on a CPU is to end in about four minutes on two cores: images are small, the network
is the literature's ConvNet of width 32, and as many epochs are trained as fit. A run on
an accelerator has larger images, a ResNet-18, more budgets and a teacher's labels
beside hard ones, and is to end in about an hour.

The selections are random and those that beat it in this project's studies on
Fashion-MNIST and digits: they cover the data. Those of difficulty alone fell behind it
there, and are one flag away.
"""

import dataclasses
import re
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from ddjax import data, settings
from ddjax.data import Examples, Scan
from ddjax.errors import InputError

SIZES = (8, 14, 16, 28, 32, 48, 64, 96, 128, 224)  # pixels a side
BUDGETS = (1, 2, 5, 10, 20, 50)  # images a class
LEAST = 6  # training images of the smallest class: 1 validates, 2 of 5 are chosen
_METHODS = ("random", "herding", "facility_location", "cad_facility_location")
_CPU_SIDE, _CPU_POOL = 32, 7000
_STREAM_BYTES = 8 * 2**30  # of training images, from which they stay on disk
_FORWARD = 1 / 3  # of the time to train on an image, to predict it
_SNAPSHOTS = 9  # of a scoring run, after which the whole pool is predicted
_LARGE_SIDE = 96  # pixels from which a ResNet has its large first layers
_BATCH_NORM = 16  # images of a batch from which its moments serve
_EPOCHS = (30, 200)  # least and most, of the students
_DEPTHS = ((12, 2), (48, 3), (96, 4), (192, 5), (1000, 6))  # side below -> blocks


@dataclasses.dataclass(frozen=True)
class _Machine:
    """How long a run may take, and how long images take.

    Attributes:
      name: what it is called in remarks.
      minutes: that a run may take.
      starting: seconds of it that go to reading, compiling and the report.
      image: seconds to train the network on one image of `side` pixels.
      side: see `image`.
    """

    name: str
    minutes: float
    starting: float
    image: float
    side: int

    def seconds(self, size: int) -> float:
        """Returns the seconds to train on one image of a size."""
        return self.image * (size / self.side) ** 2


# The ConvNet of width 32, measured.
_CPU = _Machine("two CPU cores", 4.0, 40.0, 0.4e-3, 32)
# ResNet-18 with its small and its large first layers, 3.3 and 11 GFLOP an image.
_SMALL_STEM, _LARGE_STEM = (
    _Machine("an accelerator of 30 TFLOP/s", 60.0, 300.0, flops / 30e12, side)
    for flops, side in ((3.3e9, 32), (11e9, 224))
)


def derive(found: Scan, accelerator: bool) -> ConfigDict:
    """Returns settings for a data set, whose `remarks` state what was derived.

    Args:
      found: the data set.
      accelerator: whether the run has more than a CPU.

    Raises:
      InputError: fewer than two classes, a class with fewer than `LEAST` training
        images, or images of fewer than 8 pixels a side.
    """
    _check(found)
    remarks = ["derived from the data; flags of the command line come on top:"]
    config = settings.defaults()
    config.name = "own_" + re.sub(r"[^A-Za-z0-9_-]+", "_", _stem(found.source))[:80]
    config.data.source = found.source
    counts = np.array(found.counts)
    remarks.append(_contents(found))
    _divide(config, found, accelerator, remarks)
    pool, validation = _divided(config, counts)
    _budgets(config, found, pool, accelerator, remarks)
    _protocol(config, accelerator, remarks)
    _images(config, found, pool, validation, accelerator, remarks)
    config.remarks = tuple(remarks)
    return config


def smoke(config: ConfigDict) -> ConfigDict:
    """Makes derived settings small: seconds, and numbers that mean nothing."""
    config.name += "_smoke"
    config.data.image_size = 8
    config.select.ipcs = config.select.ipcs[:1]
    config.select.methods = ("random", "facility_location")
    config.regimes = ("hard",)
    config.student.epochs = 10
    config.student.learning_rates = (1e-2,)
    config.student.batch_size = min(config.student.batch_size, 20)
    config.teacher.epochs = 2
    config.sweep.driver = "loop"
    config.protocol.seeds = (0, 1)
    config.augment.pad = 0
    for network in (config.student.network, config.teacher.network):
        network.name = "mlp"
        network.mlp.hidden = (64,)
    config.remarks = (
        "smoke: 8 pixels, an MLP and next to no training; its numbers mean nothing",
    )
    return config


def _check(found: Scan) -> None:
    if len(found.classes) < 2:
        raise InputError(
            f"--data: {found.source} has the class {found.classes[0]!r} alone, allowed "
            "are at least two"
        )
    small = [i for i, count in enumerate(found.counts) if count < LEAST]
    if small:
        aside = " beside those set aside for tests" if found.aside else ""
        named = ", ".join(
            f"{found.classes[i]!r} ({found.counts[i]})" for i in small[:5]
        )
        raise InputError(
            f"--data: {len(small)} of {len(found.classes)} classes of {found.source} "
            f"have fewer than {LEAST} training images{aside}: {named}; add images, or "
            "leave such classes out"
        )
    if found.sides[1] < SIZES[0]:
        raise InputError(
            f"--data: images of {found.source} have a median side of {found.sides[1]} "
            f"px, allowed are at least {SIZES[0]}"
        )


def _contents(found: Scan) -> str:
    order = np.argsort(found.counts, kind="stable")
    least, most = (
        f"{found.counts[i]:,} ({found.classes[i]!r})" for i in order[[0, -1]]
    )
    low, median, high = found.sides
    sides = f"{median} px" if low == high else f"{low} to {high} px, median {median}"
    colour = "grey" if found.channels == 1 else "colour"
    return (
        f"found {sum(found.counts):,} training and {found.test:,} test images of "
        f"{len(found.classes)} classes, from {least} to {most} a class; {colour}, "
        f"shorter side {sides}"
    )


def _divide(config: ConfigDict, found: Scan, accelerator: bool, remarks: list) -> None:
    """Sets the pool and the validation split."""
    count, classes = sum(found.counts), len(found.classes)
    most = max(_CPU_POOL, 50 * classes)
    if not accelerator and count > most:
        config.data.pool = count = most
        remarks.append(
            f"{most:,} of the training images are used, in the classes' own "
            "proportions, since this is a CPU; --data.pool=0 takes all"
        )
    fraction = 0.25 if count < 500 else 0.15
    fraction = min(fraction, max(2000, 10 * classes) / count)
    config.data.validation = round(fraction, 3)
    remarks.append(
        f"{config.data.validation:.1%} of the training images, at least one a class, "
        "validate every choice and are not selected; --data.validation=0.2 changes it"
    )


def _divided(config: ConfigDict, counts: np.ndarray) -> tuple[np.ndarray, int]:
    """Images of each class that can be selected, and how many validate."""
    labels = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    ids = np.arange(len(labels), dtype=np.int32)
    train = Examples(data.blank(len(labels), ()), labels, ids)
    if config.data.pool:
        train = data.thin(train, config.data.pool, seed=0)
    pool, validation = data.split_validation(train, config.data.validation, seed=0)
    return np.bincount(pool.labels), len(validation)


def _budgets(
    config: ConfigDict, found: Scan, pool: np.ndarray, accelerator: bool, remarks: list
) -> None:
    smallest = int(pool.argmin())
    fitting = [ipc for ipc in BUDGETS if ipc <= pool[smallest] // 2]
    config.select.ipcs = tuple(fitting[-3 if accelerator else -2 :])
    others = (
        fitting[-3:] if len(fitting[-3:]) > len(config.select.ipcs) else fitting[-1:]
    )
    remarks.append(
        f"budgets of {_listed(config.select.ipcs)} images a class: the smallest "
        f"class, {found.classes[smallest]!r}, has {pool[smallest]} to select from, and "
        f"at most half are taken; --select.ipcs={','.join(map(str, others))} changes it"
    )


def _protocol(config: ConfigDict, accelerator: bool, remarks: list) -> None:
    config.select.methods = _METHODS
    config.regimes = ("hard",)
    config.protocol.seeds = tuple(range(5))
    why = "random, and what covers the data"
    if accelerator:
        config.select.methods = (*_METHODS, "cad_prune", "el2n_best_window")
        config.regimes = ("hard", "soft_kd")
        why = "random, what covers the data, and what suits the budget in difficulty"
    remarks.append(
        f"selections {', '.join(config.select.methods)}: {why}; "
        "--select.methods=random,herding and so on changes it"
    )
    labels = f"{' and '.join(config.regimes)} labels"
    if accelerator:
        remarks.append(f"{labels}, the latter a teacher's; --regimes=hard spares it")
    else:
        remarks.append(
            f"{labels}; --regimes=hard,soft_kd adds a teacher's, for twice the time"
        )


def _images(
    config: ConfigDict,
    found: Scan,
    pool: np.ndarray,
    validation: int,
    accelerator: bool,
    remarks: list,
) -> None:
    """Sets what depends on the size of the images: size, network, recipe."""
    side, why = found.sides[1], f"the median side is {found.sides[1]} px"
    sizes = [size for size in SIZES if size <= side]
    if found.square and side <= SIZES[-1]:
        sizes = sorted({*sizes, side})
    if not accelerator:
        sizes = [size for size in sizes if size <= _CPU_SIDE]
    least = min(config.select.ipcs) * len(found.classes)
    config.student.batch_size = min(50 if accelerator else 25, least)
    config.teacher.batch_size = min(64, int(pool.sum()))
    config.student.learning_rates = (3e-4, 1e-3, 3e-3, 1e-2)
    if accelerator:
        sizes = sizes[-1:]
        machine = _LARGE_STEM if sizes[0] >= _LARGE_SIDE else _SMALL_STEM
    else:
        machine = _CPU
    size, config.student.epochs, seconds = _fit(
        config, found, pool, validation, machine, sizes
    )
    if size < side and not accelerator:
        why += ", and a CPU's run is to end in minutes"
    config.data.image_size = 0 if found.square and size == side else size
    remarks.append(
        f"image size {size} px: {why}; --data.image_size={_other(size, side)} "
        "changes it"
    )
    if accelerator:
        _large(config, found, pool, size, remarks)
    else:
        _small(config, size, remarks)
    config.augment.flip = found.channels > 1
    config.augment.pad = max(1, size // 8)
    flips = "are mirrored" if config.augment.flip else "are not mirrored"
    colour = "colour" if config.augment.flip else "grey, and may be characters"
    remarks.append(
        f"views are shifted by up to {config.augment.pad} px and {flips}, since images "
        f"are {colour}; --augment.flip={not config.augment.flip} changes it"
    )
    rates = ", ".join(f"{rate:g}" for rate in config.student.learning_rates)
    remarks.append(
        f"students train {config.student.epochs} epochs in batches of "
        f"{config.student.batch_size} with {len(config.protocol.seeds)} seeds, at the "
        f"best of the learning rates {rates} on validation; about "
        f"{max(1, round(seconds / 60))} minutes on {machine.name}; "
        f"--student.epochs={2 * config.student.epochs} changes it"
    )


def _fit(
    config: ConfigDict,
    found: Scan,
    pool: np.ndarray,
    validation: int,
    machine: _Machine,
    sizes: list[int],
) -> tuple[int, int, float]:
    """The largest size at which a run ends in time, its epochs and its seconds.

    Students are trained for each regime, budget, selection (the full data too) and
    seed, with a search for two learning rates a regime and a scoring run a seed.
    """
    seeds, ipcs = len(config.protocol.seeds), config.select.ipcs
    each = seeds * (len(config.select.methods) + 1)
    each += 2 * len(config.student.learning_rates)
    each = each * len(config.regimes) + seeds
    epoch = each * sum(ipcs) * len(found.classes)  # images trained on
    predicted = each * len(ipcs) * (validation + found.test)
    predicted += seeds * len(ipcs) * _SNAPSHOTS * int(pool.sum())
    least, most = _EPOCHS
    for size in sorted(sizes, reverse=True):
        image = machine.seconds(size)
        fixed = machine.starting + predicted * image * _FORWARD
        epochs = int((60 * machine.minutes - fixed) / (epoch * image))
        if epochs >= least:
            break
    epochs = min(max(epochs, least), most)
    return size, epochs, fixed + epochs * epoch * image


def _small(config: ConfigDict, size: int, remarks: list) -> None:
    depth = next(depth for below, depth in _DEPTHS if size < below)
    for network in (config.student.network, config.teacher.network):
        network.name = f"convnet_d{depth}"
        network.convnet.width = 32
    config.sweep.driver = "mesh"
    remarks.append(
        f"a ConvNet of {depth} blocks and width 32, for {size} px on a CPU; "
        "--student.network.name=resnet18 changes it"
    )


def _large(
    config: ConfigDict, found: Scan, pool: np.ndarray, size: int, remarks: list
) -> None:
    large = size >= _LARGE_SIDE
    stem = "large" if large else "small"
    norm = "batch" if config.student.batch_size >= _BATCH_NORM else "group"
    for network in (config.student.network, config.teacher.network):
        network.name = "resnet18"
        network.resnet.stem, network.resnet.norm = stem, norm
    config.sweep.driver = "loop" if large else "mesh"
    config.sweep.members = 1 if large else 8
    config.teacher.epochs = int(np.clip(60_000 // pool.sum(), 20, 100))
    remarks.append(
        f"ResNet-18 with its {stem} first layers, for {size} px on an accelerator, and "
        f"{norm} norm, for batches of {config.student.batch_size}; "
        "--student.network.name=convnet_d3 changes it"
    )
    stored = (sum(found.counts) + found.test) * size**2 * found.channels
    if stored > _STREAM_BYTES and found.source.startswith("folder:"):
        config.data.stream, config.data.image_size = True, size
        remarks.append(
            f"images stay on disk, since they would take {stored / 2**30:.0f} GiB; "
            "--data.stream=False loads them"
        )


def _stem(name: str) -> str:
    path = Path(name.partition(":")[2]).expanduser().resolve()
    return path.stem if path.suffix == ".npz" else path.name


def _other(size: int, side: int) -> int:
    """The size to try instead: the next larger one that the images have, or smaller."""
    larger = [n for n in SIZES if size < n <= side]
    smaller = [n for n in SIZES if n < size]
    return larger[0] if larger else (smaller or SIZES[1:2])[-1]


def _listed(numbers) -> str:
    *first, last = map(str, numbers)
    return f"{', '.join(first)} and {last}" if first else last
