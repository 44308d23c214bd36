"""DC and DSA: images whose gradients of weights point where those of their class do."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from ddjax import keys
from ddjax.artifacts import Cost
from ddjax.declare.walk import join, require
from ddjax.distill.match import loop
from ddjax.distill.match.distances import image_gradient, row_distance
from ddjax.distill.match.inner import Inner, Rounds
from ddjax.distill.match.options import again
from ddjax.distill.match.siamese import siamese
from ddjax.distill.task import Ipcs, Outline
from ddjax.losses import cross_entropy
from ddjax.train.programs import variables_of

# IPC -> steps of the images with one network, epochs of training between two of them.
LOOPS = {
    **{1: (1, 1), 10: (10, 50), 20: (20, 25), 30: (30, 20), 40: (40, 15)},
    **{50: (50, 10), 100: (100, 2)},
}
_MOMENTS = 16  # real images of a class that set the moments of batch norm


@dataclasses.dataclass(frozen=True)
class Dc(Inner):
    """Gradient matching without augmentation, from noise."""

    init: str = again("init", "noise")
    augment: tuple[str, ...] = again("augment", ())


@dataclasses.dataclass(frozen=True)
class Dsa(Inner):
    """Gradient matching with siamese augmentation, from real images."""


class DcStep(Rounds):
    """DC: images whose gradients of a network's weights have the class's directions.

    An iteration draws a network. A step of the images takes `real` images of each
    class and descends one minus the cosine between the gradients of real and synthetic
    images, summed over rows of weights and classes; then the network is trained on
    the images. Batch norm has running moments in both gradients, to which 16 real
    images of each class are added before every step.

    Source: Zhao, Mopuri and Bilen, "Dataset Condensation with Gradient Matching", arXiv
    2006.05929; VICO-UoE/DatasetCondensation, main.py. The steps for IPC 100 are its
    author's in issue 2.
    """

    def rounds(self):
        outer, inner = LOOPS.get(self.ipc, (0, 0))
        return self.options.outer or outer, self.options.inner or inner

    def match(self, variables, state, real, key):
        moments_key, real_key, key = jax.random.split(key, 3)
        if "batch_stats" in variables:
            few = real.at(real.choose(moments_key, self._few()).reshape(-1))
            _, variables = self.network.apply(variables, few, train=True)
        given = (
            jnp.arange(self.num_classes),
            real.choose(real_key, self.options.real),
            state["images"].reshape(self.num_classes, self.ipc, *real.images.shape[1:]),
            jax.random.split(key, self.num_classes),
        )

        def of(given):
            return self._class(variables, real, *given)

        losses, gradients = jax.lax.map(of, given)
        return losses.sum(), gradients.reshape(state["images"].shape), variables

    def _few(self):
        return min(_MOMENTS, self.options.real)

    def _class(self, variables, real, label, places_B, images_IHWK, key):
        """The distance of a class, and its derivative by the images."""

        def loss(params, images):
            logits, _ = self.network.apply(variables | {"params": params}, images)
            return cross_entropy(logits, jnp.full(len(images), label)).mean()

        def views(images):
            return siamese(self.options.augment, key, images, real.at(places_B))

        params = variables["params"]
        shown, back, real_shown = jax.vjp(views, images_IHWK, has_aux=True)
        known = jax.grad(loss)(params, real_shown)

        def distance(gradient):
            return row_distance(known, gradient)

        value, gradient = image_gradient(loss, distance, params, shown)
        return value, back(gradient)[0]

    def passes(self):
        outer, _ = self.rounds()
        moments = self._few() if "batch_stats" in variables_of(self.network) else 0
        count = outer * self.num_classes
        return self.training() + Cost(
            forward_passes=count * moments,
            train_passes=count * (self.options.real + 2 * self.ipc),
        )

    def loops(self, state, real):
        array, integer = jax.ShapeDtypeStruct, jax.ShapeDtypeStruct((), jnp.int32)
        images = array((self.ipc, *state["images"].shape[1:]), jnp.float32)
        places = array((self.options.real,), jnp.int32)
        key = jax.eval_shape(lambda: keys.key(0))
        given = variables_of(self.network), real, integer, places, images, key
        more = self.rounds()[0] * self.num_classes - 1
        return *super().loops(state, real), loop.Loop(more, self._class, given)


class DsaStep(DcStep):
    """DSA: DC, where real and synthetic images of a class have one augmentation.

    As DC, whose steps it has, but from real images, with a draw of DSA for each class
    in every step, and with DSA where the network is trained.

    Source: Zhao and Bilen, "Dataset Condensation with Differentiable Siamese
    Augmentation", arXiv 2102.08259; VICO-UoE/DatasetCondensation, main.py.
    """


def _refuse_unknown_loops(section: str):
    def refuses(outline: Outline, entry: Any, key: str, ipcs: Ipcs) -> None:
        options: Inner = getattr(entry, section)
        for ipc in ipcs:
            outer, inner = LOOPS.get(ipc, (0, 0))
            outer, inner = options.outer or outer, options.inner or inner
            for name, value, good in (
                ("outer", options.outer, outer > 0),
                ("inner", options.inner, inner > 0 or outer == 1),
            ):
                known = ", ".join(map(str, LOOPS))
                allowed = f"at least 1 for IPC {ipc}: the authors' are of IPC {known}"
                require(good, join(key, f"{section}.{name}"), value, allowed)

    return refuses


def _method(step: type[DcStep], title: str, section: str, options: type):
    refuses = _refuse_unknown_loops(section)
    return loop.method(step, title, section, options, refuses=refuses, measures=True)


DC = _method(DcStep, "DC", "dc", Dc)
DSA = _method(DsaStep, "DSA", "dsa", Dsa)
