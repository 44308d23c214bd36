"""How seconds and memory grow as members, images, IPC and classes double.

    python benchmarks/scaling.py [--only students craig ...] [--folder results/scaling]

Every work is doubled along one axis, the others at rest, until a call takes half a
second: from 4 sizes up to 6. Seconds are the processor's, on one core, of the fastest
warm call in four rounds over the sizes, so that other work on the machine and waiting
for the disk count little. Bytes of students and snapshots are XLA's: arguments, results
and temporaries of their largest program. Bytes of all else are by how much the process
grew at its peak, inputs there before; what is too small to measure is left empty. An
exponent is the slope of the logarithms over the larger half of the sizes, with its
standard error. One above 1.1 is marked, with its reason from `REASONS`.

Axes:

- members: students in one `vmap`.
- images: N, of a fixed number of classes.
- ipc: the budget of a class, N fixed.
- classes: N grows with them, as a class keeps its size and its budget.

`measurements.csv` grows while it runs, and the same command goes on where it was
stopped. `exponents.csv` and `manifest.json` are written at the end. Linux only.
"""

import argparse
import csv
import ctypes
import functools
import json
import math
import os
import pathlib
import re
import shutil
import tempfile
import time
from collections.abc import Callable

import jax
import numpy as np
import selection  # the benchmark beside this one
import threadpoolctl

from ddjax import models, scores
from ddjax.data.augment import Recipe
from ddjax.distill import METHODS, Task, Teacher
from ddjax.distill.patches import Patches
from ddjax.distill.recovery import Recover
from ddjax.labels import LabelStore, Objective, codecs
from ddjax.settings import Distill
from ddjax.stages.report import environment
from ddjax.stages.trace import observe
from ddjax.train import batches, student, sweep
from ddjax.train.members import Members

CAP_SECONDS, SIZES = 0.5, (4, 6)
ROUNDS, MOMENT = 4, 0.05
LEAST_BYTES = 4 << 20  # the growth of a process below this is noise
LIMIT = 1.1
PIXELS, BATCH, DIMS, SNAPSHOTS = 8, 20, 32, 30
MEMBERS, IMAGES, IPC, CLASSES, CLASS_SIZE = 2, 4000, 10, 10, 200
# Why a work costs more than in proportion along an axis, where that is known. Where it
# is the cache, cost is linear beyond: of snapshots from 16 to 64 members,
# of the two selections from 80 to 640 classes.
REASONS = {
    **dict.fromkeys(
        [(name, "images") for name in ("facility_location", "craig", "d2")],
        "all pairs of a class: the square of its size",
    ),
    ("facility_location, stochastic", "images"): "a choice reads n / IPC examples, "
    "each against all n of the class",
    ("gradmatch", "ipc"): "after each choice the weights of all are solved for anew",
    ("bws", "ipc"): "solves for as many unknowns as there are chosen, up to one a "
    "feature",
    **dict.fromkeys(
        [(name, "classes") for name in ("craig", "gradmatch", "glister", "bws")],
        "a gradient or prediction has an entry a class: N times classes",
    ),
    ("graph_cut", "ipc"): "each choice strikes out all earlier ones: a square with a "
    "small factor",
    ("snapshot", "members"): "activations of more than 8 members leave the cache",
    **dict.fromkeys(
        [(name, "images") for name in ("entropy", "least_confidence")],
        "a plain copy of one row: it shows the levels of the machine's memory",
    ),
    ("forgetting", "images"): "in proportion from 160,000 to 2,560,000 images",
    **dict.fromkeys(
        [(name, "classes") for name in ("herding", "facility_location")],
        "features of more classes leave the cache",
    ),
    ("prototypes", "images"): "k-means takes more iterations, 14 and in the end 39",
    ("sre2l", "classes"): "an image of each class has a logit a class",
    ("prototypes", "classes"): "k-means with a cluster a class: N times classes",
    **dict.fromkeys(
        [(name, "classes") for name in ("store write", "store read", "snapshot")],
        "a label has a logit a class: N times classes",
    ),
}
COLUMNS = ("work", "axis", "size", "seconds", "bytes")
EXPONENTS = (
    *("work", "axis", "smallest", "largest", "seconds_exponent", "seconds_error"),
    *("bytes_exponent", "bytes_error", "above_limit", "reason"),
)


