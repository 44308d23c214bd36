"""CIM: mosaics of real images, optimised until each cell shows what its image does.

Letters: B mosaics of a batch, V cells or views of a mosaic, f cells a side, S side of
an image and s of a cell in pixels, K channels, D features, M synthetic images.
"""

import dataclasses
import functools
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import PartitionSpec

from ddjax import mesh
from ddjax.artifacts import Cost
from ddjax.data.augment import Dsa, Recipe, draw_dsa
from ddjax.declare import setting
from ddjax.declare.walk import join, require
from ddjax.distill import patches
from ddjax.distill.recover import Batch, Form, Stage, State, begin, resized
from ddjax.distill.recovery import whole_classes
from ddjax.distill.synthesis import Kernel, descend, start_images
from ddjax.distill.task import Ipcs, Method, Outline, SyntheticSet, Task
from ddjax.models import Network, Variables
from ddjax.train.batches import normalise
from ddjax.train.flops import flops
from ddjax.train.programs import Traceable, variables_of

_BETA1, _BETA2 = 0.9, 0.999  # of PyTorch's AdamW
# Each on its own, and all of them one after the other.
_OPERATIONS = tuple(
    Dsa((name,), mean=(0.0,), std=(1.0,)) for name in ("flip", "crop", "cutout")
)
_PARTS = ("distance",)
_FORM = Form(Recipe())  # which the kernel does not read


@dataclasses.dataclass(frozen=True)
class Cim:
    """Mosaics of real images and how they are optimised."""

    factor: int = setting(2, "A mosaic is a grid of factor x factor images.", "[1, 32]")
    candidates: int = setting(
        300,
        "Images a class, drawn at random, of which those of the lowest loss are taken.",
        "[1, 1000000]",
    )
    iterations: int = setting(200, "Steps of the descent.", "[1, 1000000]")
    learning_rate: float = setting(
        0.01, "Of AdamW, constant, of pixels in [0, 1].", "[1e-6, 1000]"
    )
    weight_decay: float = setting(
        0.01, "Of AdamW, on what was added to the mosaic.", "[0, 1000]"
    )
    batch: int = setting(
        100, "Mosaics that are optimised together, at most.", "[1, 100000]"
    )
    layer: str = setting(
        "",
        "Whose output is matched, a layer of the teacher's network; '': the input of "
        "its last dense layer. ResNet-18 at 224 pixels: layer2.1.",
    )


class Target(NamedTuple):
    """What a batch is matched with.

    Attributes:
      variables: of the teacher.
      anchors: [B,V,S,S,K] float32, the normalised real images of each mosaic.
      mosaics: [B,S,S,K] float32, what they were before the first iteration, normalised.
    """

    variables: Variables
    anchors: Any
    mosaics: Any


class Numbers(NamedTuple):
    """What the descent depends on beside its shapes.

    Attributes:
      learning_rate, weight_decay: [] float32.
      low, high: [K] float32, normalised black and white.
      seed: [] int32.
    """

    learning_rate: Any
    weight_decay: Any
    low: Any
    high: Any
    seed: Any


