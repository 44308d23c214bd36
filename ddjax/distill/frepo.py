"""FRePo: images and labels from which a network's last layer is learned in one step."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ddjax.artifacts import Cost
from ddjax.declare import setting
from ddjax.distill.match import loop
from ddjax.distill.match.options import again
from ddjax.distill.match.pool import OnlinePool
from ddjax.distill.match.regression import centred, regression_loss
from ddjax.models import Network

STUDENTS = "student"
_LAST_RATE = 0.1  # of the first, at the end of the cosine


@dataclasses.dataclass(frozen=True)
class Frepo:
    """Neural feature regression with a pool of online networks."""

    iterations: int = again("iterations", 500_000)
    learning_rate: float = setting(
        3e-4, "Of LAMB on images and labels, at first.", "(0, 1e4]"
    )
    real: int = setting(
        1024, "Real images in a step, drawn with replacement.", "[1, 1000000]"
    )
    init: str = again("init", "random")
    mirrored: bool = setting(
        False,
        "Whether the regression also has each image's mirror, as its authors do with "
        "colour images at a small IPC.",
    )
    ridge: float = setting(
        1e-6, "Of the regression, times the mean of its diagonal.", "[1e-12, 1e3]"
    )
    learn_labels: bool = setting(True, "Whether labels are learned with the images.")
    label_temperature: float = setting(
        1.0,
        "A set's soft labels are the softmax of the learned labels divided by it.",
        "[0.001, 1000]",
    )
    networks: int = setting(10, "Networks in the pool.", "[1, 1000]")
    updates: int = setting(
        100, "A network that had more updates than this is drawn anew.", "[0, 1000000]"
    )
    network_rate: float = setting(3e-4, "Of Adam on the networks.", "(0, 100]")
    batch: int = setting(
        1000, "At most so many images of the set update a network.", "[1, 1000000]"
    )
    norm: str = setting(
        "batch",
        "The networks' normalisation, `student` for that of the students; its authors "
        "learn with batch norm, and evaluate without any.",
        (STUDENTS, "batch", "instance", "none"),
    )


class FrepoStep(loop.Step):
    """FRePo: images and labels from which regression learns a network's last layer.

    An iteration picks a network of the pool, predicts `real` images from the set by
    kernel ridge regression on its features, in evaluation mode, and changes images and
    labels by LAMB, one trust ratio for each of the two; the loss is half the squared
    error to the centred class plus `lost_margin`. Then that network is trained on the
    set for a step of Adam, without augmentation, or drawn anew.

    Soft labels are probabilities, softmax(Y / label_temperature). At temperature 1 the
    centred logarithms of these are the centred labels, which students fit that have the
    loss mse_gt and no weight of the class in a regime `soft`, as FRePo evaluates.

    Source: Zhou, Nezhadarya and Ba, "Dataset Distillation using Neural Feature
    Regression", arXiv 2206.00719; yongchao97/FRePo, lib/datadistillation/frepo.py and
    script/distill.py. Deviations: real images are drawn with replacement, not in
    epochs; batch norm keeps 0.9 of its running statistics in a step, theirs 0.1, and
    averages the unbiased variance, theirs the biased one; instance norm adds 1e-5 to
    it, theirs 1e-6.
    """

    @property
    def pool(self) -> OnlinePool:
        """The networks."""
        options = self.options
        network = _with_norm(self.network, options.norm)
        return OnlinePool(
            network, options.networks, options.updates, options.network_rate
        )

    def begin(self, key: jax.Array, images_MHWK: jax.Array, given: Any) -> loop.State:
        del given
        classes = jnp.repeat(jnp.arange(self.num_classes), self.ipc)
        # Labels of more classes start smaller.
        labels_MC = centred(classes, self.num_classes) / (self.num_classes / 10) ** 0.5
        learned = {"images": images_MHWK}
        if self.options.learn_labels:
            learned["labels"] = labels_MC
        return {
            "images": images_MHWK,
            "labels": labels_MC,
            "moments": self._lamb().init(learned),
            "pool": self.pool.begin(key),
        }

    def __call__(self, state, real, key):
        real_key, place_key, draw_key, some_key = jax.random.split(key, 4)
        pool, options = self.pool, self.options
        place = jax.random.randint(place_key, (), 0, options.networks)
        variables = pool.at(state["pool"], place).variables
        embed = functools.partial(pool.network.embed, variables)
        shown_THWK, classes_T = real.sample(real_key, options.real)
        features_TD = embed(shown_THWK)
        targets_TC = centred(classes_T, self.num_classes)

        def loss_of(learned):
            found = state | learned
            return regression_loss(
                embed,
                found["images"],
                found["labels"],
                features_TD,
                targets_TC,
                options.ridge,
                options.mirrored,
            )

        names = ("images", "labels") if options.learn_labels else ("images",)
        learned = {name: state[name] for name in names}
        loss, gradients = jax.value_and_grad(loss_of)(learned)
        changes, moments = self._lamb().update(gradients, state["moments"], learned)
        state = state | optax.apply_updates(learned, changes) | {"moments": moments}
        some = slice(None)
        if self._batch < self.num_classes * self.ipc:
            some = jax.random.permutation(some_key, self.num_classes * self.ipc)
            some = some[: self._batch]
        online = pool.advance(
            state["pool"], place, draw_key, state["images"][some], state["labels"][some]
        )
        return state | {"pool": online}, loss

    @property
    def _batch(self) -> int:
        """Images of the set in a step of a network."""
        return min(self.options.batch, self.num_classes * self.ipc)

    def _lamb(self) -> optax.GradientTransformation:
        return optax.lamb(
            optax.cosine_decay_schedule(
                self.options.learning_rate, self.options.iterations, _LAST_RATE
            )
        )

    def passes(self) -> Cost:
        # An iteration that draws a network anew is counted as one that trains it.
        size = self.num_classes * self.ipc * (1 + self.options.mirrored)
        return Cost(forward_passes=self.options.real, train_passes=size + self._batch)

    def learned(self, state: loop.State) -> dict[str, Any]:
        if not self.options.learn_labels:
            return {}
        scaled = state["labels"] / self.options.label_temperature
        return {"soft_labels": np.asarray(jax.nn.softmax(scaled), np.float32)}


def _with_norm(network: Network, norm: str) -> Network:
    """Returns a network with another kind of norm, where it has one."""
    if norm == STUDENTS:
        return network
    layers = dataclasses.replace(network.module.layers, norm=norm)
    return dataclasses.replace(network, module=network.module.clone(layers=layers))


FREPO = loop.method(FrepoStep, "FRePo", "frepo", Frepo, per_class=False)