def pool_of(images, classes):
    """Returns random (images [N,H,W,1] uint8, labels [N] int32)."""
    rng = np.random.default_rng(0)
    shape = (images, PIXELS, PIXELS, 1)
    labels = np.arange(images, dtype=np.int32) % classes
    return rng.integers(0, 256, shape, np.uint8), labels


def runner_of(images, labels, classes):
    """Returns what trains members on a pool."""
    shape = (PIXELS, PIXELS, 1)
    program = student.Program(
        network=models.network("convnet_d1", classes, shape, width=16, norm="instance"),
        objective=Objective("hard"),
        recipe=Recipe(pad=1),
        batch_size=BATCH,
    )
    half = np.full(1, 0.5, np.float32)
    ids = np.arange(len(images), dtype=np.int32)
    pool = batches.Pool(images, labels, ids, half, half)
    return sweep.Runner(program, pool, "vmap", PROGRAMS)


def members_of(count, steps, subset):
    """Returns students of one subset that differ in their seed."""

    def full(value):
        return np.full(count, value, np.float32)

    hparams = jax.tree.map(full, student.HParams(1e-3, float(steps), 0.01))
    seeds = np.arange(count, dtype=np.int32)
    return Members(seeds, [subset] * count, hparams)


class Programs(dict):
    """Compiled programs, and which of them were used since `used` was emptied."""

    used = set()

    def __getitem__(self, key):
        self.used.add(key)
        return super().__getitem__(key)

    def bytes(self):
        """Returns what the largest of those holds."""
        found = [self[key].memory_analysis() for key in self.used]
        return max(
            m.argument_size_in_bytes
            + m.output_size_in_bytes
            - m.alias_size_in_bytes
            + m.temp_size_in_bytes
            for m in found
        )


PROGRAMS = Programs()


def students(members=MEMBERS, images=IMAGES, ipc=IPC, classes=CLASSES):
    """Four epochs of all members, from their first weights on."""
    runner = runner_of(*pool_of(images, classes), classes)
    subset = np.arange(ipc * classes, dtype=np.int32)
    steps = 4 * math.ceil(len(subset) / BATCH)
    group = members_of(members, steps, subset)
    return lambda: runner.train(group, steps), PROGRAMS.bytes


def snapshot(members=MEMBERS, images=IMAGES, classes=CLASSES):
    """A snapshot of a trace: all members predict all images."""
    pool, labels = pool_of(images, classes)
    runner = runner_of(pool, labels, classes)
    group = members_of(members, 1, np.arange(BATCH, dtype=np.int32))
    states, _ = runner.train(group, 0)
    return lambda: runner.evaluate(
        observe, states, members, pool, labels
    ), PROGRAMS.bytes


def score(name, images=IMAGES):
    """A score of a trace."""
    rng = np.random.default_rng(0)
    values_SN = rng.random((SNAPSHOTS, images), np.float32)
    fields = {
        field: values_SN < 0.5 if field == "correct" else values_SN
        for field in selection.FIELDS[name]
    }
    trace = scores.Trace(**fields)
    return lambda: scores.SCORES[name].function(trace), None


def select(name, images=IMAGES, ipc=IPC, classes=CLASSES):
    """A selection, its inputs ready."""
    return selection.selections(images, DIMS, classes, ipc)[name], None


def store(scratch, write, images=IMAGES, classes=100):
    """An epoch of labels in float16, written or read in random order."""
    rng = np.random.default_rng(0)
    ids = np.arange(images)
    logits = rng.standard_normal((images, classes), np.float32)
    path = f"{scratch}/{write}-{images}-{classes}"

    def create():
        shutil.rmtree(path, ignore_errors=True)
        made = LabelStore.create(
            path,
            epochs=1,
            example_ids=ids,
            num_classes=classes,
            codec=codecs.parse("fp16"),
            identity={},
        )
        made.write(0, ids, logits)
        return made

    if write:
        return create, None
    made, order = create(), rng.permutation(ids)
    return lambda: made.read(0, order), None


