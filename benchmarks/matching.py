"""Matching methods: ddjax against a plain PyTorch loop of the same method, in one run.

    python benchmarks/matching.py [--only dm dc mtt] [--rounds 3] [--csv FILE]
    python benchmarks/matching.py --memory [--only dm dc mtt] [--csv FILE]

An iteration of DM is a new network, 64 real images of each of ten classes, the
distance of the classes' mean features, its gradient and a step of SGD; PyTorch goes
from class to class, as VICO-UoE/DatasetCondensation does. An iteration of DC is a new
network and its image step: a gradient of real and of synthetic images of every class,
the distance of their rows, and its gradient through the gradient. An iteration of MTT
unrolls 20 steps of a student on the whole set, and its gradient goes to images and
rate; PyTorch keeps the graph of all steps, as GeorgeCazenavette/mtt-distillation does,
and ddjax computes each step again. ConvNet-D3, float32, two threads, no augmentation on
either side. The sides take turns; milliseconds are those of the best round, ratios
medians of the rounds. Needs torch, and Linux.

`--memory` has the memory of an iteration instead, as classes, IPC and unrolled steps
grow, one at a time; a busy machine does not change it. That of ddjax is what XLA's
program holds beside the pool, that of PyTorch how far the peak of a process of its own
rises in an iteration.
"""

import argparse
import csv
import ctypes
import dataclasses
import itertools
import multiprocessing
import os
import pathlib
import statistics
import sys
import time

import numpy as np

THREADS, REAL, POOL = 2, 64, 600
GOLDEN = pathlib.Path(__file__).parents[1] / "tests" / "golden"
SIZES = ("method", "px", "width", "classes", "IPC", "steps", "side")


@dataclasses.dataclass(frozen=True)
class Case:
    """A method at a size; `calls` iterations are one call, MTT unrolls `steps`."""

    method: str
    size: int
    width: int
    ipc: int
    calls: int = 1
    classes: int = 10
    steps: int = 20


CASES = (
    Case("dm", 14, 32, 10, 20),
    Case("dm", 28, 128, 1),
    Case("dc", 14, 32, 1, 10),
    Case("dc", 28, 128, 1),
    Case("mtt", 14, 32, 10),
    Case("mtt", 28, 128, 1),
)
BASES = {name: Case(name, 14, 32, 10) for name in ("dm", "dc", "mtt")}
GROWTH = ({}, {"classes": 40}, {"ipc": 40}, {"steps": 80})


def pool(case):
    """Returns images [N,H,W,1] uint8, class after class, and labels [N]."""
    labels = np.repeat(np.arange(case.classes, dtype=np.int32), POOL)
    shape = (len(labels), case.size, case.size, 1)
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8), labels


def program(case):
    """Returns the step of a case, its state, and what it reads."""
    import jax
    import jax.numpy as jnp

    from ddjax import distill, models
    from ddjax.distill import Task
    from ddjax.distill.match.experts import parameters_of
    from ddjax.settings import Distill

    images, labels = pool(case)
    shape = images.shape[1:]
    network = models.network("convnet_d3", case.classes, shape, width=case.width)
    experts = None
    if case.method == "mtt":
        size = (1, 4, parameters_of(network))
        experts = 0.05 * np.random.default_rng(1).standard_normal(size, np.float32)
    task = Task(
        images=images,
        labels=labels,
        ids=np.arange(len(labels), dtype=np.int32),
        num_classes=case.classes,
        mean=np.float32([0.5]),
        std=np.float32([0.25]),
        teachers=(),
        ipc=case.ipc,
        key=jax.random.key(0),
        student=network,
        experts=experts,
    )
    method = distill.METHODS[case.method]
    own = {"real": REAL}
    if case.method == "dc":
        own |= {"outer": 1, "inner": 1}
    if case.method == "mtt":
        own = {"steps": case.steps, "span": 2, "max_start": 2}
    options = method.sections[case.method](augment=(), **own)
    entry = Distill(case.method, **{case.method: options})
    step = method.step(task.outline(), entry, case.ipc)
    begun = jnp.zeros((case.classes * case.ipc, *shape))
    given = step.given(task)
    return step, step.begin(jax.random.key(1), begun, given), given


def ours(case):
    """Returns a function that makes `case.calls` iterations."""
    import jax

    from ddjax.distill.match import loop

    step, begun, given = program(case)
    state, key = [begun], jax.random.key(2)

    def call():
        state[0], loss = loop.advance(
            step, state[0], given, key, np.int32(0), np.int32(case.calls)
        )
        jax.block_until_ready(loss)

    return call


