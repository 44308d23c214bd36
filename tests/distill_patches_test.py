"""RDED, CA2D and PCA: their choices against a slow search, their rules and errors."""

import dataclasses
import math

import jax
import numpy as np
import pytest

from ddjax import models
from ddjax.declare import walk
from ddjax.distill.ca2d import ca2d
from ddjax.distill.crops import random_windows, resized
from ddjax.distill.pca import pca
from ddjax.distill.rded import rded
from ddjax.distill.task import Task, Teacher
from ddjax.errors import InputError
from ddjax.settings.patches import Patches

SIDE, CLASSES, EACH, IPC = 8, 3, 30, 2  # 90 images: more than a block
HALVES = Patches(factor=2, crops=3, candidates=EACH)
NETWORK = models.network("convnet_d1", CLASSES, (SIDE, SIDE, 1), width=4, norm="batch")
TEACHER = Teacher("tiny", NETWORK, jax.jit(NETWORK.init)(jax.random.key(3)))

apply = jax.jit(NETWORK.apply)
windows_of = jax.jit(random_windows, static_argnums=(2, 3))
patches_of = jax.jit(
    jax.vmap(resized, (None, 0, None)), static_argnums=2
)  # of one image


def task_of(seed=0, **changes):
    rng = np.random.default_rng(seed)
    count = CLASSES * EACH
    made = {
        "images": rng.integers(0, 256, (count, SIDE, SIDE, 1), dtype=np.uint8),
        "labels": rng.permutation(np.arange(count, dtype=np.int32) % CLASSES),
        "ids": rng.permutation(1000)[:count].astype(np.int32),
        "num_classes": CLASSES,
        "mean": np.float32([0.4]),
        "std": np.float32([0.3]),
        "teachers": (TEACHER,),
        "ipc": IPC,
        "key": jax.random.key(11),
        "difficulty": rng.random(count).astype(np.float32),
    }
    return Task(**made | changes)


def reordered(task, order):
    """The same task with another order of its pool, or a part of it."""
    names = ("images", "labels", "ids", "difficulty")
    return dataclasses.replace(task, **{n: getattr(task, n)[order] for n in names})


def slow_rded(task, settings):
    """Image by image, with the same crops; every image is a candidate."""
    size = SIDE // settings.factor
    before = (SIDE - size) // 2
    sign = -1 if settings.patch_loss == "highest" else 1
    key = jax.random.fold_in(task.key, 1)
    images, sources = [], []
    for label in range(CLASSES):
        found = []
        for row in np.flatnonzero(task.labels == label):
            windows = windows_of(
                key, task.ids[row], settings.crops, SIDE, np.float32(settings.area)
            )
            patches = np.asarray(patches_of(task.images[row], windows, size))
            shown = np.zeros((settings.crops, SIDE, SIDE, 1), np.float32)
            middle = slice(before, before + size)
            shown[:, middle, middle] = (patches / 255 - task.mean) / task.std
            logits = np.float64(apply(TEACHER.variables, shown)[0])
            losses = np.log(np.exp(logits).sum(1)) - logits[:, label]
            best = int(np.argmin(sign * losses))
            found.append((sign * losses[best], int(task.ids[row]), patches[best]))
        found.sort(key=lambda entry: entry[:2])
        if settings.patch_loss == "medium":
            found = found[(len(found) - task.ipc * settings.factor**2) // 2 :]
        made = np.zeros((task.ipc, SIDE, SIDE, 1))
        ids = np.zeros((task.ipc, settings.factor**2), int)
        for cell in range(settings.factor**2):
            y, x = cell // settings.factor * size, cell % settings.factor * size
            for i in range(task.ipc):
                _, ids[i, cell], patch = found[cell * task.ipc + i]
                made[i, y : y + size, x : x + size] = np.round(patch)
        images.append(made)
        sources.append(ids)
    return np.concatenate(images), np.concatenate(sources)


def same(left, right):
    for name in ("images", "labels", "sources"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name))


