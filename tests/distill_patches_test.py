"""RDED, CA2D and PCA: their choices against a slow search, their rules and errors."""

import dataclasses
import math

import jax
import numpy as np
import pytest

from ddjax import models
from ddjax.declare import walk
from ddjax.distill import METHODS, Task, Teacher
from ddjax.distill.crops import random_windows, resized
from ddjax.distill.patches import Patches, stitch
from ddjax.distill.rded import Ca2d
from ddjax.errors import InputError
from ddjax.settings import Distill

SIDE, CLASSES, EACH, IPC = 8, 3, 30, 2  # 90 images: more than a block
HALVES = Patches(factor=2, crops=3, candidates=EACH)
NETWORK = models.network("convnet_d1", CLASSES, (SIDE, SIDE, 1), width=4, norm="batch")
TEACHER = Teacher("tiny", NETWORK, jax.jit(NETWORK.init)(jax.random.key(3)))

apply = jax.jit(NETWORK.apply)
windows_of = jax.jit(random_windows, static_argnums=(2, 3))
patches_of = jax.jit(
    jax.vmap(resized, (None, 0, None)), static_argnums=2
)  # of one image


def make(name, task, patches=HALVES, **options):
    entry = Distill(name, patches=patches, ca2d=Ca2d(**options))
    found = METHODS[name].synthesise(task, entry)
    planned = METHODS[name].work(task.outline(), entry, task.ipc)
    for each in ("forward_passes", "train_passes", "flops"):
        assert getattr(found.cost, each) == getattr(planned, each)
    return found


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
    sign = -1 if settings.crop == "highest" else 1
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
            found.append((losses[best], int(task.ids[row]), patches[best]))
        found.sort(key=lambda entry: entry[:2])
        spare = len(found) - task.ipc * settings.factor**2
        found = found[round(settings.start * spare) :]
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


@pytest.mark.parametrize(
    "crop, start", [("lowest", 0), ("highest", 1), ("lowest", 0.5), ("lowest", 0.3)]
)
@pytest.mark.parametrize("factor", [1, 2])
def test_rded_equals_a_slow_search(factor, crop, start):
    settings = dataclasses.replace(HALVES, factor=factor, crop=crop, start=start)
    task = task_of()
    made = make("rded", task, settings)
    images, sources = slow_rded(task, settings)
    np.testing.assert_array_equal(made.sources, sources)
    # A half may round either way.
    np.testing.assert_allclose(made.images, images, atol=1)
    assert (made.images == images).mean() > 0.99
    check_balance(task, made, factor**2)


def test_rded_depends_on_the_key_and_not_on_the_order_of_the_pool():
    settings = dataclasses.replace(HALVES, candidates=12)
    task, told = task_of(), []
    made = make("rded", dataclasses.replace(task, progress=told.append), settings)
    check_balance(task, made, 4)
    same(make("rded", task, settings), made)
    order = np.random.default_rng(5).permutation(len(task.ids))
    same(make("rded", reordered(task, order), settings), made)
    other = make("rded", dataclasses.replace(task, key=jax.random.key(12)), settings)
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
        made = make(
            "rded", dataclasses.replace(task, key=jax.random.key(seed)), settings
        )
        for i in made.sources.ravel():
            drawn[i] += 1
    # Each of them binomial(30, 8 / 30): a mean of 8 and a deviation of 2.4.
    assert 1 <= min(drawn.values()) and max(drawn.values()) <= 20


@pytest.mark.parametrize("end", ["highest", "lowest"])
def test_ca2d_is_rded_of_its_pool(end):
    task = task_of()
    pool = []
    for label in range(CLASSES):
        rows = np.flatnonzero(task.labels == label)
        rows = sorted(rows, key=lambda row: task.difficulty[row])
        pool += rows[-10:] if end == "highest" else rows[:10]
    made = make("ca2d", task, pool=10, pool_difficulty=end)
    same(made, make("rded", reordered(task, np.array(pool))))
    assert made.cost.forward_passes == CLASSES * 10 * HALVES.crops
    assert (made.sources != make("rded", task).sources).any()


def test_ca2d_of_no_pool_has_the_images_of_the_coreset():
    task = task_of()
    made = make("ca2d", task, pool=0)
    for label in range(CLASSES):
        rows = np.flatnonzero(task.labels == label)
        hardest = rows[np.argsort(task.difficulty[rows])[-4 * IPC :]]
        found = made.sources[made.labels == label].ravel()
        assert set(found) == set(task.ids[hardest])


def test_pca_takes_the_easiest_whole_and_asks_no_teacher():
    task = task_of(teachers=())
    made = make("pca", task, Patches())
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
    made = make("pca", dataclasses.replace(task, images=images), Patches(factor=2))
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
    made = make("pca", task, Patches())
    for label in range(CLASSES):
        ids = np.sort(task.ids[task.labels == label])[:IPC]
        np.testing.assert_array_equal(made.sources[made.labels == label, 0], ids)


def test_equal_losses_go_to_the_lower_id():
    task = task_of(images=np.zeros((CLASSES * EACH, SIDE, SIDE, 1), np.uint8))
    made = make("rded", task)
    for label in range(CLASSES):
        ids = np.sort(task.ids[task.labels == label])[: 4 * IPC].reshape(4, IPC)
        np.testing.assert_array_equal(made.sources[made.labels == label], ids.T)


