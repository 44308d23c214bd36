"""A run small enough for tests: three classes of noisy blobs, 8 x 8 pixels."""

import pathlib

import numpy as np

from ddjax import settings

CLASSES = ("left", "middle", "right")
TRAIN, TEST = 40, 12  # images a class


def arrays(train=TRAIN, test=TEST, seed=0):
    """Returns the four arrays of an npz source; a class is where the blob lies."""
    rng = np.random.default_rng(seed)
    found = {"class_names": np.array(CLASSES)}
    for split, count in (("train", train), ("test", test)):
        labels = np.tile(np.arange(len(CLASSES)), count)
        images = rng.integers(0, 160, (len(labels), 8, 8))
        for image, label in zip(images, labels, strict=True):
            row, column = rng.integers(0, 5), 2 * label + rng.integers(0, 2)
            image[row : row + 3, column : column + 2] += 90
        found[f"x_{split}"] = images.clip(0, 255).astype(np.uint8)
        found[f"y_{split}"] = labels
    return found


def write(path, **changes):
    """Writes the source, with some arrays replaced or (None) left out."""
    found = arrays() | changes
    np.savez(path, **{name: a for name, a in found.items() if a is not None})
    return path


# A learning rate and a decay with which weights grow by a factor of -999 a step.
DIVERGES = 100.0
DECAY = 10.0


def config(source, **changes):
    """Returns a config of the source; `section__name=value` changes it."""
    made = settings.defaults()
    made.name = "tiny"
    made.data.source = f"npz:{source}"
    made.data.validation = 0.2
    made.select.ipcs = (2,)
    made.select.methods = ("random", "cad_prune")
    made.select.el2n_best_window.starts = (0.0, 0.5)
    made.student.network.name = made.teacher.network.name = "mlp"
    made.student.network.mlp.hidden = made.teacher.network.mlp.hidden = (8,)
    made.student.epochs = 20
    made.student.batch_size = 6
    made.student.learning_rates = (0.01,)
    made.teacher.epochs = 3
    made.teacher.batch_size = 12
    made.protocol.seeds = (0, 1)
    made.protocol.widen = 0
    made.sweep.driver = "loop"
    made.update_from_flattened_dict(
        {name.replace("__", "."): value for name, value in changes.items()}
    )
    return made


CONFIG = """
import sys

sys.path.insert(0, {tests!r})
import tiny


def get_config():
    return tiny.config({source!r}, **{changes!r})
"""


def write_config(path, source, **changes):
    """Writes a config of the source to a file; changes as of `config`."""
    names = {"tests": str(pathlib.Path(__file__).parent), "source": str(source)}
    path.write_text(CONFIG.format(**names, changes=changes))
    return path