def theirs(case):
    """Returns a function that makes as many iterations in PyTorch."""
    import torch

    sys.path.insert(0, str(GOLDEN))
    import reference

    torch.set_num_threads(THREADS)
    images, labels = pool(case)
    classes = range(case.classes)
    real = torch.tensor((images / 255 - 0.5) / 0.25).float().permute(0, 3, 1, 2)
    places = [torch.from_numpy(np.flatnonzero(labels == c)) for c in classes]
    learned = torch.zeros(case.classes * case.ipc, 1, case.size, case.size)
    learned.requires_grad_()
    optimizer = torch.optim.SGD([learned], 0.1, momentum=0.5)
    cross_entropy = torch.nn.functional.cross_entropy
    network = "convnet_d3", case.classes, case.size, 1

    def drawn(label):
        own = places[label]
        return real[own[torch.randperm(len(own))[:REAL]]]

    def of_class(label):
        return learned[label * case.ipc : (label + 1) * case.ipc]

    def dm(module):
        def embed(shown):
            return module.features(shown).flatten(1)

        total = torch.zeros(())
        for label in classes:
            known = embed(drawn(label)).detach().mean(0)
            total = total + ((known - embed(of_class(label)).mean(0)) ** 2).sum()
        return total

    def dc(module):
        parameters = list(module.parameters())

        def gradient(shown, label, through):
            target = torch.full((len(shown),), label)
            loss = cross_entropy(module(shown), target)
            return torch.autograd.grad(loss, parameters, create_graph=through)

        total = torch.zeros(())
        for label in classes:
            known = gradient(drawn(label), label, False)
            made = gradient(of_class(label), label, True)
            for one, other in zip(known, made, strict=True):
                if one.ndim > 1:
                    one, other = one.flatten(1), other.flatten(1)
                    lengths = one.norm(dim=1) * other.norm(dim=1)
                    total = total + (1 - (one * other).sum(1) / (lengths + 1e-6)).sum()
        return total

    targets = torch.arange(case.classes).repeat_interleave(case.ipc)
    rate = torch.tensor(0.01, requires_grad=True)

    def mtt(module):
        begun = {name: p.detach() for name, p in module.named_parameters()}
        target = {name: p + 0.05 * torch.randn_like(p) for name, p in begun.items()}
        params = {name: p.clone().requires_grad_() for name, p in begun.items()}
        for _ in range(case.steps):
            order = torch.randperm(len(learned))
            logits = torch.func.functional_call(module, params, (learned[order],))
            loss = cross_entropy(logits, targets[order])
            gradients = torch.autograd.grad(loss, params.values(), create_graph=True)
            params = {
                name: p - rate * g
                for (name, p), g in zip(params.items(), gradients, strict=True)
            }
        far, moved = (
            sum(((ends[name] - target[name]) ** 2).sum() for name in target)
            for ends in (params, begun)
        )
        return far / moved

    loss_of = {"dm": dm, "dc": dc, "mtt": mtt}[case.method]

    def call():
        for _ in range(case.calls):
            module = reference.build(*network, width=case.width)
            if case.method == "dm":
                module.requires_grad_(False)
            optimizer.zero_grad()
            loss_of(module).backward()
            optimizer.step()

    return call


SIDES = {"torch": theirs, "ddjax": ours}


def take_turns(sides, rounds):
    """Returns side -> seconds a call of each round, after two calls of warm-up."""
    seconds = {side: [] for side in sides}
    for function in (*sides.values(), *sides.values()):
        function()
    for _ in range(rounds):
        for side, function in sides.items():
            start = time.perf_counter()
            function()
            seconds[side].append(time.perf_counter() - start)
    return seconds


def held_by_ours(case):
    """Returns the bytes that the program of an iteration holds."""
    import jax

    from ddjax.distill.match import loop

    step, state, given = program(case)
    number = np.int32(0)
    lowered = loop.advance.lower(step, state, given, jax.random.key(2), number, number)
    return lowered.compile().memory_analysis().temp_size_in_bytes


def held_by_theirs(case):
    """Returns by how many bytes the peak of this process rises in an iteration."""

    def kib(name):
        lines = pathlib.Path("/proc/self/status").read_text().splitlines()
        return int(dict(line.split(":", 1) for line in lines)[name].split()[0])

    call = theirs(case)
    theirs(dataclasses.replace(case, ipc=1, classes=2, steps=1))()  # libraries
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak is now the size
    before = kib("VmRSS")
    call()
    return 1024 * (kib("VmHWM") - before)


HELD = {"torch": held_by_theirs, "ddjax": held_by_ours}


def memory_rows(only):
    """Yields the rows of the table of memory; every measurement has a process."""
    for name in only:
        for changes in GROWTH if name == "mtt" else GROWTH[:-1]:
            case = dataclasses.replace(BASES[name], **changes)
            for side, function in HELD.items():
                context = multiprocessing.get_context("spawn")
                with context.Pool(1) as process:
                    held = process.apply(function, (case,))
                yield *sizes(case, side), f"{held / 1e6:.0f}"


def time_rows(only, rounds):
    """Yields the rows of the table of times."""
    for case in (case for case in CASES if case.method in only):
        made = {side: make(case) for side, make in SIDES.items()}
        seconds = take_turns(made, rounds)
        for side, times in seconds.items():
            pairs = zip(seconds["torch"], times, strict=True)
            ratio = statistics.median(theirs / own for theirs, own in pairs)
            each = f"{1e3 * min(times) / case.calls:.1f}"
            yield *sizes(case, side), each, f"{ratio:.2f}"


def sizes(case, side):
    """Returns the cells of `SIZES`."""
    steps = case.steps if case.method == "mtt" else ""
    return case.method, case.size, case.width, case.classes, case.ipc, steps, side


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = list(dict.fromkeys(case.method for case in CASES))
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", action="store_true", help="instead of times")
    parser.add_argument("--csv", type=pathlib.Path, help="also write the table here")
    options = parser.parse_args()
    # Before anything starts threads; XLA takes as many as it is given CPUs.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    if options.memory:
        columns, found = (*SIZES, "MB"), memory_rows(options.only)
    else:
        columns = (*SIZES, "ms", "ratio torch/side")
        found = time_rows(options.only, options.rounds)
    rows = []
    for row in itertools.chain((columns, ["---"] * len(columns)), found):
        rows.append(row)
        print("| " + " | ".join(map(str, row)) + " |", flush=True)
    if options.csv:
        with options.csv.open("w", newline="") as file:
            csv.writer(file).writerows([rows[0], *rows[2:]])


if __name__ == "__main__":
    main()