def cells(images_BSSK: jax.Array, factor: int) -> jax.Array:
    """Cuts mosaics into their cells, each resized to the size of an image.

    Args:
      images_BSSK: [B,S,S,K] float32.
      factor: f; the first S % f rows and columns of cells are a pixel larger, as
        `patches.stitch` lays them.

    Returns:
      [B,V,S,S,K] float32, V = f^2, row by row.

    Source: `decode_zoom` of IDC and CIM, which for S % f > 0 cuts cells of one size
    and fills up the last with grey.
    """
    side = images_BSSK.shape[1]
    edges = np.cumsum([0, *(side // factor + (np.arange(factor) < side % factor))])
    views = [
        resized(images_BSSK[:, top:bottom, left:right], side)
        for top, bottom in zip(edges, edges[1:], strict=False)
        for left, right in zip(edges, edges[1:], strict=False)
    ]
    return jnp.stack(views, axis=1)


def siamese(
    images_BVSSK: jax.Array, seed: jax.Array, iteration: jax.Array, labels_B: jax.Array
) -> jax.Array:
    """Mirrors, shifts and cuts out of images, all of a class in the same way.

    Args:
      images_BVSSK: [B,V,S,S,K] float32, normalised; what is outside or cut out is 0.
      seed, iteration: [] int32.
      labels_B: [B] int32, which with these decide the draw.

    Returns:
      [B,V,S,S,K] float32.

    Source: DiffAug of CIM with its strategy `crop_cutout_flip` and `batch`: other than
    DSA, all three operations at once. Constants are DSA's, see `draw_dsa`.
    """
    side = images_BVSSK.shape[2]

    def augmented(images_VSSK, label):
        # A stream of its own for each operation.
        flip, crop, cutout = (
            draw_dsa(dsa, seed, iteration, label * len(_OPERATIONS) + place, side, side)
            for place, dsa in enumerate(_OPERATIONS)
        )
        mirrored = flip.matrix[1, 1] < 0
        shown = jnp.where(mirrored, images_VSSK[:, :, ::-1], images_VSSK)
        shift, at_1S = crop.shift.astype(jnp.int32), jnp.arange(side)[None]
        shown = jnp.roll(shown, -shift, axis=(1, 2))

        def between(first_2, stop_2):
            y, x = (first_2[:, None] <= at_1S) & (at_1S < stop_2[:, None])
            return (y[:, None] & x[None])[None, ..., None]

        kept = between(-shift, side - shift) & ~between(*cutout.box.T)
        return jnp.where(kept, shown, 0.0)

    return jax.vmap(augmented)(images_BVSSK, labels_B)


def distance(
    network: Network,
    factor: int,
    layer: str,
    images_BSSK: jax.Array,
    labels_B: jax.Array,
    target: Target,
    seed: jax.Array,
    iteration: jax.Array,
) -> jax.Array:
    """Returns how far the cells of mosaics are from their anchors, [].

    The sum over mosaics and cells of the mean over features of |features of the cell -
    features of its anchor|, both augmented alike.

    Args:
      network: the teacher's, in eval mode.
      factor: f.
      layer: see `Cim`.
      images_BSSK: [B,S,S,K] float32, the mosaics, normalised.
      labels_B: [B] int32.
      target: the anchors, and the teacher's variables.
      seed, iteration: [] int32, of the augmentation.
    """
    views_BVSSK = cells(images_BSSK, factor)

    def features(images_BVSSK):
        shown = siamese(images_BVSSK, seed, iteration, labels_B)
        flat = shown.reshape(-1, *shown.shape[2:])
        found_ND = network.features(target.variables, flat, layer)
        return found_ND.reshape(*shown.shape[:2], -1)

    gaps_BVD = features(target.anchors) - features(views_BVSSK)
    return jnp.abs(gaps_BVD).mean(2).sum()


@functools.cache
def kernel_of(factor: int, layer: str) -> Kernel:
    """Returns the kernel that moves mosaics of f x f cells; see `distance`."""

    @functools.partial(jax.jit, static_argnums=(0, 1), donate_argnums=(2,))
    def advance(
        networks: tuple[Network, ...],
        form: Form,
        state: State,
        batch: Batch,
        targets: tuple[Target, ...],
        numbers: Numbers,
        stop: jax.Array,
    ) -> tuple[State, jax.Array]:
        """Optimises mosaics up to an iteration by AdamW; see `recover.advance`."""
        del form
        (network,), (target,) = networks, targets
        adam = optax.scale_by_adam(_BETA1, _BETA2)
        # A pixel in [0, 1] is so much of a normalised one.
        scale_111K = (numbers.high - numbers.low).reshape(1, 1, 1, -1)
        rate_111K = numbers.learning_rate * scale_111K

        def loss_of(images_BSSK, iteration):
            shown = images_BSSK, batch.labels, target, numbers.seed, iteration
            return distance(network, factor, layer, *shown)

        def step(iteration, carried):
            state, sums = carried
            loss, grads = jax.value_and_grad(loss_of)(state.images, iteration)
            steps, moved = adam.update(grads, state.adam)
            added = state.images - target.mosaics
            decay = numbers.learning_rate * numbers.weight_decay
            added = (1 - decay) * added - rate_111K * steps
            state = State(target.mosaics + added, moved, iteration + 1)
            return state, sums + loss / (len(batch.labels) * factor**2)

        first = state.iteration
        state, sums = jax.lax.fori_loop(first, stop, step, (state, jnp.zeros(1)))
        return state, sums / jnp.maximum(stop - first, 1)

    shared: Any = mesh.WHOLE
    rows: Any = PartitionSpec(mesh.DATA)
    return Kernel(advance, _PARTS, (Target(shared, rows, rows),))


def cim(task: Task, entry: Any) -> SyntheticSet:
    """CIM: mosaics of real images whose cells have the features of the whole images.

    Of each class the ipc * factor^2 images with the lowest cross-entropy under the
    first teacher are shrunk and stitched; these are its anchors. The mosaics are then
    optimised: every cell, enlarged to the size of an image, is to give the features
    that its anchor gives, see `distance`. Neither labels nor batch norm's statistics
    have a part in it. Its authors train students on mosaics and on enlarged cells; here
    it is a matter of the students' augmentation to crop within a cell.

    Source: LINs-lab/CIM, condense/condense.py. There, the first 300 images of a class
    are the candidates, here random ones; cells are shrunk to the nearest pixel, here
    antialiased; the images that it saves are not rounded and may leave [0, 1], here
    they are rounded to 8 bits once, at the end, like those of all methods. Its layer -4
    of ResNet-18 is the input of `layer3`, so the output of `layer2`; those of its other
    networks are what their classifier takes.
    """
    options, began = entry.cim, time.perf_counter()
    mosaics = patches.from_easiest(task, options.factor, options.candidates)
    begun, sources = start_images(task, "", mosaics, task.key)
    spent = time.perf_counter() - began - mosaics.cost.compile_seconds
    teacher, by_id = task.teachers[0], np.argsort(task.ids)
    places = by_id[np.searchsorted(task.ids, sources, sorter=by_id)]
    edges = normalise(np.array([[0.0], [255.0]]), task.mean, task.std)

    def targets_of(batch, views):
        at_BV = places[batch.slots]
        anchors = np.asarray(task.images[at_BV.reshape(-1)])
        anchors = normalise(anchors, task.mean, task.std)
        anchors = anchors.reshape(*at_BV.shape, *anchors.shape[1:])
        target = Target(teacher.variables, anchors, begun(batch.slots))
        return ((teacher.network, jax.tree.map(jnp.asarray, target)),)

    images, curves, cost = descend(
        task,
        whole_classes(task.num_classes, task.ipc, options.batch),
        begun,
        targets_of,
        lambda batch: _FORM,
        lambda batch: (Stage(options.iterations, len(batch.slots)),),
        Numbers(
            np.float32(options.learning_rate),
            np.float32(options.weight_decay),
            low=edges[0],
            high=edges[1],
            seed=jax.random.randint(task.key, (), 0, 2**31 - 1),
        ),
        dataclasses.asdict(options),
        kernel_of(options.factor, options.layer),
    )
    cost += mosaics.cost + Cost(seconds=spent)
    return SyntheticSet(images, task.slot_labels, sources, cost, mosaics.info | curves)


def _patches(options: Cim) -> patches.Patches:
    """How whole images are ranked and stitched."""
    return patches.Patches(
        options.factor, crops=1, candidates=options.candidates, area=(1.0, 1.0)
    )


@dataclasses.dataclass(frozen=True, eq=False)
class _Matched(Method):
    """CIM; its function returns the set with the cost of the descent but for passes."""

    def check(self, outline: Outline, entry: Any, key: str, ipcs: Ipcs) -> None:
        place = join(key, "cim")
        patches.check_patches(outline, _patches(entry.cim), place, ipcs)
        (network,), layer = outline.networks(1), entry.cim.layer
        allowed = f"'' or one of {', '.join(network.layers)}"
        require(layer in ("", *network.layers), join(place, "layer"), layer, allowed)
        super().check(outline, entry, key, ipcs)

    def work(self, outline: Outline, entry: Any, ipc: int) -> Cost:
        options = entry.cim
        batches = whole_classes(outline.num_classes, ipc, options.batch)
        views = options.iterations * outline.num_classes * ipc * options.factor**2
        each = iteration_flops(*self._program(outline, entry, ipc))
        total = each * options.iterations * len(batches)
        # Anchors need no gradient.
        cost = Cost(forward_passes=views, train_passes=views, flops=total)
        limit = options.candidates
        return cost + patches.crops_cost(outline, _patches(options), limit)

    def program(self, outline: Outline, entry: Any, ipc: int) -> Traceable:
        """Returns the descent on the first batch with abstract arguments."""
        return program(*self._program(outline, entry, ipc))

    def _program(self, outline, entry, ipc):
        options, (network,) = entry.cim, outline.networks(1)
        batches = whole_classes(outline.num_classes, ipc, options.batch)
        return network, options.factor, options.layer, len(batches[0].slots)

    def synthesise(
        self, task: Task, entry: Any, start: SyntheticSet | None = None
    ) -> SyntheticSet:
        outline = task.outline(start)
        self.check(outline, entry, "", (task.ipc,))
        found = self.function(task, entry)
        cost = Cost(found.cost.seconds, found.cost.compile_seconds)
        cost += self.work(outline, entry, task.ipc)
        return dataclasses.replace(found, cost=cost)


def program(network: Network, factor: int, layer: str, images: int) -> Traceable:
    """Returns a kernel's `advance` with abstract arguments; see `kernel_of`.

    Args:
      network: the teacher's.
      factor: f.
      layer: see `Cim`.
      images: B.
    """
    target, places, integer = _abstract(network, factor, images)
    number = jax.ShapeDtypeStruct((), jnp.float32)
    channels = jax.ShapeDtypeStruct(network.image_shape[-1:], jnp.float32)
    numbers = Numbers(number, number, channels, channels, integer)
    state = jax.eval_shape(functools.partial(begin, _FORM, targets=()), target.mosaics)
    rest = Batch(places, places), (target,), numbers, integer
    advance = kernel_of(factor, layer).advance
    return Traceable(advance, ((network,), _FORM, state, *rest))


def _abstract(network, factor, images) -> Any:
    """A batch's target, its integers and one integer, as `jax.ShapeDtypeStruct`."""
    array, shape = jax.ShapeDtypeStruct, network.image_shape
    mosaics = array((images, *shape), jnp.float32)
    anchors = array((images, factor**2, *shape), jnp.float32)
    target = Target(variables_of(network), anchors, mosaics)
    return target, array((images,), jnp.int32), array((), jnp.int32)


@functools.cache
def iteration_flops(network, factor, layer, images) -> float:
    """Returns the operations of an iteration's gradient; arguments of `program`.

    Layers behind the one that is matched do not count: in `program`, where a loop holds
    them, they would, and XLA removes them.
    """
    target, places, integer = _abstract(network, factor, images)
    gradient = jax.grad(functools.partial(distance, network, factor, layer))
    return flops(gradient, target.mosaics, places, target, integer, integer)


CIM = _Matched(cim, "CIM", {"cim": Cim})
