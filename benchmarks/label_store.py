"""Labels on disk: bytes by formula and in files, and the cost of reading them.

    python benchmarks/label_store.py [--gigabytes 1] [--batch 4096]

Prints JSON lines. `size`: what the labels of 300 epochs of ImageNet-1K take by each
codec's formula, in GiB, beside published sizes. `disk`: a small store with all its
files, over the formula. `read`: a store of fp16 labels that is larger than the cache,
read in random order of (epoch, example id): labels a second, and by how much the
process grew at its peak.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time

import numpy as np

EPOCHS, CLASSES = 300, 1000
CODECS = (
    "fp32",
    "fp16",
    "int8",
    "topk:k=100",
    "topk:k=10",
    "vq:codes=256,groups=2",
    "vq:codes=16",
)
SMALL_CODECS = ("fp16", "int8", "topk:k=10", "vq:codes=256,groups=2,steps=100")
# GB of labels at IPC 10, 50, 100 and 200 as stated in the README of the code of LPLD
# (full fp16 labels of SRe2L; 40x) and of the code of LPQLD (40x and 80x). Their unit is
# GiB: 300 epochs * 10 * 1000 images * (2 * 1000 + 25) bytes of logits and coordinates
# of a view are 5.66 GiB and 6.08e9 bytes, against the stated 5.67.
PUBLISHED = {
    "fp16, SRe2L": (5.67, 28.33, 56.66, 113.33),
    "LPLD 40x": (0.14, 0.71, 1.43, 2.85),
    "LPQLD 40x": (0.13, 0.63, 1.27, 2.54),
    "LPQLD 80x": (0.07, 0.37, 0.73, 1.47),
}
IPCS = (10, 50, 100, 200)


def sizes():
    """Yields the lines of the size table."""
    from ddjax.labels import codecs

    for name, values in PUBLISHED.items():
        yield {"size": "published", "labels": name} | dict(
            zip(map("GiB_ipc{}".format, IPCS), values, strict=True)
        )
    for spec in CODECS:
        codec = codecs.parse(spec)
        bits = codec.bits_per_label(CLASSES)
        line = {"size": "formula", "labels": codec.spec, "bits_per_label": bits}
        for ipc in IPCS:
            labels = EPOCHS * ipc * CLASSES
            total = (labels * bits + codec.shared_bits(CLASSES)) / 8
            line[f"GiB_ipc{ipc}"] = round(total / 2**30, 4)
        full = 16 * CLASSES * EPOCHS * 10 * CLASSES
        line["times_smaller_than_fp16_ipc10"] = round(
            full / (EPOCHS * 10 * CLASSES * bits + codec.shared_bits(CLASSES)), 1
        )
        yield line


def teacher_like(rng, examples, classes):
    """Logits [N,C] of a sure teacher: noise, and one class that stands out."""
    logits = rng.normal(0, 1.5, (examples, classes)).astype(np.float32)
    logits[np.arange(examples), rng.integers(0, classes, examples)] += 8
    return logits


def disk(spec, folder):
    """Returns the line of a store of 100 classes, IPC 10, 10 epochs."""
    import jax

    from ddjax.labels import codecs
    from ddjax.labels.store import LabelStore

    rng = np.random.default_rng(0)
    codec = codecs.parse(spec).fit(jax.random.key(0), teacher_like(rng, 1000, 100))
    ids = np.arange(1000)
    store = LabelStore.create(
        f"{folder}/{spec}",
        epochs=10,
        example_ids=ids,
        num_classes=100,
        codec=codec,
        identity={},
    )
    for epoch in range(10):
        store.write(epoch, ids, teacher_like(rng, 1000, 100))
    store.finish()
    info = store.info()
    return {
        "disk": info["codec"],
        "formula_bytes": info["formula_bytes"],
        "disk_bytes": info["disk_bytes"],
        "disk_over_formula": round(info["disk_bytes"] / info["formula_bytes"], 4),
        "times_smaller_than_fp16": round(info["compression"], 2),
    }


def write(path, gigabytes):
    """Writes a store of fp16 labels of 1000 classes, 50 MB an epoch."""
    from ddjax.labels import codecs
    from ddjax.labels.store import LabelStore

    ids, rng = np.arange(25_000), np.random.default_rng(0)
    epochs = max(1, round(gigabytes * 1e9 / (2 * CLASSES * ids.size)))
    store = LabelStore.create(
        path,
        epochs=epochs,
        example_ids=ids,
        num_classes=CLASSES,
        codec=codecs.parse("fp16"),
        identity={},
    )
    logits = rng.standard_normal((ids.size, CLASSES), np.float32)
    for epoch in range(epochs):
        store.write(epoch, ids, logits)


def read(path, batch):
    """Prints the line of reading every label once, in random order."""
    from ddjax.labels.store import LabelStore

    store, rng = LabelStore.open(path), np.random.default_rng(1)
    store.read(0, store.example_ids[rng.permutation(store.example_ids.size)[:batch]])
    shape = store.epochs, store.example_ids.size
    order = rng.permutation(shape[0] * shape[1])
    before, start = peak(), time.perf_counter()
    for first in range(0, order.size, batch):
        epochs, positions = np.unravel_index(order[first : first + batch], shape)
        store.read(epochs, store.example_ids[positions])
    seconds = time.perf_counter() - start
    grown = peak() - before
    start = time.perf_counter()
    for positions in np.array_split(rng.permutation(shape[1]), shape[1] // 128):
        store.read(0, store.example_ids[positions])
    epoch_seconds = time.perf_counter() - start
    line = {
        "read": "all epochs mixed, random order",
        "gigabytes": order.size * 2 * CLASSES / 1e9,
        "batch": batch,
        "labels_per_second": round(order.size / seconds),
        "peak_growth_mb": round(grown / 1e6, 1),
        "under_500_mb": grown < 500e6,
        "labels_per_second_of_one_epoch_in_batches_of_128": round(
            shape[1] / epoch_seconds
        ),
    }
    print(json.dumps(line), flush=True)


def peak():
    """Returns the largest memory this process has had, in bytes; Linux only.

    Not `ru_maxrss`, which a process inherits from the one that started it.
    """
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--read", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.read:
        read(arguments.read, arguments.batch)
        return
    for line in sizes():
        print(json.dumps(line), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for spec in SMALL_CODECS:
            print(json.dumps(disk(spec, folder)), flush=True)
        start = time.perf_counter()
        write(f"{folder}/large", arguments.gigabytes)
        seconds = round(time.perf_counter() - start, 1)
        print(json.dumps({"write": arguments.gigabytes, "seconds": seconds}))
        # In a fresh process, whose peak is that of reading.
        command = [sys.executable, __file__, "--read", f"{folder}/large"]
        command += ["--batch", str(arguments.batch)]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
