"""Runs every ```python block of Markdown files, each file's in one namespace.

    python tests/snippets.py FILE...

What the prose around a block presupposes, such as images in memory or a file of
weights, is given here: a block gets the names of every entry of `GIVEN` that it has the
key of.
"""

import pathlib
import re
import shutil
import sys

import jax
import numpy as np

from ddjax import models, presets, settings

rng = np.random.default_rng(0)
CLASSES = tuple(f"class {label}" for label in range(10))


def normal(*shape):
    return rng.normal(size=shape).astype(np.float32)


def weights():
    net = models.network("resnet18", num_classes=10, image_shape=(32, 32, 3))
    variables = net.init(jax.random.key(0))
    models.save_safetensors("resnet18.safetensors", "resnet18", variables)
    return {"images": normal(2, 32, 32, 3), "key": jax.random.key(1)}


def runs():
    results = pathlib.Path(__file__).parents[1] / "results"
    for name, study in (("a", "cad_prune_digits"), ("b", "cad_prune_digits_tuned")):
        shutil.copytree(results / study, f"runs/{name}", dirs_exist_ok=True)
    return {}


GIVEN = {
    "add_selection(": lambda: {"settings": settings, "config": presets.smoke()},
    "add_variant(": lambda: {"settings": settings, "config": presets.smoke()},
    "write_image_set(": lambda: {
        "images": rng.integers(0, 256, (20, 32, 32, 3), np.uint8),
        "labels": np.arange(20) % 10,
        "classes": CLASSES,
    },
    "LabelStore.create(": lambda: {
        "ids": np.arange(20),
        "names": CLASSES,
        "epoch": 3,
        "epochs": np.full(20, 3),
        "logits": normal(20, 10),
    },
    "from_torch(": weights,
    "compare.read(": runs,
    "leaderboard.read(": runs,
    "Trace(": lambda: {
        "student_logits": normal(200, 10),
        "teacher_logits": normal(200, 10),
        "true_prob_SN": rng.random((12, 200), np.float32),
        "labels": np.arange(200) % 10,
        "images": normal(200, 16),
        "features": normal(200, 8),
        "params": normal(16, 10),
        "loss_of_one": lambda params, image, label: (image @ params)[label],
    },
}


def blocks(path):
    """(line, text) of every block."""
    text = path.read_text(encoding="utf-8")
    for found in re.finditer(r"^```python\n(.*?)^```$", text, re.M | re.S):
        yield text.count("\n", 0, found.start(1)) + 1, found.group(1)


def main():
    for path in map(pathlib.Path, sys.argv[1:]):
        namespace = {}
        for line, text in blocks(path):
            print(f"{path.name}:{line}", flush=True)
            for marker, given in GIVEN.items():
                if marker in text:
                    namespace |= given()
            # Lines of a traceback are those of the file.
            exec(compile("\n" * (line - 1) + text, str(path), "exec"), namespace)


if __name__ == "__main__":
    main()