def refuse(name, message, patches=HALVES, pool=0, **changes):
    with pytest.raises(InputError, match=message):
        make(name, task_of(**changes), patches, pool=pool)


def test_what_cannot_be_stitched_is_refused():
    few = np.zeros(CLASSES * EACH, np.int32)
    few[:35] = 1 + np.arange(35) % 2  # classes 1 and 2 have 18 and 17 images
    message = "patches.factor: found 2, .* at most the 17 images .*, not 20"
    refuse("rded", message, labels=few, ipc=5)
    refuse("pca", message, labels=few, ipc=5)
    fewer = dataclasses.replace(HALVES, candidates=7)
    says = "patches.candidates: found 7, allowed is at least the 8 patches"
    refuse("rded", says, fewer)
    refuse("ca2d", "ca2d.pool: found 7, allowed is 0 or at least the 8", pool=7)
    for name in ("ca2d", "pca"):
        refuse(name, "difficulty: found None", difficulty=None)
        refuse(name, r"found shape \(5,\)", difficulty=np.zeros(5))
        refuse(name, "with 90 NaN", difficulty=np.full(90, np.nan))
    tall = np.zeros((CLASSES * EACH, 8, 6, 1), np.uint8)
    smallest = dataclasses.replace(HALVES, factor=9)
    for name in ("rded", "ca2d", "pca"):
        refuse(name, "data.source: found images of 8 x 6 pixels", images=tall)
        refuse(name, "patches.factor: found 9, allowed is at most the 8", smallest)


def test_a_teacher_without_finite_losses_is_refused():
    broken = jax.tree.map(lambda leaf: leaf * math.nan, TEACHER.variables)
    teacher = dataclasses.replace(TEACHER, variables=broken)
    refuse("rded", "teachers: 'tiny' gives 90 of 90 images a loss", teachers=(teacher,))


@pytest.mark.parametrize("factor", [1, 2])
def test_random_crops_are_those_that_rded_would_rank(factor):
    task = task_of()
    settings = dataclasses.replace(HALVES, factor=factor)
    made = make("random_crops", task, settings)
    # As RDED with one crop each of no more candidates than patches, in any order.
    needed = IPC * factor**2
    ranked = make(
        "rded", task, dataclasses.replace(settings, crops=1, candidates=needed)
    )
    np.testing.assert_array_equal(
        np.sort(made.sources, None), np.sort(ranked.sources, None)
    )
    if factor == 1:
        order, other = made.sources[:, 0].argsort(), ranked.sources[:, 0].argsort()
        np.testing.assert_array_equal(made.images[order], ranked.images[other])
    check_balance(task, made, factor**2)
    without = make("random_crops", dataclasses.replace(task, teachers=()), settings)
    same(made, without)
    order = np.random.default_rng(3).permutation(len(task.ids))
    same(made, make("random_crops", reordered(task, order), settings))


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
        ({"crop": "best"}, "p.crop: found 'best', .* lowest, highest"),
        ({"start": 1.5}, "p.start: found 1.5"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, message):
    walk.check(Patches(), "p")
    with pytest.raises(InputError, match=message):
        walk.check(Patches(**changes), "p")


def test_pools_that_make_no_sense_are_refused():
    for changes in ({"pool": -1}, {"pool_difficulty": "most"}):
        (name,) = changes
        with pytest.raises(InputError, match=f"p.{name}: found"):
            walk.check(Ca2d(**changes), "p")


def test_stitch_hand_worked():
    # Two images of 2 x 2 cells of one pixel: group k of two patches fills cell k.
    patches = np.arange(8, dtype=np.uint8).reshape(8, 1, 1, 1)
    first, second = stitch(patches, 2, 2)[..., 0]
    np.testing.assert_array_equal(first, [[0, 2], [4, 6]])
    np.testing.assert_array_equal(second, [[1, 3], [5, 7]])


def test_stitch_stretches_the_first_cells():
    # 5 pixels in 2 cells are 3 and 2: pixels 0, 0, 1 of the patch and then 0, 1.
    patches = np.uint8([[[1, 2], [3, 4]]] * 4)[..., None]
    image = stitch(patches, 2, 5)[0, :, :, 0]
    np.testing.assert_array_equal(image[0], [1, 1, 2, 1, 2])
    np.testing.assert_array_equal(image[:, 0], [1, 1, 3, 1, 3])


@pytest.mark.parametrize("factor, side", [(1, 4), (2, 8), (3, 9), (3, 8), (4, 11)])
def test_stitch_equals_the_loop(factor, side):
    size, ipc = side // factor, 3
    rng = np.random.default_rng(side)
    patches = rng.integers(0, 256, (ipc * factor**2, size, size, 2), dtype=np.uint8)
    images = stitch(patches, factor, side)
    assert images.shape == (ipc, side, side, 2) and images.dtype == np.uint8
    expected = np.zeros_like(images)
    y = 0
    for row in range(factor):
        x, height = 0, size + (row < side % factor)
        for column in range(factor):
            width = size + (column < side % factor)
            for i in range(ipc):
                patch = patches[(row * factor + column) * ipc + i]
                for dy in range(height):
                    for dx in range(width):
                        at = int(dy * size / height), int(dx * size / width)
                        expected[i, y + dy, x + dx] = patch[at]
            x += width
        y += height
    np.testing.assert_array_equal(images, expected)
