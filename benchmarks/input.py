"""Reading images: ddjax against PyTorch's DataLoader, on the same files, in one run.

    python benchmarks/input.py [--files 600] [--rounds 3] [--out FILE]

The files are JPEGs of quality 90, about 500x375 pixels, 88 kB: smooth noise, edges and
grain, in a temporary folder. All sides make ready images of 224 pixels in batches of
50. `host` is what ddjax does on the host: decode, bring to 224 pixels (`data.feed`).
`host+device` adds what the device does, the random resized crop and flip
(`data.augment.view`), here on the CPU, which an accelerator would not use for it.
`pillow` and `tensor` are PyTorch's DataLoader with torchvision: Pillow's image, or that
of `torchvision.io.decode_jpeg`, is cropped at random, resized to 224 pixels, flipped.
PyTorch crops from the whole image and ddjax from the small one: the numbers of pixels
that come out are the same, their sharpness is not. Every side runs in a process of its
own, the sides take turns, and the best round counts, from the second batch on, which
leaves the start of workers out. `images/s` are of the clock, with one worker and with
one for each core; `images/core s` are over the seconds of processor time that the
process and its workers took, whatever else the machine did; ratios are of the latter.
Needs torch, torchvision, and Linux.
"""

import argparse
import csv
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
from PIL import Image

SIZE, BATCH = 224, 50
SIDES = ("host", "host+device", "pillow", "tensor")


def picture(rng, height, width):
    """[height,width,3] uint8: smooth noise, rectangles and grain."""
    pixels = np.zeros((height, width, 3))
    for cells in (4, 8, 16, 32, 64, 128):
        for c in range(3):
            noise = rng.normal(size=(cells, cells)).astype(np.float32)
            smooth = Image.fromarray(noise).resize((width, height), Image.BICUBIC)
            pixels[..., c] += 4 / cells**0.9 * np.asarray(smooth)
    for y, x, down, across in rng.integers(10, 375, (12, 4)):
        pixels[y : y + down // 2, x : x + across // 2] += rng.normal(size=3)
    pixels += 0.35 * rng.normal(size=pixels.shape)
    return np.clip(45 * pixels + 120, 0, 255).astype(np.uint8)


def write(root, count):
    """Writes the files of a folder source; every fortieth has the same content."""
    rng = np.random.default_rng(0)
    contents = []
    for _ in range(min(count, 40)):
        file = io.BytesIO()
        height, width = 375 + rng.integers(-20, 21), 500 + rng.integers(-20, 21)
        Image.fromarray(picture(rng, height, width)).save(file, "JPEG", quality=90)
        contents.append(file.getvalue())
    for split, files in (("train", count), ("test", 1)):
        folder = pathlib.Path(root, split, "class")
        folder.mkdir(parents=True)
        for number in range(files):
            path = folder / f"{number:05d}.jpg"
            path.write_bytes(contents[number % len(contents)])
    return sum(map(len, contents)) / len(contents)


def spent(process="self"):
    """Seconds of processor time of a process and of those that it started."""
    proc = pathlib.Path("/proc", process)
    times = (proc / "stat").read_text().rpartition(")")[2].split()[11:13]
    seconds = sum(map(int, times)) / os.sysconf("SC_CLK_TCK")
    for children in proc.glob("task/*/children"):
        seconds += sum(map(spent, children.read_text().split()))
    return seconds


def rates(batches):
    """Images per second, and per second of processor time, from the second batch on."""
    next(batches)
    # Read while the workers are there: those that have ended have no time any more.
    start, processor, images = time.perf_counter(), spent(), 0
    for batch in batches:
        images += len(batch)
        seconds, processor_seconds = time.perf_counter() - start, spent() - processor
    return images / seconds, images / processor_seconds


def ours(root, workers, on_device):
    """Yields batches of ddjax."""
    import jax
    import jax.numpy as jnp

    from ddjax import data
    from ddjax.data import augment, feed

    images = data.load(f"folder:{root}", image_size=SIZE, stream=True).train.images
    order = np.random.default_rng(0).permutation(len(images))
    recipe = augment.Recipe(resized_crop=(0.08, 1.0), flip=True)
    seed, epoch = np.int32(0), np.int32(1)

    @jax.jit
    def views(ids_B, images_BHWC):
        one = lambda i, image: augment.view(recipe, seed, epoch, i, image)  # noqa: E731
        return jnp.rint(jax.vmap(one)(ids_B, images_BHWC)).astype(jnp.uint8)

    batches = feed.Feed(images, order, None, BATCH, workers=workers).iterate()
    for step, (batch, _) in enumerate(batches):
        if on_device:
            ids_B = order[step * BATCH : (step + 1) * BATCH].astype(np.int32)
            batch = jax.block_until_ready(views(ids_B, batch))
        yield batch


class Files:
    """PyTorch's dataset of the same files; its worker processes import this."""

    def __init__(self, root, with_pillow):
        import torchvision
        from torchvision.transforms import v2

        self.paths = sorted(map(str, pathlib.Path(root, "train", "class").iterdir()))
        self.with_pillow = with_pillow
        if with_pillow:
            transforms = torchvision.transforms
            last = [transforms.PILToTensor()]
        else:
            transforms, last = v2, []
        self.transform = transforms.Compose(
            [
                transforms.RandomResizedCrop(SIZE, antialias=True),
                transforms.RandomHorizontalFlip(),
                *last,
            ]
        )

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        import torchvision

        if self.with_pillow:
            with open(self.paths[index], "rb") as file:
                return self.transform(Image.open(file).convert("RGB"))
        data = torchvision.io.read_file(self.paths[index])
        mode = torchvision.io.ImageReadMode.RGB
        return self.transform(torchvision.io.decode_jpeg(data, mode=mode))


def theirs(root, workers, with_pillow):
    """Yields batches of PyTorch."""
    import torch

    files = Files(root, with_pillow)
    yield from torch.utils.data.DataLoader(
        files, BATCH, shuffle=True, num_workers=workers, drop_last=True
    )


def measure(side, root, workers):
    """The two rates of one side, from a process of its own."""
    command = [sys.executable, __file__, "--side", side, "--root", root]
    command += ["--workers", str(workers)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", help="a csv file of the table")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--root", help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        place = arguments.root, arguments.workers
        if arguments.side.startswith("host"):
            batches = ours(*place, arguments.side != "host")
        else:
            batches = theirs(*place, arguments.side == "pillow")
        print(json.dumps(rates(batches)))
        return
    rows = []
    with tempfile.TemporaryDirectory() as root:
        size = write(root, arguments.files)
        print(f"{arguments.files} files of {size / 1e3:.0f} kB on average")
        for workers in sorted({1, os.cpu_count()}):
            best = {side: (0.0, 0.0) for side in SIDES}
            for _ in range(arguments.rounds):
                for side in SIDES:
                    found = measure(side, root, workers)
                    best[side] = tuple(map(max, best[side], found))
            for side, (by_clock, by_core) in best.items():
                rows.append(
                    {
                        "workers": workers,
                        "side": side,
                        "images/s": round(by_clock),
                        "images/core s": round(by_core),
                        "over pillow": round(by_core / best["pillow"][1], 2),
                        "over tensor": round(by_core / best["tensor"][1], 2),
                    }
                )
    for row in (dict(zip(rows[0], rows[0], strict=True)), *rows):
        print("  ".join(f"{value!s:>13}" for value in row.values()))
    if arguments.out:
        with open(arguments.out, "w", newline="") as file:
            writer = csv.DictWriter(file, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
