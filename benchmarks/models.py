"""Milliseconds a step of every network: ddjax against PyTorch, in one run.

    python benchmarks/models.py [--only resnet18 resnet18-32 ...] [--rounds 5] [--csv F]

Both sides run the same network on images of the same shape, in float32, on the same two
CPUs with two threads: an evaluation step (logits) and a training step (forward,
backward of the mean cross-entropy, SGD with momentum). PyTorch runs eagerly, once as it
comes and once channels-last; ddjax is jitted, with the lowering that it chooses itself.
The sides take turns. Milliseconds are those of the best round; each round gives one
ratio of PyTorch as it comes to ddjax, of which the median counts. Compilation is timed
apart. Needs torch and torchvision, and Linux.
"""

import argparse
import csv
import dataclasses
import os
import pathlib
import statistics
import sys
import time

import numpy as np

THREADS = 2
SECONDS = 0.5  # of a round at least
LEARNING_RATE, MOMENTUM = 1e-3, 0.9
GOLDEN = pathlib.Path(__file__).parents[1] / "tests" / "golden"
COLUMNS = (
    "network",
    "px",
    "batch",
    "step",
    "torch ms",
    "torch channels-last ms",
    "jax ms",
    "ratio torch/jax",
    "compile s",
)


@dataclasses.dataclass(frozen=True)
class Case:
    """One comparison; pixels, images a step, and options that both sides take."""

    network: str
    size: int
    batch: int
    options: tuple[tuple[str, str], ...] = ()

    @property
    def names(self) -> tuple[str, str]:
        return self.network, f"{self.network}-{self.size}"

    @property
    def classes(self) -> int:
        return 1000 if self.size == 224 else 10


SMALL = (("stem", "small"),)
CASES = (
    Case("mlp", 32, 128),
    Case("convnet_d3", 32, 128),
    Case("resnet18", 32, 64, SMALL),
    Case("resnet18", 64, 32, SMALL),
    Case("wide_resnet_16_2", 32, 64),
    Case("resnet_ap10", 128, 16),
    Case("resnet18", 224, 8),
    Case("resnet34", 224, 8),
    Case("resnet50", 224, 8),
    Case("resnet101", 224, 8),
    Case("mobilenet_v2", 224, 8),
    Case("efficientnet_b0", 224, 8),
    Case("shufflenet_v2_x0_5", 224, 8),
    Case("densenet121", 224, 8),
    Case("alexnet", 224, 8),
    Case("vgg11", 224, 8),
    Case("vit_b_16", 224, 4),
    Case("swin_v2_t", 224, 4),
)


def make_data(case):
    """Returns (images [B,H,W,3] float32, labels [B] int32)."""
    rng = np.random.default_rng(0)
    images = rng.standard_normal((case.batch, case.size, case.size, 3), np.float32)
    return images, np.arange(case.batch, dtype=np.int32) % case.classes


def jax_steps(case):
    """Returns step -> (function that runs one, seconds of compilation), parameters."""
    import jax
    import jax.numpy as jnp

    from ddjax.losses import cross_entropy
    from ddjax.models import cost, network

    images, labels = (jnp.asarray(array) for array in make_data(case))
    net = network(case.network, case.classes, images.shape[1:], **dict(case.options))

    def draw(path, leaf):
        # Compiling the initialisers takes longer than all the rest.
        if leaf.ndim > 1:
            rng = np.random.default_rng(0)
            values = rng.standard_normal(leaf.shape, np.float32)
            return jnp.asarray(values * np.sqrt(2 / np.prod(leaf.shape[:-1])))
        one = path[-1].key in ("scale", "var")
        return jnp.full(leaf.shape, float(one)).astype(leaf.dtype)

    # Images are arguments, since constants would be computed with while compiling.
    def evaluate(variables, images):
        return net.apply(variables, images)[0]

    def train(state, images, labels):
        variables, velocity, key = state
        key, own = jax.random.split(key)

        def loss(params):
            logits, updated = net.apply(
                {**variables, "params": params}, images, True, own
            )
            return cross_entropy(logits, labels).mean(), updated

        grads, updated = jax.grad(loss, has_aux=True)(variables["params"])
        velocity = jax.tree.map(lambda v, g: MOMENTUM * v + g, velocity, grads)
        params = jax.tree.map(
            lambda p, v: p - LEARNING_RATE * v, variables["params"], velocity
        )
        return {**updated, "params": params}, velocity, key

    shapes = jax.eval_shape(net.init, jax.random.key(0))
    variables = jax.tree_util.tree_map_with_path(draw, shapes)
    velocity = jax.tree.map(jnp.zeros_like, variables["params"])
    state = [(jax.tree.map(jnp.copy, variables), velocity, jax.random.key(0))]

    start = time.perf_counter()
    evaluate = jax.jit(evaluate).lower(variables, images).compile()
    middle = time.perf_counter()
    train = jax.jit(train, donate_argnums=0)
    train = train.lower(state[0], images, labels).compile()
    end = time.perf_counter()

    def run_evaluate():
        jax.block_until_ready(evaluate(variables, images))

    def run_train():
        state[0] = jax.block_until_ready(train(state[0], images, labels))

    steps = {
        "eval": (run_evaluate, middle - start),
        "train": (run_train, end - middle),
    }
    return steps, cost.parameters(net)


