"""A task small enough for tests: three classes of 8 x 8 pixels and their teacher."""

import dataclasses
import functools

import jax
import numpy as np

from ddjax import models
from ddjax.distill import Task, Teacher
from ddjax.distill.recovery import Recover
from ddjax.settings import Distill

SECTIONS = {field.name for field in dataclasses.fields(Distill)}
MEAN, STD = np.array([0.4], np.float32), np.array([0.2], np.float32)
NETWORK = models.network("convnet_d1", 3, (8, 8, 1), width=4, norm="batch")
# One shape of a program wherever a test does not ask for another.
RECOVER = Recover(
    iterations=48, jitter=1, area=0.5, flip=True, bn_weight=0.02, learning_rate=0.1
)


def entry(method="sre2l", recover=RECOVER, **options):
    """Returns an entry of `distill`; options are fields of `recover` or sections."""
    sections = {name: options.pop(name) for name in [*options] if name in SECTIONS}
    return Distill(method, recover=dataclasses.replace(recover, **options), **sections)


def images(seed=0, each=4):
    """Returns images [N,8,8,1] uint8, brighter with the class, and labels [N]."""
    rng = np.random.default_rng(seed)
    labels = np.tile(np.arange(3, dtype=np.int32), each)
    shift = 40 * labels.reshape(-1, 1, 1, 1)
    return (rng.integers(0, 170, (len(labels), 8, 8, 1)) + shift).astype(
        np.uint8
    ), labels


def noise(seed=0, size=3):
    """Returns images [size,8,8,1] float32, normalised."""
    shape = (size, *NETWORK.image_shape)
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@functools.cache
def teacher(seed=0, name="teacher"):
    """Returns a teacher whose running statistics have seen some images."""

    @jax.jit
    def made(key, shown):
        variables = NETWORK.init(key)
        for _ in range(3):
            _, variables = NETWORK.apply(variables, shown, train=True)
        return variables

    shown = ((images(seed + 10)[0] / 255 - MEAN) / STD).astype(np.float32)
    return Teacher(name, NETWORK, made(jax.random.key(seed), shown))


def task(seed=0, **changes):
    """Returns a task of two images a class; every call has a key of its own."""
    pool, labels = images()
    found = {
        "images": pool,
        "labels": labels,
        "ids": np.arange(100, 100 + len(labels), dtype=np.int32),
        "num_classes": 3,
        "mean": MEAN,
        "std": STD,
        "teachers": (teacher(),),
        "ipc": 2,
        "key": jax.random.key(seed),
    }
    return Task(**found | changes)