def task_of(images, ipc, classes):
    """Returns what is distilled, and from which teacher."""
    shape = (PIXELS, PIXELS, 1)
    network = models.network("convnet_d1", classes, shape, width=16, norm="batch")
    pool, labels = pool_of(images, classes)
    half = np.full(1, 0.5, np.float32)
    return Task(
        images=pool,
        labels=labels,
        ids=np.arange(images, dtype=np.int32),
        num_classes=classes,
        mean=half,
        std=half,
        teachers=(Teacher("teacher", network, network.init(jax.random.key(0))),),
        ipc=ipc,
        key=jax.random.key(0),
    )


def make_rded(images=IMAGES, ipc=IPC, classes=CLASSES):
    """RDED of all images, five crops each."""
    task, patches = task_of(images, ipc, classes), Patches(candidates=images)
    entry = Distill("rded", patches=patches)
    return lambda: METHODS["rded"].synthesise(task, entry), None


def make_sre2l(ipc=1, classes=CLASSES):
    """16 iterations of SRe2L for each of its batches of up to 40 images."""
    task, recover = task_of(classes, ipc, classes), Recover(iterations=16, batch=40)
    entry = Distill("sre2l", recover=recover)
    return lambda: METHODS["sre2l"].synthesise(task, entry), None


def axes(make: Callable, **first: int) -> dict[str, tuple[int, Callable]]:
    """Returns axis -> (its first size, a function of its size that makes the work)."""

    def at(axis):
        def sized(size):
            if axis == "classes" and "images" in first:
                return make(classes=size, images=CLASS_SIZE * size)
            if axis == "ipc" and "images" in first:
                return make(ipc=size, images=2 * IMAGES)
            return make(**{axis: size})

        return sized

    return {axis: (size, at(axis)) for axis, size in first.items()}


def works(scratch):
    """Returns work -> axis -> (first size, size -> (call, its bytes or None))."""
    found = {
        "students": axes(students, members=1, images=1000, ipc=5, classes=5),
        "snapshot": axes(snapshot, members=1, images=1000, classes=5),
    }
    for name in selection.FIELDS:
        found[name] = axes(functools.partial(score, name), images=20_000)
    for name in selection.selections(100, DIMS, 10, 1):
        first = {"images": 1000, "ipc": 5, "classes": 5}
        if name == "prototypes":  # of the number of classes, without a budget
            del first["ipc"]
        found[name] = axes(functools.partial(select, name), **first)
    for name in ("write", "read"):
        made = functools.partial(store, scratch, name == "write")
        found[f"store {name}"] = axes(made, images=8000, classes=20)
    found["rded"] = axes(make_rded, images=500, ipc=5, classes=5)
    found["sre2l"] = axes(make_sre2l, ipc=1, classes=20)
    return found


def peak_growth(call):
    """Returns by how many bytes the process grew at most during a call."""
    ctypes.CDLL(None).malloc_trim(0)
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # forgets the old peak
    before = status("VmRSS")
    call()
    return status("VmHWM") - before


def status(name):
    text = pathlib.Path("/proc/self/status").read_text()
    return 1024 * int(re.search(rf"{name}:\s+(\d+)", text)[1])


def measure(first, make):
    """Returns size -> (seconds, bytes or 0) of a series.

    The sizes take turns, so that a busy spell of the machine meets all of them.
    """
    fewest, most = SIZES
    calls, held, seconds = {}, {}, {}
    for size in (first << count for count in range(most)):
        calls[size], bytes_of = make(size)
        PROGRAMS.used.clear()
        calls[size]()  # compiles
        if bytes_of:
            held[size] = bytes_of()
        else:
            grown = peak_growth(calls[size])
            held[size] = grown if grown >= LEAST_BYTES else 0
        seconds[size] = fastest(calls[size])
        if seconds[size] > CAP_SECONDS and len(calls) >= fewest:
            break
    for _ in range(ROUNDS - 1):
        for size, call in calls.items():
            seconds[size] = min(seconds[size], fastest(call))
    return {size: (seconds[size], held[size]) for size in calls}


