"""Distillation: ddjax against a plain PyTorch loop of the same algorithm, in one run.

    python benchmarks/distill.py [--only sre2l rded memory] [--rounds 3] [--csv FILE]

Both sides use the same networks with the same weights, float32, on the same two CPUs.
`sre2l` is an iteration of the recover stage: crops, rolls, the teacher's cross-entropy
and batch-norm distance, their gradient, Adam, clamping. PyTorch draws one crop for the
whole batch, as SRe2L does, and measures the statistics with hooks; ddjax draws one for
each image. `rded` scores crops: cut out, resize, normalise, teacher, cross-entropy,
five crops an image; PyTorch takes an image at a time, as RDED does. Beside it stands
the bare forward pass of ddjax's teacher on ready images. The sides take turns;
milliseconds are those of the best round, ratios medians of the rounds. `memory` makes
sets of one image a class, of ever more classes, 50 at a time, each in a process of its
own, and prints what its memory was at most; there the set itself is all that grows.
Needs torch and torchvision, and Linux.
"""

import argparse
import csv
import dataclasses
import multiprocessing
import os
import pathlib
import statistics
import sys
import time

import numpy as np

THREADS = 2
CROPS, ITERATIONS = 5, 4
CLASSES = (50, 200, 1000)
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
BN_WEIGHT, FIRST_BN, RATE, BETAS, AREA, JITTER = 0.01, 10.0, 0.25, (0.5, 0.9), 0.08, 4
GOLDEN = pathlib.Path(__file__).parents[1] / "tests" / "golden"
COLUMNS = ("work", "network", "px", "images", "side", "ms", "ratio torch/side")


@dataclasses.dataclass(frozen=True)
class Case:
    """A teacher, and how many images are optimised or scored at once."""

    network: str
    size: int
    images: int
    options: tuple[tuple[str, str], ...]


CASES = (
    Case("convnet_d3", 32, 100, (("norm", "batch"),)),
    Case("resnet18", 32, 50, (("stem", "small"),)),
)


def teachers(case):
    """Returns PyTorch's network and ddjax's with its weights."""
    import torch

    sys.path.insert(0, str(GOLDEN))
    import reference

    from ddjax import models

    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    module = reference.build(case.network, 10, case.size, **dict(case.options)).eval()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    network = models.network(
        case.network, 10, (case.size, case.size, 3), **dict(case.options)
    )
    state = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    options = dict(case.options)
    return (
        module,
        network,
        models.from_torch(case.network, state, 10, case.size, **options),
    )


def recover_sides(case):
    """Returns side -> function that makes ITERATIONS iterations."""
    import jax
    import jax.numpy as jnp
    import torch
    import torchvision

    from ddjax.distill import Teacher, recover, synthesis
    from ddjax.distill.recovery import Recover, form_of

    module, network, variables = teachers(case)
    labels = np.arange(case.images, dtype=np.int32) % 10
    noise = np.random.default_rng(0).standard_normal(
        (case.images, case.size, case.size, 3), np.float32
    )
    low, high = ((np.array([v] * 3) - MEAN) / STD for v in (0.0, 1.0))

    settings = Recover(iterations=10**6, area=AREA, jitter=JITTER)
    numbers = recover.Numbers(
        *map(np.float32, (RATE, *BETAS, BN_WEIGHT, FIRST_BN, 1.0, *[0.0] * 5)),
        roll=np.array([-JITTER, JITTER], np.int32),
        areas=np.full(10**6, AREA, np.float32),
        low=np.float32(low),
        high=np.float32(high),
        seed=np.int32(0),
    )
    batch = recover.Batch(np.arange(case.images, dtype=np.int32), labels)
    targets = (synthesis.target_of(Teacher("teacher", network, variables)),)
    form = form_of(settings)
    state = [recover.begin(form, jnp.asarray(noise), targets)]

    def ours():
        stop = np.int32(int(state[0].iteration) + ITERATIONS)
        state[0], _ = jax.block_until_ready(
            recover.advance(
                (network,),
                form,
                state[0],
                batch,
                targets,
                numbers,
                stop,
            )
        )

    distances = []

    def measure(layer, inputs, output):
        x = inputs[0]
        mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
        distances.append(
            torch.norm(variance - layer.running_var)
            + torch.norm(mean - layer.running_mean)
        )

    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.register_forward_hook(measure)
    images = torch.tensor(noise).permute(0, 3, 1, 2).contiguous().requires_grad_()
    optimizer = torch.optim.Adam([images], RATE, BETAS)
    crop = torchvision.transforms.RandomResizedCrop(case.size, (AREA, 1.0))
    targets = torch.from_numpy(labels).long()
    edges = [torch.tensor(a).float().reshape(1, 3, 1, 1) for a in (low, high)]

    def theirs():
        for _ in range(ITERATIONS):
            rolls = [int(n) for n in torch.randint(-JITTER, JITTER + 1, (2,))]
            seen = torch.roll(crop(images), rolls, (2, 3))
            distances.clear()
            optimizer.zero_grad()
            entropy = torch.nn.functional.cross_entropy(module(seen), targets)
            distance = FIRST_BN * distances[0] + sum(distances[1:])
            (entropy + BN_WEIGHT * distance).backward()
            optimizer.step()
            with torch.no_grad():
                images.clamp_(*edges)

    return {"torch": theirs, "ddjax": ours}


