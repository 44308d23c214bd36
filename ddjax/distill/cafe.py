"""CAFE: images whose maps and features, block by block, are those of their class."""

import dataclasses

import jax
import jax.numpy as jnp

from ddjax import keys
from ddjax.artifacts import Cost
from ddjax.declare import setting
from ddjax.distill.datadam import refuse_without_maps
from ddjax.distill.match import loop
from ddjax.distill.match.distances import mean_distances
from ddjax.distill.match.inner import Inner, Rounds
from ddjax.distill.match.options import again
from ddjax.distill.match.siamese import siamese
from ddjax.losses import cross_entropy
from ddjax.train.programs import variables_of

_HALVED = (0.6, 0.8, 0.9)  # parts of the iterations after which the rate is halved
_EARLY = 0.1  # weight of the maps of all blocks but the last


@dataclasses.dataclass(frozen=True)
class Cafe(Inner):
    """Alignment of the features of all blocks, from noise."""

    iterations: int = again("iterations", 2000)
    init: str = again("init", "noise")
    augment: tuple[str, ...] = again("augment", ())
    outer: int = setting(10, "Steps of the images with one network.", "[1, 10000]")
    inner: int = setting(
        10, "Epochs of training the network between two of them.", "[1, 10000]"
    )
    discrimination: float = setting(
        0.01, "Weight of classifying real images by their class means.", "[0, 1e6]"
    )


class CafeStep(Rounds):
    """CAFE: images whose features in every block of a network are those of the class.

    An iteration draws a network. A step of the images takes `real` images of every
    class and descends the squared distances of the class means of each block's maps,
    after their activation (weight 0.1, the last block 1), of the last one pooled
    (1) and of the features (1), and 0.01 times the cross-entropy of real images, summed
    over them, whose logits are the products of their features with the synthetic
    class means. After each step but the last the network is trained on the images.
    The rate is halved after 60, 80 and 90 % of the iterations.

    Source: Wang et al., "CAFE: Learning to Condense Dataset by Aligning Features",
    arXiv 2203.01531; kaiwang960112/CAFE, distill.py. Deviations: it measures the
    accuracy of real images and stops the steps with a network when ten of its values
    differ by less than 0.04, a training when ten differ by more than 0.03. Here both
    numbers are fixed, by default at the fewest that it allows, 10 and 10. One draw of
    DSA, if there is any, is for all classes.
    """

    def begin(self, key, images_MHWK, given):
        return super().begin(key, images_MHWK, given) | {
            "done": jnp.zeros((), jnp.int32)
        }

    def match(self, variables, state, real, key):
        options, classes = self.options, self.num_classes
        real_key, view_key = jax.random.split(key)
        real_CBHWK = real.draw(real_key, options.real)
        labels = jnp.repeat(jnp.arange(classes), options.real)

        def measured(images):
            flat = images.reshape(-1, *images.shape[2:])
            maps, features = self.network.maps(variables, flat, train=True)
            found = *maps, features
            return [each.reshape(*images.shape[:2], *each.shape[1:]) for each in found]

        def loss_of(images):
            synthetic = images.reshape(classes, self.ipc, *images.shape[1:])
            shown = siamese(options.augment, view_key, real_CBHWK, synthetic)
            known, learned = map(measured, shown)
            known = jax.lax.stop_gradient(known)
            apart = list(map(mean_distances, known, learned))
            # The features are the last map, pooled: it counts as both.
            total = _EARLY * sum(apart[:-2]) + apart[-2] + 2 * apart[-1]
            features_ND = known[-1].reshape(len(labels), -1)
            logits_NC = features_ND @ learned[-1].mean(1).T
            confused = cross_entropy(logits_NC, labels).sum()
            return total + options.discrimination * confused

        loss, gradient = jax.value_and_grad(loss_of)(state["images"])
        return loss, gradient, variables

    def move(self, state, gradient_MHWK):
        past = [
            state["done"] >= int(part * self.options.iterations) for part in _HALVED
        ]
        rate = self.options.learning_rate * 0.5 ** sum(past)
        return self.descend(state, gradient_MHWK, rate)

    def __call__(self, state, real, key):
        state, loss = super().__call__(state, real, key)
        return state | {"done": state["done"] + 1}, loss

    def passes(self):
        steps = self.rounds()[0] * self.num_classes
        return self.training() + Cost(
            forward_passes=steps * self.options.real, train_passes=steps * self.ipc
        )

    def loops(self, state, real):
        key = jax.eval_shape(lambda: keys.key(0))
        given = variables_of(self.network), state, real, key
        steps = loop.Loop(self.rounds()[0] - 1, self.match, given)
        return *super().loops(state, real), steps


CAFE = loop.method(CafeStep, "CAFE", "cafe", Cafe, refuses=refuse_without_maps)
