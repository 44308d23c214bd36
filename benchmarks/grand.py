"""GraNd: seconds an example against a training pass, and memory against N.

    python benchmarks/grand.py [--case w32s14 w32 w128] [--batch 8 16 32] [--rounds 9]

The training pass is forward and backward of the batch's mean loss, jitted, on the same
images in the same batches; it and `grand` take turns in one process. Each round gives
one ratio, of which the median counts; the milliseconds are those of the best round.
Memory is how far the resident set grew at its peak during one call, compilation
included, each call in a process of its own.
"""

import argparse
import functools
import json
import os
import resource
import statistics
import subprocess
import sys
import time

import numpy as np

# Pixels and width of a ConvNet-D3.
CASES = {"w32s14": (14, 32), "w32": (28, 32), "w128": (28, 128)}
CLASSES, PASSES = 10, 4  # batches a round
EXAMPLES = 1000, 4000


@functools.cache
def setting(case):
    """Returns (loss of one example, mean loss of a batch, params)."""
    import jax
    import jax.numpy as jnp

    from ddjax.losses import cross_entropy
    from ddjax.models import network
    from ddjax.train.batches import normalise

    size, width = CASES[case]
    net = network("convnet_d3", CLASSES, (size, size, 1), width=width)
    mean, std = jnp.full(1, 0.5), jnp.full(1, 0.25)

    def mean_loss(params, images, labels):
        logits, _ = net.apply(params, normalise(images, mean, std))
        return cross_entropy(logits, labels).mean()

    def own_loss(params, image, label):
        return mean_loss(params, image[None], label[None])

    return own_loss, mean_loss, net.init(jax.random.key(0))


def make_data(case, count):
    """Returns (images [N,H,W,1] uint8, labels [N] int32)."""
    rng, size = np.random.default_rng(0), CASES[case][0]
    images = rng.integers(0, 256, (count, size, size, 1), np.uint8)
    return images, rng.integers(0, CLASSES, count).astype(np.int32)


def compare(case, batch, rounds):
    """Returns milliseconds an example of both sides and their ratio."""
    import jax

    from ddjax.scores import grand

    own_loss, mean_loss, params = setting(case)
    images, labels = make_data(case, PASSES * batch)
    gradient = jax.jit(jax.grad(mean_loss))

    def train():
        for start in range(0, len(images), batch):
            block = slice(start, start + batch)
            jax.block_until_ready(gradient(params, images[block], labels[block]))

    sides = {
        "train": train,
        "grand": lambda: grand(own_loss, params, images, labels, batch),
    }
    seconds = {side: [] for side in sides}
    for _ in range(1 + rounds):  # the first is a warm-up
        for side, function in sides.items():
            start = time.perf_counter()
            function()
            seconds[side].append(time.perf_counter() - start)
    pairs = list(zip(seconds["grand"][1:], seconds["train"][1:], strict=True))
    best = {side: min(times[1:]) for side, times in seconds.items()}
    return {
        "case": case,
        "batch": batch,
        **{f"{k}_ms": round(1e3 * s / len(images), 3) for k, s in best.items()},
        "ratio": round(statistics.median(g / t for g, t in pairs), 2),
        "best_ratio": round(best["grand"] / best["train"], 2),
    }


def resident(peak=False):
    """Returns this process's memory in MiB."""
    if peak:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure_memory(case, batch, count):
    """Returns the growth of the peak during one call."""
    from ddjax.scores import grand

    own_loss, _, params = setting(case)
    images, labels = make_data(case, count)
    before = resident()
    grand(own_loss, params, images, labels, batch)
    growth = resident(peak=True) - before
    return {"case": case, "batch": batch, "N": count, "growth_mib": round(growth, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", choices=CASES, nargs="*", default=list(CASES))
    parser.add_argument("--batch", type=int, nargs="*", default=[16])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--memory", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    for case in options.case:
        for batch in options.batch:
            if options.memory:
                print(json.dumps(measure_memory(case, batch, options.memory)))
                continue
            print(json.dumps(compare(case, batch, options.rounds)), flush=True)
            for count in EXAMPLES:
                subprocess.run(
                    [sys.executable, __file__, "--case", case, "--batch", str(batch)]
                    + ["--memory", str(count)],
                    check=True,
                )


if __name__ == "__main__":
    main()