def torch_steps(case, channels_last):
    """Returns step -> function that runs one, and the number of parameters."""
    import torch

    if str(GOLDEN) not in sys.path:
        sys.path.insert(0, str(GOLDEN))
    import reference

    layout = torch.channels_last if channels_last else torch.contiguous_format
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    images, labels = make_data(case)
    images = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    images, labels = images.to(memory_format=layout), torch.from_numpy(labels).long()
    model = reference.build(
        case.network, case.classes, case.size, **dict(case.options)
    ).to(memory_format=layout)
    optimizer = torch.optim.SGD(model.parameters(), LEARNING_RATE, MOMENTUM)

    def evaluate():
        model.eval()
        with torch.inference_mode():
            model(images)

    def train():
        model.train()
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()

    count = sum(parameter.numel() for parameter in model.parameters())
    return {"eval": evaluate, "train": train}, count


def take_turns(sides, rounds):
    """Returns side -> seconds a call of each round, after a round of warm-up."""
    calls, seconds = {}, {side: [] for side in sides}
    for side, function in sides.items():
        function()  # allocates, and is not timed
        start = time.perf_counter()
        function()
        calls[side] = max(1, round(SECONDS / (time.perf_counter() - start)))
    for _ in range(rounds):
        for side, function in sides.items():
            start = time.perf_counter()
            for _ in range(calls[side]):
                function()
            seconds[side].append((time.perf_counter() - start) / calls[side])
    return seconds


def compare(case, rounds):
    """Yields a row of the table for each kind of step."""
    ours, count = jax_steps(case)
    plain, plain_count = torch_steps(case, channels_last=False)
    last, _ = torch_steps(case, channels_last=True)
    if count != plain_count:
        raise SystemExit(
            f"{case.network}: {count} parameters here, {plain_count} in PyTorch"
        )
    for step, (function, compile_seconds) in ours.items():
        sides = {"torch": plain[step], "last": last[step], "jax": function}
        seconds = take_turns(sides, rounds)
        best = {side: f"{1e3 * min(times):.1f}" for side, times in seconds.items()}
        pairs = zip(seconds["torch"], seconds["jax"], strict=True)
        yield (
            case.network,
            case.size,
            case.batch,
            step,
            *best.values(),
            f"{statistics.median(theirs / own for theirs, own in pairs):.2f}",
            f"{compile_seconds:.1f}",
        )


def print_row(row):
    print("| " + " | ".join(map(str, row)) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = sorted({name for case in CASES for name in case.names})
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--csv", type=pathlib.Path, help="also write the table here")
    options = parser.parse_args()
    # Before anything starts threads; XLA takes as many as it is given CPUs.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    chosen = set(options.only or names)
    print_row(COLUMNS)
    print_row(["---"] * 4 + ["---:"] * 5)
    rows = [COLUMNS]
    for case in CASES:
        if chosen & set(case.names):
            for row in compare(case, options.rounds):
                print_row(row)
                rows.append(row)
                if options.csv:
                    with options.csv.open("w", newline="") as file:
                        csv.writer(file).writerows(rows)


if __name__ == "__main__":
    main()