def check_balance(task, made, columns):
    assert made.images.shape == (CLASSES * IPC, SIDE, SIDE, 1)
    assert made.images.dtype == np.uint8
    assert made.labels.dtype == made.sources.dtype == np.int32
    np.testing.assert_array_equal(made.labels, np.repeat(np.arange(CLASSES), IPC))
    assert made.sources.shape == (CLASSES * IPC, columns)
    assert len(np.unique(made.sources)) == made.sources.size, "an image came twice"
    label_of = dict(zip(task.ids, task.labels, strict=True))
    for label, ids in zip(made.labels, made.sources, strict=True):
        assert {label_of[i] for i in ids} == {label}


@pytest.mark.parametrize("patch_loss", ["lowest", "highest", "medium"])
@pytest.mark.parametrize("factor", [1, 2])
def test_rded_equals_a_slow_search(factor, patch_loss):
    settings = dataclasses.replace(HALVES, factor=factor, patch_loss=patch_loss)
    task = task_of()
    made = rded(task, settings)
    images, sources = slow_rded(task, settings)
    np.testing.assert_array_equal(made.sources, sources)
    # A half may round either way.
    np.testing.assert_allclose(made.images, images, atol=1)
    assert (made.images == images).mean() > 0.99
    check_balance(task, made, factor**2)


def test_rded_depends_on_the_key_and_not_on_the_order_of_the_pool():
    settings = dataclasses.replace(HALVES, candidates=12)
    task, told = task_of(), []
    made = rded(dataclasses.replace(task, progress=told.append), settings)
    check_balance(task, made, 4)
    same(rded(task, settings), made)
    order = np.random.default_rng(5).permutation(len(task.ids))
    same(rded(reordered(task, order), settings), made)
    other = rded(dataclasses.replace(task, key=jax.random.key(12)), settings)
    assert (other.sources != made.sources).any()
    assert made.cost.forward_passes == CLASSES * 12 * settings.crops
    assert made.cost.seconds > 0 and made.cost.compile_seconds > 0
    assert made.cost.flops > made.cost.forward_passes * SIDE**2 * 9  # a convolution
    # All candidates, then all patches.
    assert sum(told) == CLASSES * 12 + made.sources.size
    assert len(made.info["patch_loss"]) == CLASSES


def test_candidates_are_drawn_evenly():
    """As many candidates as patches: who was drawn is who is in the images."""
    task = task_of()
    settings = dataclasses.replace(HALVES, candidates=4 * IPC)
    drawn = {i: 0 for i in task.ids}
    for seed in range(30):
        made = rded(dataclasses.replace(task, key=jax.random.key(seed)), settings)
        for i in made.sources.ravel():
            drawn[i] += 1
    # Each of them binomial(30, 8 / 30): a mean of 8 and a deviation of 2.4.
    assert 1 <= min(drawn.values()) and max(drawn.values()) <= 20


@pytest.mark.parametrize("end", ["highest", "lowest"])
def test_ca2d_is_rded_of_its_pool(end):
    settings = dataclasses.replace(HALVES, pool=10, pool_difficulty=end)
    task = task_of()
    pool = []
    for label in range(CLASSES):
        rows = np.flatnonzero(task.labels == label)
        rows = sorted(rows, key=lambda row: task.difficulty[row])
        pool += rows[-10:] if end == "highest" else rows[:10]
    made = ca2d(task, settings)
    same(made, rded(reordered(task, np.array(pool)), settings))
    assert made.cost.forward_passes == CLASSES * 10 * settings.crops
    assert (made.sources != rded(task, settings).sources).any()


def test_ca2d_of_no_pool_has_the_images_of_the_coreset():
    task = task_of()
    made = ca2d(task, dataclasses.replace(HALVES, pool=0))
    for label in range(CLASSES):
        rows = np.flatnonzero(task.labels == label)
        hardest = rows[np.argsort(task.difficulty[rows])[-4 * IPC :]]
        found = made.sources[made.labels == label].ravel()
        assert set(found) == set(task.ids[hardest])


def test_pca_takes_the_easiest_whole_and_asks_no_teacher():
    task = task_of(teachers=())
    made = pca(task, Patches())
    check_balance(task, made, 1)
    expected = []
    for label in range(CLASSES):
        rows = np.flatnonzero(task.labels == label)
        expected += list(rows[np.argsort(task.difficulty[rows])[:IPC]])
    np.testing.assert_array_equal(made.sources[:, 0], task.ids[expected])
    np.testing.assert_array_equal(made.images, task.images[expected])
    assert made.cost.forward_passes == 0


