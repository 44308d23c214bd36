"""Students a second: ddjax's sweep against a plain PyTorch loop, in one run.

    python benchmarks/sweep.py [--case digits|w32|w128 ...] [--rounds 3]

Both sides train the same students: the same ConvNet with instance norm, batch, number
of steps, AdamW with cosine schedule, pad-and-crop augmentation, from the same uint8
images. PyTorch (eager, channels-last, all threads) trains them one after another, as
the field's scripts do; ddjax trains them as one group with the driver that `auto`
picks. Each side runs in its own process, the two take turns, and the best round of each
counts. Needs the extra `bench`.
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import time

import numpy as np


@dataclasses.dataclass(frozen=True)
class Case:
    """One comparison; pixels, ConvNet, and how much is trained."""

    size: int
    depth: int
    width: int
    pad: int
    batch: int
    members: int
    steps: int


CASES = {
    "digits": Case(size=8, depth=2, width=32, pad=1, batch=20, members=8, steps=200),
    "w32": Case(size=28, depth=3, width=32, pad=2, batch=50, members=8, steps=12),
    "w128": Case(size=28, depth=3, width=128, pad=2, batch=50, members=4, steps=4),
}
IMAGES, CLASSES, SUBSET = 1000, 10, 100
LEARNING_RATE, WEIGHT_DECAY = 1e-3, 0.01


def make_data(case: Case):
    """Returns (images [N,H,W,1] uint8, labels [N] int32, subsets [M,n] int32)."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (IMAGES, case.size, case.size, 1), np.uint8)
    labels = np.arange(IMAGES, dtype=np.int32) % CLASSES
    subsets = [rng.permutation(IMAGES)[:SUBSET] for _ in range(case.members)]
    return images, labels, np.stack(subsets).astype(np.int32)


def run_ddjax(case: Case, rounds: int):
    """Yields the seconds of each round after a report of compilation."""
    import jax

    jax.config.update("jax_num_cpu_devices", os.cpu_count())
    import jax.numpy as jnp

    from ddjax.data.augment import Recipe
    from ddjax.labels import Objective
    from ddjax.models import network
    from ddjax.train import batches, student, sweep
    from ddjax.train.members import Members
    from ddjax.train.micro_batch import micro_batch_size

    images, labels, subsets = make_data(case)
    convnet = network(
        f"convnet_d{case.depth}",
        CLASSES,
        images.shape[1:],
        width=case.width,
        norm="instance",
    )
    program = student.Program(
        network=convnet,
        objective=Objective("hard"),
        recipe=Recipe(pad=case.pad),
        batch_size=case.batch,
        micro_batch=micro_batch_size(convnet, case.batch),
    )
    pool = batches.Pool(
        jnp.asarray(images),
        jnp.asarray(labels),
        jnp.arange(IMAGES, dtype=jnp.int32),
        jnp.full(1, 0.5, jnp.float32),
        jnp.full(1, 0.25, jnp.float32),
    )

    def full(value):
        return np.full(case.members, value, np.float32)

    members = Members(
        np.arange(case.members, dtype=np.int32),
        list(subsets),
        jax.tree.map(
            full,
            student.HParams(LEARNING_RATE, float(case.steps), WEIGHT_DECAY),
        ),
    )
    names = ["vmap", "loop"] + ["mesh"] * (jax.local_device_count() > 1)
    runners = {name: sweep.Runner(program, pool, name) for name in names}
    steps = min(case.steps, 3)
    times = {name: r.time_step(members, steps) for name, r in runners.items()}
    driver = min(times, key=times.get)
    runner = runners[driver]
    compile_seconds = runner.cost.compile_seconds
    yield {"driver": driver, "compile_seconds": compile_seconds, "drivers": times}
    for _ in range(rounds):
        start = time.perf_counter()
        runner.train(members, case.steps)
        yield time.perf_counter() - start


