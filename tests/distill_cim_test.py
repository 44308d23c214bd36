"""CIM: its mosaics, its augmentation, and its descent against a plain loop."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recovering

from ddjax import mesh
from ddjax.data.augment import Dsa, draw_dsa
from ddjax.distill import METHODS, cim, patches, synthesis
from ddjax.distill.cim import Cim
from ddjax.errors import InputError

NETWORK, TOTAL = recovering.NETWORK, 5
LAYER = "features.1"
DECAY = 10.0  # at 0.01 nothing of it would be noticed
OPTIONS = {"iterations": TOTAL, "layer": LAYER, "weight_decay": DECAY}
ENTRY = recovering.entry("cim", cim=Cim(**OPTIONS))


@pytest.fixture(autouse=True)
def short_segments(monkeypatch):
    monkeypatch.setattr(synthesis, "SEGMENT", 2)


def task_of(**changes):
    """Ten images a class, of which a mosaic takes four."""
    images, labels = recovering.images(each=10)
    ids = np.arange(100, 130, dtype=np.int32)
    changes = {"images": images, "labels": labels, "ids": ids, "ipc": 1} | changes
    return recovering.task(**changes)


def make(entry=ENTRY, **changes):
    return METHODS["cim"].synthesise(task_of(**changes), entry)


@functools.cache
def usual():
    return make()


def bilinear(images, side):
    """PyTorch's `Upsample`, with align_corners=False."""
    for axis in (1, 2):
        length = images.shape[axis]
        at = np.clip((np.arange(side) + 0.5) * length / side - 0.5, 0, length - 1)
        low = np.minimum(at.astype(int), length - 2)
        moved = np.moveaxis(images, axis, -1)
        share = at - low
        moved = (1 - share) * moved[..., low] + share * moved[..., low + 1]
        images = np.moveaxis(moved, -1, axis)
    return images