def test_pca_stitches_by_hand():
    # The image that is the k-th easiest of its class is of one colour, 10 k + label.
    task = task_of()
    images = np.zeros_like(task.images)
    for label in range(CLASSES):
        rows = np.flatnonzero(task.labels == label)
        colours = 10 * np.arange(EACH) % 250 + label
        images[rows[np.argsort(task.difficulty[rows])], :] = colours[
            :, None, None, None
        ]
    made = pca(dataclasses.replace(task, images=images), Patches(factor=2))
    check_balance(task, made, 4)
    for m, image in enumerate(made.images[..., 0]):
        label, i = divmod(m, IPC)
        cells = [
            [10 * (k * IPC + i) + label for k in pair] for pair in ((0, 1), (2, 3))
        ]
        expected = np.kron(cells, np.ones((SIDE // 2, SIDE // 2)))
        np.testing.assert_array_equal(image, expected)


def test_equal_difficulties_go_to_the_lower_id():
    task = task_of(difficulty=np.zeros(CLASSES * EACH, np.float32))
    made = pca(task, Patches())
    for label in range(CLASSES):
        ids = np.sort(task.ids[task.labels == label])[:IPC]
        np.testing.assert_array_equal(made.sources[made.labels == label, 0], ids)


def test_equal_losses_go_to_the_lower_id():
    task = task_of(images=np.zeros((CLASSES * EACH, SIDE, SIDE, 1), np.uint8))
    made = rded(task, HALVES)
    for label in range(CLASSES):
        ids = np.sort(task.ids[task.labels == label])[: 4 * IPC].reshape(4, IPC)
        np.testing.assert_array_equal(made.sources[made.labels == label], ids.T)


def refuse(method, message, settings=HALVES, **changes):
    with pytest.raises(InputError, match=message):
        method(task_of(**changes), settings)


def test_what_cannot_be_made_is_refused():
    few = np.zeros(CLASSES * EACH, np.int32)
    few[:35] = 1 + np.arange(35) % 2  # classes 1 and 2 have 18 and 17 images
    message = "found 20 patches a class, .* class 1 has 18 images"
    refuse(rded, message, labels=few, ipc=5)
    refuse(pca, message, labels=few, ipc=5)
    fewer = dataclasses.replace(HALVES, candidates=7)
    refuse(rded, "candidates: found 7, allowed is at least 8", fewer)
    fewer = dataclasses.replace(HALVES, pool=7)
    refuse(ca2d, "pool: found 7, allowed is 0 or at least 8", fewer)
    for method in (ca2d, pca):
        refuse(method, "difficulty: found None", difficulty=None)
        refuse(method, r"found shape \(5,\)", difficulty=np.zeros(5))
        refuse(method, "with 90 NaN", difficulty=np.full(90, np.nan))
    tall = np.zeros((CLASSES * EACH, 8, 6, 1), np.uint8)
    smallest = dataclasses.replace(HALVES, factor=9)
    for method in (rded, ca2d, pca):
        refuse(method, "images: found 8 x 6 pixels", images=tall)
        refuse(method, "factor: found 9, allowed is at most 8", smallest)


def test_a_teacher_without_finite_losses_is_refused():
    broken = jax.tree.map(lambda leaf: leaf * math.nan, TEACHER.variables)
    teacher = dataclasses.replace(TEACHER, variables=broken)
    refuse(rded, "teachers: 'tiny' gives 90 of 90 images a loss", teachers=(teacher,))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"factor": 0}, "p.factor: found 0"),
        ({"crops": 0}, "p.crops: found 0"),
        ({"candidates": 0}, "p.candidates: found 0"),
        ({"area": (0.0, 1.0)}, "p.area: found 0.0"),
        ({"area": (0.5, 0.4)}, "p.area: found"),
        ({"area": (0.5, 1.1)}, "p.area: found"),
        ({"area": (0.5,)}, "p.area: found"),
        ({"patch_loss": "best"}, "p.patch_loss: found 'best', .* lowest, highest"),
        ({"pool": -1}, "p.pool: found -1"),
        ({"pool_difficulty": "most"}, "p.pool_difficulty: found 'most'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, message):
    walk.check(Patches(), "p")
    with pytest.raises(InputError, match=message):
        walk.check(Patches(**changes), "p")
