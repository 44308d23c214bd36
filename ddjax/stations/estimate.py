"""What a run will cost, told from shapes: no data, no compilation, no training.

Operations are XLA's count of the programs as they are lowered, with its own
convolutions, as on an accelerator; a multiply-add is two. Hours are those of one chip
that keeps up `UTILISATION` of its peak rate for dense bfloat16. Networks compute in
float32 unless their `dtype` says bfloat16, and are then slower than that.

Sources of `ACCELERATORS`: cloud.google.com/tpu/docs/v4, /v5e, /v5p and /v6e, "peak
compute per chip (bf16)" and the capacity of HBM. NVIDIA's figures, of the SXM modules
without sparsity, are second-hand: A100's from a note that cites its data sheet
(glennklockwood.com/garden/processors/A100), H100's as many quote it, and the H200 is
taken to compute as fast as the H100.

Letters: B images of a batch, n images of a subset, N of the pool, H W image, K
channels.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from ddjax import data
from ddjax.data import Examples
from ddjax.errors import named
from ddjax.settings import Settings
from ddjax.stations import memory, storage, sweeps, work
from ddjax.stations.checks import check, check_names
from ddjax.stations.context import Context
from ddjax.stations.needs import asked_teachers, scoring_regimes
from ddjax.stations.opening import ARGUMENTS, open_context
from ddjax.stations.sweeps import Sweep
from ddjax.stations.work import Row

if TYPE_CHECKING:
    import pandas as pd

UTILISATION = 0.35  # of the peak rate, assumed
# Name -> (peak bfloat16 operations a second, bytes of memory) of one chip.
ACCELERATORS = {
    "TPU v4": (275e12, 32 * 2**30),
    "TPU v5e": (197e12, 16 * 2**30),
    "TPU v5p": (459e12, 95 * 2**30),
    "TPU v6e": (918e12, 32 * 2**30),
    "A100": (312e12, 80 * 2**30),
    "H100": (989e12, 80 * 2**30),
    "H200": (989e12, 141 * 2**30),
}
CHIPS = (1, 8, 64)  # that plans are made for
DECODED = 10_000  # images a second, a measure for the hosts
ROOM = 0.9  # of a chip's memory, what programs and a runtime leave


def open_plan(settings: Settings) -> Context:
    """Checks the settings and returns a run's context, reading as little as it can.

    Args:
      settings: what to do. A source that `data.facts` knows is not opened: images
        that take no memory stand in for its own, and settings are not checked against
        them. Any other one is read.

    Raises:
      InputError: the settings are wrong, or neither the data nor facts are there.
    """
    chosen = settings.data
    check_names(settings)
    known = data.facts(chosen.source)
    if known is None:
        context = open_context(settings)
        check(context)
        return context
    with named("", **ARGUMENTS):
        source = known.stand_in(chosen.source, chosen.image_size or None)
    # Divided without pixels, which would have to be copied.
    train = dataclasses.replace(source.train, images=data.blank(len(source.train), ()))
    if chosen.pool:
        train = data.thin(train, chosen.pool, seed=0)
    splits = data.split_validation(train, chosen.validation, seed=0)
    pool, validation = (_shaped(split, source.shape) for split in splits)
    return Context(settings, source, pool, validation, source.test)


def _shaped(split: Examples, shape: tuple[int, ...]) -> Examples:
    return dataclasses.replace(split, images=data.blank(len(split), shape))


def estimate(context: Context) -> list[Row]:
    """Returns what the stations of a run cost, in the order of the road.

    Not counted are what takes no network (selections, codecs, the report) and repeated
    compilation; classes of a source that was not read count as equally large.

    Args:
      context: of `open_plan`.
    """
    settings = context.settings
    rows = [work.teacher(context, name) for name in asked_teachers(context)]
    if not settings.regimes:
        return rows
    trained = dict.fromkeys((*settings.regimes, *scoring_regimes(context)))
    judges = sweeps.judges(context)
    for ipc in settings.select.ipcs:
        for regime in trained:
            asked = judges if regime in settings.regimes else judges[:1]
            rows.append(work.tuning(asked, regime, ipc))
        rows += work.scoring(context, ipc)
        rows += [work.made(context, name, ipc) for name in settings.distill]
        labelled = set()
        for regime in settings.regimes:
            rows.append(work.labels(context, regime, ipc, labelled))
            rows += [work.students(judge, regime, ipc) for judge in judges]
    if any(context.labels(regime).regime == "soft" for regime in trained):
        rows.append(work.fixed_labels(context))
    return [row for row in rows if row.flops]


def table(rows: list[Row]) -> pd.DataFrame:
    """Returns the rows and their sum, with hours on each of `ACCELERATORS`.

    Args:
      rows: of `estimate`.
    """
    import pandas as pd

    frame = pd.DataFrame([dataclasses.asdict(row) for row in rows])
    total = frame.drop(columns="station").sum().to_dict()
    frame.loc[len(frame)] = {"station": "all", **total}
    for name, (peak, _) in ACCELERATORS.items():
        frame[name] = frame["flops"] / (UTILISATION * peak) / 3600
    return frame


def text(context: Context, frame: pd.DataFrame) -> str:
    """Returns what will be compiled, computed, kept and held, for people.

    Args:
      context: of `open_plan`.
      frame: of `table`.
    """
    trained = sweeps.sweeps(context)
    sections = (
        _programs(context, trained),
        _hours(context, trained, frame),
        _disk(context),
        _memory(context, trained),
    )
    return "\n\n".join(sections)


def _programs(context: Context, trained: list[Sweep]) -> str:
    rows, size = [], "x".join(map(str, context.source.shape))
    for sweep in trained:
        layouts = [sweep.layout(n, context.settings.mesh.data) for n in CHIPS]
        shared, at_once, _ = ("/".join(map(str, n)) for n in zip(*layouts, strict=True))
        batch, group = sweep.program.batch_size, sweep.members
        numbers = sweep.images, batch, sweep.steps, sweep.trainings, group
        rows.append((sweep.name, *(f"{n:,}" for n in numbers), shared, at_once))
    chips = "/".join(map(str, CHIPS))
    shapes, counts = (
        ("images", "batch", "steps"),
        ("all", "a group", "share", "at once"),
    )
    header = ("trainings", *shapes, *counts)
    return (
        f"PROGRAMS for {context.source.num_classes} classes, {size} pixels; of {chips} "
        "chips so many share a batch, and each\ntrains so many members at once. A "
        f"group is saved and resumed as one.\n{_columns(header, rows)}"
    )


def _hours(context: Context, trained: list[Sweep], frame: pd.DataFrame) -> str:
    rows = [_work(*row) for row in frame.itertuples(index=False, name=None)]
    *_, last = frame.itertuples(index=False, name=None)
    for chips in CHIPS[1:]:
        hours = (_number(each / chips) for each in last[4:])
        rows.append((f"all, on {chips} chips", "", "", "", *hours))
    names = (name.removeprefix("TPU ") for name in ACCELERATORS)
    header = ("station", "forward", "trained", "FLOPs", *names)
    says = (
        "WORK: images through a network (forward, trained), operations, and hours on "
        f"one chip at {UTILISATION:.0%} of its peak\nbfloat16 rate; on more chips if "
        f"they share the work perfectly.\n{_columns(header, rows)}"
    )
    if not context.settings.data.stream:
        return says
    decoded = int(frame["forward_passes"].iloc[-1]) + sum(
        sweep.whole * sweep.steps * sweep.program.batch_size for sweep in trained
    )
    hours = _number(decoded / DECODED / 3600)
    return (
        f"{says}\nImages to decode on the way: about {decoded:.1e}, {hours} hours "
        f"where the hosts together decode {DECODED:,} a second."
    )


def _work(station: str, forward: int, trained: int, flops: float, *hours: float):
    counts = (f"{count:.2e}" for count in (forward, trained, flops))
    return (station, *counts, *map(_number, hours))


def _disk(context: Context) -> str:
    found = storage.storage(context)
    rows = [(each.name, each.holds, _size(each.bytes)) for each in found]
    rows.append(("all", "", _size(sum(each.bytes for each in found))))
    name, size = storage.checkpoint(context)
    rows.append((f"checkpoints, {name}", "at most, until it is done", _size(size)))
    header = ("artifact", "holds", "")
    return f"DISK, before compression\n{_columns(header, rows, left=2)}"


def _memory(context: Context, trained: list[Sweep]) -> str:
    rows, largest = [], dict.fromkeys(CHIPS, 0.0)
    for sweep in trained:
        needs = [memory.per_device(context, sweep, chips) for chips in CHIPS]
        totals = [need.total for need in needs]
        first = (*dataclasses.astuple(needs[0]), totals[0])
        sizes = (_size(each, 1024) for each in (*first, *totals[1:]))
        rows.append((sweep.name, *sizes))
        for chips, total in zip(CHIPS, totals, strict=True):
            largest[chips] = max(largest[chips], total)
    parts = [field.name for field in dataclasses.fields(memory.Memory)]
    header = ("trainings", *parts, *(f"of {chips}" for chips in CHIPS))
    lines = [
        "MEMORY of a chip while it trains: of the only one in parts, of one of more in "
        "all",
        _columns(header, rows),
    ]
    for chips, size in largest.items():
        small = [n for n, (_, room) in ACCELERATORS.items() if size > ROOM * room]
        fits = f"too much for {', '.join(small)}" if small else "fits all of them"
        lines.append(f"One of {chips}: {fits}, with {ROOM:.0%} of a chip's memory.")
    if any(sweep.name.startswith("scoring") for sweep in trained):
        answers = _size(2 * storage.observed(context), 1024)
        lines.append(f"On each host while a budget is scored: {answers} of answers.")
    return "\n".join(lines)


def _columns(header: tuple[str, ...], rows: list[tuple[str, ...]], left=1) -> str:
    """Lays out cells, the first columns to the left."""
    cells = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        padded = [cell.ljust(w) for cell, w in zip(row[:left], widths, strict=False)]
        padded += map(str.rjust, row[left:], widths[left:])
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def _number(value: float) -> str:
    """Returns hours with about two digits."""
    if not value or value >= 100:
        return f"{value:,.0f}"
    digits = 1 if value >= 1 else 2
    return f"{value:.{digits}f}" if value >= 0.01 else f"{value:.0e}"


def _size(value: float, base: int = 1000) -> str:
    """Returns bytes in the largest of the units, powers of a base, that they fill."""
    if not value:
        return "0"
    power = min(int(math.log(max(value, 1), base)), 4)
    unit = ("B", "kB", "MB", "GB", "TB")[power]
    if base == 1024:
        unit = ("B", "KiB", "MiB", "GiB", "TiB")[power]
    return f"{value / base**power:,.1f} {unit}"