@pytest.mark.parametrize("side, factor", [(8, 2), (9, 2), (10, 3)])
def test_cells_are_cut_where_they_were_stitched(side, factor):
    images = np.random.default_rng(0).normal(size=(2, side, side, 3))
    lengths = [side // factor + (i < side % factor) for i in range(factor)]
    edges = [0, *np.cumsum(lengths)]
    found = np.asarray(cim.cells(jnp.float32(images), factor))
    for row in range(factor):
        for column in range(factor):
            rows, columns = (slice(*edges[i : i + 2]) for i in (row, column))
            expected = bilinear(images[:, rows, columns], side)
            view = found[:, row * factor + column]
            np.testing.assert_allclose(view, expected, atol=1e-5)


@functools.cache
@jax.jit
def draws(seed, iteration, label):
    return [
        draw_dsa(Dsa((name,), (0.0,), (1.0,)), seed, iteration, 3 * label + at, 8, 8)
        for at, name in enumerate(("flip", "crop", "cutout"))
    ]


def plain_siamese(images, seed, iteration, labels):
    """Pixel by pixel: mirrored, then shifted, then cut out."""
    found = np.zeros_like(images)
    for place, label in enumerate(labels):
        flip, crop, cutout = draws(seed, iteration, int(label))
        one = images[place]
        if flip.matrix[1, 1] < 0:
            one = one[:, :, ::-1]
        dy, dx = np.asarray(crop.shift, int)
        (top, bottom), (left, right) = np.asarray(cutout.box)
        for y in range(8):
            for x in range(8):
                cut = top <= y < bottom and left <= x < right
                if 0 <= y + dy < 8 and 0 <= x + dx < 8 and not cut:
                    found[place, :, y, x] = one[:, y + dy, x + dx]
    return found


siamese = jax.jit(cim.siamese)


@pytest.mark.parametrize("iteration", range(4))
def test_images_of_a_class_are_augmented_alike(iteration):
    images = np.random.default_rng(1).normal(size=(5, 4, 8, 8, 1)).astype(np.float32)
    labels = np.int32([2, 0, 2, 1, 0])
    found = np.asarray(siamese(images, 7, iteration, labels))
    np.testing.assert_array_equal(found, plain_siamese(images, 7, iteration, labels))
    same = siamese(np.ones_like(images), 7, iteration, labels)
    np.testing.assert_array_equal(same[0], same[2])
    assert np.any(same[0] != same[1]) or np.any(same[0] != same[3])


def test_operations_are_drawn_each_on_its_own():
    many = [draws(0, 0, label) for label in range(60)]
    flips = np.array([drawn[0].matrix[1, 1] < 0 for drawn in many])
    shifts = np.array([drawn[1].shift for drawn in many])
    boxes = np.array([drawn[2].box[:, 0] for drawn in many])
    assert 15 < flips.sum() < 45 and set(shifts.ravel()) == {-1, 0, 1}
    assert set(boxes.ravel()) == set(range(-2, 7))
    for a, b in ((flips, shifts[:, 0]), (shifts[:, 0], boxes[:, 0])):
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.4


def slow_descent():
    """The published loop, class after class, with PyTorch's AdamW on what is added."""
    task, start = task_of(), np.zeros((3, 8, 8, 1))
    seed = jax.random.randint(task.key, (), 0, 2**31 - 1)
    variables = task.teachers[0].variables
    places = np.searchsorted(task.ids, usual().sources)
    anchors = (task.images[places] / 255 - recovering.MEAN) / recovering.STD
    for cell in range(4):  # halved by the mean of 2 x 2 pixels and their neighbours
        top, left = 4 * (cell // 2), 4 * (cell % 2)
        start[:, top : top + 4, left : left + 4] = shrunk(task.images[places[:, cell]])
    mosaics = start / 255

    @jax.jit
    def gradient(mosaic, anchor, label, t):
        def loss(mosaic):
            shown = ((mosaic - recovering.MEAN.reshape(1, 1, 1)) / 0.2)[None]
            views = cim.cells(shown, 2)
            pair = jnp.concatenate([anchor[None], views])
            found = cim.siamese(pair, seed, t, jnp.stack([label, label]))
            flat = found.reshape(-1, 8, 8, 1)
            features = NETWORK.features(variables, flat, LAYER)
            return jnp.abs(features[:4] - features[4:]).mean(1).sum()

        return jax.value_and_grad(loss)(mosaic)

    curve = []
    for label in range(3):
        added = first = second = np.zeros((8, 8, 1))
        for t in range(TOTAL):
            given = jnp.float32(anchors[label]), np.int32(label), np.int32(t)
            loss, grads = gradient(jnp.float32(mosaics[label] + added), *given)
            curve.append(float(loss) / 4)
            grads = np.asarray(grads, np.float64)
            first = 0.9 * first + 0.1 * grads
            second = 0.999 * second + 0.001 * grads**2
            added = added * (1 - 0.01 * DECAY)
            step = first / (1 - 0.9 ** (t + 1))
            step = step / (np.sqrt(second / (1 - 0.999 ** (t + 1))) + 1e-8)
            added = added - 0.01 * step
        start[label] = mosaics[label] + added
    return np.rint(start * 255).clip(0, 255), np.reshape(curve, (3, TOTAL)).mean(0)


def shrunk(images):
    """Half the side, by a triangle as wide as four pixels."""
    weights = np.zeros((4, 8))
    for target in range(4):
        away = np.abs(np.arange(8) - (2 * target + 0.5)) / 2
        weights[target] = np.maximum(0, 1 - away)
    weights /= weights.sum(1, keepdims=True)
    return np.rint(np.einsum("ys,xt,nstk->nyxk", weights, weights, images))


def test_the_descent_equals_a_plain_loop():
    images, curve = slow_descent()
    off = np.abs(usual().images - images)
    assert np.mean(off > 1) < 0.02
    expected = [curve[:2].mean(), curve[2:4].mean(), curve[4]]
    np.testing.assert_allclose(usual().info["distance"], expected, rtol=1e-3)


def test_anchors_have_the_lowest_loss_of_their_class():
    task = task_of()
    shown = np.float32((task.images / 255 - recovering.MEAN) / recovering.STD)
    logits, _ = jax.jit(NETWORK.apply)(task.teachers[0].variables, shown)
    logits = np.asarray(logits, np.float64)
    losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(30), task.labels]
    for label in range(3):
        members = np.flatnonzero(task.labels == label)
        lowest = task.ids[members[np.argsort(losses[members])[:4]]]
        np.testing.assert_array_equal(usual().sources[label], lowest)


def test_cells_become_like_their_anchors():
    options = Cim(iterations=60, layer=LAYER)
    task, found = task_of(), make(recovering.entry("cim", cim=options))
    places = np.searchsorted(task.ids, found.sources)
    start = patches.from_easiest(task, 2, 300)
    np.testing.assert_array_equal(start.sources, found.sources)
    images, anchors = (
        np.float32((x / 255 - recovering.MEAN) / recovering.STD)
        for x in (np.stack([start.images, found.images]), task.images[places])
    )
    target = cim.Target(task.teachers[0].variables, anchors, None)

    @jax.jit
    def distance(images, t):
        given = np.arange(3, dtype=np.int32), target, 5, t
        return cim.distance(NETWORK, 2, LAYER, images, *given)

    # Not by much: what is lost of 8 x 8 random pixels in a cell of 4 x 4 stays lost.
    before, after = (np.mean([distance(x, t) for t in range(8)]) for x in images)
    assert after < 0.97 * before


@pytest.mark.parametrize("calls", [1, 2])
def test_resumed_equals_uninterrupted(calls, tmp_path):
    class Stopped(Exception):
        pass

    steps = []

    def stop(count):
        steps.append(count)
        if len(steps) == 2 + calls:
            raise Stopped

    with pytest.raises(Stopped):
        make(folder=tmp_path, progress=stop)
    resumed = make(folder=tmp_path, progress=steps.append)
    # Each call predicts 30 images and cuts out 12 first.
    assert [count for count in steps if count < 12] == [2, 2, 1]
    np.testing.assert_array_equal(resumed.images, usual().images)
    assert resumed.info == usual().info
    assert resumed.cost.flops == usual().cost.flops
    other = recovering.entry("cim", cim=Cim(iterations=TOTAL))
    with pytest.raises(InputError, match="belongs to another synthesis"):
        make(other, folder=tmp_path)


def test_equal_seeds_give_equal_images_in_any_batch():
    found, other = make(), make(seed=1)
    np.testing.assert_array_equal(found.images, usual().images)
    assert np.mean(found.images != other.images) > 0.1
    alone = recovering.entry("cim", cim=Cim(**OPTIONS, batch=1))
    off = np.abs(make(alone).images.astype(int) - usual().images)
    assert np.mean(off > 1) < 0.02


def test_a_set_costs_what_was_planned():
    cost = usual().cost
    # Views with their gradient, anchors without, and the pool's losses.
    assert cost.train_passes == TOTAL * 3 * 4
    assert cost.forward_passes == TOTAL * 3 * 4 + 30
    planned = METHODS["cim"].work(task_of().outline(), ENTRY, 1)
    assert planned.train_passes == cost.train_passes
    assert planned.forward_passes == cost.forward_passes
    assert planned.flops == cost.flops > 0 and cost.seconds > 0
    early, late = (
        cim.iteration_flops(NETWORK, 2, layer, 2) for layer in ("features.0", "")
    )
    assert 0 < early < late


def test_what_cannot_be_synthesised_is_refused():
    def refuse(message, ipc=1, **options):
        entry = recovering.entry("cim", cim=Cim(**options))
        with pytest.raises(InputError, match=message):
            make(entry, ipc=ipc)

    layers = "cim.layer: found 'layer9', allowed is '' or one of .* features.1"
    refuse(layers, layer="layer9")
    refuse("cim.factor: found 2, .* the 10 images .* not 12", ipc=3)
    refuse("cim.factor: found 9, .* the 8 pixels", factor=9)
    refuse("cim.candidates: found 3, .* the 4 patches", candidates=3)


@pytest.mark.slow
def test_several_devices_give_the_images_of_one(monkeypatch):
    alone, onto = usual(), mesh.mesh_of(1, 3, jax.devices()[:3])
    monkeypatch.setattr(mesh, "grid", lambda batch: onto)
    off = np.abs(make().images.astype(int) - alone.images)
    assert np.mean(off > 1) < 0.02
