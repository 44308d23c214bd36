"""Small label stores, and how to damage them."""

import numpy as np

from ddjax.labels import codecs
from ddjax.labels.store import LabelStore

IDENTITY = {
    "teacher": "aa11",
    "source": "bb22",
    "classes": ["cat", "dog", "eel"],
    "recipe": {"crop": [0.08, 1.0], "cutmix": 1.0},
    "seed": 0,
    "precision": "highest",
    "batch_norm": "eval",
}
IDS = np.array([7, 3, 12, 5, 40])


def make(path, codec="fp32", epochs=4, ids=IDS, num_classes=3, **changes):
    return LabelStore.create(
        path,
        epochs=epochs,
        example_ids=ids,
        num_classes=num_classes,
        codec=codecs.parse(codec),
        identity=IDENTITY | changes,
    )


def logits(epochs=4, examples=IDS.size, num_classes=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 5, (epochs, examples, num_classes)).astype(np.float32)


def filled(path, codec="fp32", **options):
    """A complete store and its logits [E,N,C]."""
    made = make(path, codec, **options)
    values = logits(made.epochs, made.example_ids.size, made.num_classes)
    for epoch in range(made.epochs):
        made.write(epoch, made.example_ids, values[epoch])
    return made, values


def data_files(path, name="labels"):
    return sorted(f for f in (path / name / "c").rglob("*") if f.is_file())


def flip(file, offset):
    content = bytearray(file.read_bytes())
    content[offset] ^= 16
    file.write_bytes(content)