def run_torch(case: Case, rounds: int):
    """Yields the seconds of each round, after an empty report."""
    import torch
    from torch import nn

    torch.set_num_threads(os.cpu_count())
    images, labels, subsets = make_data(case)
    images = torch.from_numpy(images).permute(0, 3, 1, 2)
    labels = torch.from_numpy(labels).long()

    def convnet():
        layers, inputs, size = [], 1, case.size
        for index in range(case.depth):
            padding = 3 if index == 0 and case.size == 28 else 1
            layers += [
                nn.Conv2d(inputs, case.width, 3, padding=padding),
                nn.GroupNorm(case.width, case.width),
                nn.ReLU(),
                nn.AvgPool2d(2),
            ]
            inputs, size = case.width, (size + 2 * padding - 2) // 2
        layers += [nn.Flatten(), nn.Linear(inputs * size * size, CLASSES)]
        return nn.Sequential(*layers).to(memory_format=torch.channels_last)

    def crop(batch):
        padded = nn.functional.pad(batch, [case.pad] * 4)
        offsets = torch.randint(0, 2 * case.pad + 1, (2, len(batch), 1))
        rows = offsets[0] + torch.arange(case.size)
        columns = offsets[1] + torch.arange(case.size)
        which = torch.arange(len(batch))[:, None, None]
        return padded[:, 0][which, rows[:, :, None], columns[:, None, :]][:, None]

    def train(seed, subset):
        torch.manual_seed(seed)
        model = convnet()
        decayed = [p for p in model.parameters() if p.ndim > 1]
        others = [p for p in model.parameters() if p.ndim <= 1]
        optimizer = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": WEIGHT_DECAY},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=LEARNING_RATE,
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, case.steps)
        subset, order = torch.from_numpy(subset).long(), []
        for _ in range(case.steps):
            if len(order) < case.batch:
                order = torch.randperm(SUBSET)
            chosen, order = subset[order[: case.batch]], order[case.batch :]
            inputs = (crop(images[chosen]).float() / 255.0 - 0.5) / 0.25
            inputs = inputs.to(memory_format=torch.channels_last)
            loss = nn.functional.cross_entropy(model(inputs), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        return loss.item()

    train(0, subsets[0])
    yield {}
    for _ in range(rounds):
        start = time.perf_counter()
        for seed, subset in enumerate(subsets):
            train(seed, subset)
        yield time.perf_counter() - start


SIDES = {"ddjax": run_ddjax, "torch": run_torch}


def serve(side: str, case: str, rounds: int) -> None:
    """Runs one side, one round a line of input, so that two processes take turns."""
    for result in SIDES[side](CASES[case], rounds):
        print(json.dumps(result), flush=True)
        sys.stdin.readline()


def compare(case: str, rounds: int) -> dict:
    """Returns the two sides' figures and their ratio."""
    processes = {
        side: subprocess.Popen(
            [sys.executable, __file__, "--side", side, "--case", case]
            + ["--rounds", str(rounds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for side in SIDES
    }
    seconds = {side: [] for side in SIDES}
    reports = {}
    for turn in range(rounds + 1):
        for side, process in processes.items():
            if turn:
                process.stdin.write("\n")
                process.stdin.flush()
            line = process.stdout.readline()
            if not line:
                raise SystemExit(f"{side} stopped with exit code {process.wait()}")
            result = json.loads(line)
            if turn:
                seconds[side].append(result)
            else:
                reports[side] = result
    for process in processes.values():
        process.stdin.close()
        process.wait()
    work = CASES[case].members * CASES[case].steps
    rates = {side: work / min(times) for side, times in seconds.items()}
    return {
        "case": case,
        **{f"{side}_steps_per_second": round(rate, 2) for side, rate in rates.items()},
        "ratio": round(rates["ddjax"] / rates["torch"], 2),
        "driver": reports["ddjax"]["driver"],
        "compile_seconds": round(reports["ddjax"]["compile_seconds"], 1),
        "milliseconds_by_driver": {
            name: round(1e3 * value, 2)
            for name, value in reports["ddjax"]["drivers"].items()
        },
        "rounds": seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", choices=CASES, nargs="*", default=list(CASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        serve(options.side, options.case[0], options.rounds)
        return
    for case in options.case:
        found = compare(case, options.rounds)
        print(json.dumps({k: v for k, v in found.items() if k != "rounds"}), flush=True)


if __name__ == "__main__":
    main()