def scoring_sides(case):
    """Returns side -> function that scores CROPS crops of every image."""
    import jax
    import jax.numpy as jnp
    import torch
    import torchvision

    from ddjax.distill.crops import best_crops
    from ddjax.train.micro_batch import images_in_cache

    module, network, variables = teachers(case)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (case.images, case.size, case.size, 3), np.uint8)
    labels = np.arange(case.images, dtype=np.int32) % 10
    mean, std = np.float32(MEAN), np.float32(STD)
    seen = max(1, images_in_cache(network, case.images * CROPS) // CROPS)
    score = jax.jit(best_crops, static_argnums=range(5))
    area = np.float32((AREA, 1.0))
    key = jax.random.key(0)

    def ours():
        jax.block_until_ready(
            score(
                network,
                CROPS,
                case.size,
                "lowest",
                seen,
                variables,
                key,
                area,
                mean,
                std,
                images,
                labels,
                labels,
            )
        )

    ready = jnp.asarray(
        rng.standard_normal((case.images * CROPS, case.size, case.size, 3), np.float32)
    )
    forward = jax.jit(
        lambda variables, images: jax.lax.map(
            lambda image: network.apply(variables, image[None])[0][0],
            images,
            batch_size=seen * CROPS,
        )
    )

    def bare():
        jax.block_until_ready(forward(variables, ready))

    crop = torchvision.transforms.RandomResizedCrop(
        case.size, (AREA, 1.0), (1.0, 1.0), antialias=True
    )
    shown = torch.from_numpy(images).permute(0, 3, 1, 2)
    normalise = torchvision.transforms.Normalize(MEAN, STD)

    def theirs():
        with torch.inference_mode():
            for image, label in zip(shown, labels, strict=True):
                pixels = image.float() / 255
                views = torch.stack([normalise(crop(pixels)) for _ in range(CROPS)])
                torch.nn.functional.cross_entropy(
                    module(views), torch.full((CROPS,), int(label)), reduction="none"
                ).argmin()

    return {"torch": theirs, "ddjax": ours, "bare forward": bare}


def memory(classes):
    """Makes a set of one image a class; returns the most memory it took, in MB."""
    import resource

    import jax

    from ddjax import models
    from ddjax.distill import METHODS, Task, Teacher
    from ddjax.distill.recovery import Recover
    from ddjax.settings import Distill

    case = CASES[0]
    shape = (case.size, case.size, 3)
    network = models.network(case.network, classes, shape, **dict(case.options))
    teacher = Teacher("teacher", network, network.init(jax.random.key(0)))
    task = Task(
        images=np.zeros((1, *shape), np.uint8),
        labels=np.zeros(1, np.int32),
        ids=np.zeros(1, np.int32),
        num_classes=classes,
        mean=np.float32(MEAN),
        std=np.float32(STD),
        teachers=(teacher,),
        ipc=1,
        key=jax.random.key(0),
    )
    entry = Distill("sre2l", recover=Recover(iterations=ITERATIONS, batch=50))
    METHODS["sre2l"].synthesise(task, entry)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def show_memory():
    """Prints a line a number of classes."""
    context = multiprocessing.get_context("spawn")
    for classes in CLASSES:
        with context.Pool(1) as pool:
            print(f"{classes} classes: {pool.apply(memory, (classes,)):.0f} MB")


WORK = {"sre2l": (recover_sides, ITERATIONS), "rded": (scoring_sides, 1)}


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", nargs="+", choices=(*WORK, "memory"), default=list(WORK)
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--csv", type=pathlib.Path, help="also write the table here")
    options = parser.parse_args()
    # Before anything starts threads; XLA takes as many as it is given CPUs.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    if "memory" in options.only:
        show_memory()
    rows = [COLUMNS, ["---"] * len(COLUMNS)]
    print("\n".join("| " + " | ".join(row) + " |" for row in rows), flush=True)
    for work in (name for name in options.only if name in WORK):
        make, calls = WORK[work]
        for case in CASES:
            seconds = take_turns(make(case), options.rounds)
            for side, times in seconds.items():
                pairs = zip(seconds["torch"], times, strict=True)
                ratio = statistics.median(theirs / own for theirs, own in pairs)
                row = (work, case.network, case.size, case.images, side)
                row += (f"{1e3 * min(times) / calls:.1f}", f"{ratio:.2f}")
                rows.append(row)
                print("| " + " | ".join(map(str, row)) + " |", flush=True)
    if options.csv:
        with options.csv.open("w", newline="") as file:
            csv.writer(file).writerows([rows[0], *rows[2:]])


if __name__ == "__main__":
    main()
