"""DM: images whose mean features are those of their class, in many random networks."""

import dataclasses

import jax

from ddjax.artifacts import Cost
from ddjax.distill.match import loop
from ddjax.distill.match.distances import mean_distance
from ddjax.distill.match.options import Options, again
from ddjax.distill.match.siamese import siamese


@dataclasses.dataclass(frozen=True)
class Dm(Options):
    """Distribution matching; from IPC 100 on its authors learn at a rate of 10."""

    iterations: int = again("iterations", 20_000)
    learning_rate: float = again("learning_rate", 1.0)


class DmStep(loop.Step):
    """DM: images whose mean features are those of their class, in random networks.

    An iteration draws a network and `real` images of every class, and descends the
    squared distance of the class means of real and of synthetic features, summed over
    classes. The network is never trained; its batch norm, if any, has the moments of
    all images of a kind.

    Source: Zhao and Bilen, "Dataset Condensation with Distribution Matching", arXiv
    2110.04181; VICO-UoE/DatasetCondensation, main_DM.py. Deviation: one draw of DSA a
    step for all classes, where theirs draws one for each class.
    """

    def __call__(self, state, real, key):
        init_key, real_key, view_key = jax.random.split(key, 3)
        variables = self.network.init(init_key)
        real_CBHWK = real.draw(real_key, self.options.real)

        def features(images):
            shape = images.shape[:2]
            flat = images.reshape(-1, *images.shape[2:])
            found = self.network.embed(variables, flat, train=True)
            return found.reshape(*shape, -1)

        def loss_of(images):
            synthetic = images.reshape(self.num_classes, self.ipc, *images.shape[1:])
            shown = siamese(self.options.augment, view_key, real_CBHWK, synthetic)
            known, learned = map(features, shown)
            return mean_distance(jax.lax.stop_gradient(known), learned)

        loss, gradient = jax.value_and_grad(loss_of)(state["images"])
        return self.descend(state, gradient), loss

    def passes(self) -> Cost:
        return Cost(
            forward_passes=self.num_classes * self.options.real,
            train_passes=self.num_classes * self.ipc,
        )


DM = loop.method(DmStep, "DM", "dm", Dm, measures=True)