def fastest(call):
    """Returns the processor's seconds of the best of as many calls as fill a moment."""
    times = []
    while sum(times) < MOMENT:
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


def fit(sizes, values):
    """Returns (exponent, its standard error) over the larger half of the sizes."""
    kept = max(3, math.ceil(len(sizes) / 2))
    if len(sizes) < 3:
        return math.nan, math.nan
    x, y = np.log(sizes[-kept:]), np.log(values[-kept:])
    x -= x.mean()
    slope = x @ y / (x @ x)
    rest = y - y.mean() - slope * x
    return slope, math.sqrt(rest @ rest / (kept - 2) / (x @ x))


def exponents_of(work, axis, measured):
    """Returns a row of exponents.csv; `measured` is size -> (seconds, bytes or 0)."""
    sizes = sorted(measured)
    seconds = fit(sizes, [measured[size][0] for size in sizes])
    known = [size for size in sizes if measured[size][1] > 0]
    held = fit(known, [measured[size][1] for size in known])
    above = [n for n, f in (("seconds", seconds), ("bytes", held)) if f[0] > LIMIT]
    reason = REASONS.get((work, axis), "not explained") if above else ""
    numbers = ["" if math.isnan(v) else f"{v:.2f}" for v in (*seconds, *held)]
    return [work, axis, sizes[0], sizes[-1], *numbers, " and ".join(above), reason]


def read(path):
    """Returns (work, axis) -> size -> (seconds, bytes or 0) as measured before."""
    found = {}
    if path.exists():
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                series = found.setdefault((row["work"], row["axis"]), {})
                series[int(row["size"])] = float(row["seconds"]), int(row["bytes"] or 0)
    return found


def run(every, folder):
    """Measures what is not in `measurements.csv` yet; returns rows of exponents."""
    path = folder / "measurements.csv"
    done, rows = read(path), []
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if not done:
            writer.writerow(COLUMNS)
        for work, series in every.items():
            for axis, (first, make) in series.items():
                if (work, axis) not in done:
                    done[work, axis] = measure(first, make)
                    writer.writerows(
                        [work, axis, size, f"{seconds:.4g}", held or ""]
                        for size, (seconds, held) in done[work, axis].items()
                    )
                    file.flush()
                rows.append(exponents_of(work, axis, done[work, axis]))
                print(*rows[-1], sep=", ", flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="WORK", help="some of the works")
    parser.add_argument(
        "--folder", type=pathlib.Path, default=pathlib.Path("results/scaling")
    )
    parser.add_argument("--note", default="", help="a remark for manifest.json")
    options = parser.parse_args()
    # Before JAX starts its threads; those of NumPy have been started.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-1:])
    one_thread = threadpoolctl.threadpool_limits(1)
    with one_thread, tempfile.TemporaryDirectory() as scratch:
        every = works(scratch)
        chosen = options.only or list(every)
        if unknown := set(chosen) - every.keys():
            known = ", ".join(every)
            parser.error(f"--only: found {unknown.pop()!r}, allowed are {known}")
        options.folder.mkdir(parents=True, exist_ok=True)
        rows = run({name: every[name] for name in chosen}, options.folder)
    if options.only:
        return
    with (options.folder / "exponents.csv").open("w", newline="") as file:
        csv.writer(file).writerows([EXPONENTS, *rows])
    manifest = {
        "command": "python benchmarks/scaling.py",
        "note": options.note,
        "base": {
            "members": MEMBERS,
            "images": IMAGES,
            "images where ipc grows": 2 * IMAGES,
            "ipc": IPC,
            "classes": CLASSES,
            "images a class where classes grow": CLASS_SIZE,
            "pixels": PIXELS,
            "batch": BATCH,
            "features": DIMS,
            "snapshots": SNAPSHOTS,
        },
        "environment": environment(),
    }
    text = json.dumps(manifest, indent=2) + "\n"
    (options.folder / "manifest.json").write_text(text)


if __name__ == "__main__":
    main()
