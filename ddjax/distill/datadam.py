"""DataDAM: images that are attended to where those of their class are."""

import dataclasses
from typing import Any

import jax

from ddjax.artifacts import Cost
from ddjax.declare import setting
from ddjax.declare.walk import require
from ddjax.distill.match import loop
from ddjax.distill.match.distances import attention, mean_distance
from ddjax.distill.match.options import Options, again
from ddjax.distill.match.siamese import siamese
from ddjax.distill.task import Ipcs, Outline

_SCALE = 100.0  # of the whole loss


@dataclasses.dataclass(frozen=True)
class Datadam(Options):
    """Attention matching, as its code has it.

    Its paper has 8,000 iterations and a power of 4; beyond IPC 50 its authors learn at
    a rate of 10.
    """

    iterations: int = again("iterations", 20_000)
    learning_rate: float = again("learning_rate", 1.0)
    real: int = again("real", 64)
    power: float = setting(1.0, "Of the activations of a channel.", "[1, 16]")
    feature_weight: float = setting(
        0.01, "Of mean features beside attention; 0.02 at high resolution.", "[0, 1e6]"
    )


class DatadamStep(loop.Step):
    """DataDAM: images whose attention in all layers is that of their class.

    An iteration draws a network and `real` images of every class, and descends the
    squared distances of the class means of attention (a map's absolute activations,
    summed over channels, of length 1 an image), of all blocks but the last, and, with a
    weight, of the features that enter the classifier. The network is never trained.

    Source: Sajedi et al., "DataDAM: Efficient Dataset Distillation with Attention
    Matching", arXiv 2310.00093; DataDistillation/DataDAM, main_DataDAM.py. Deviation:
    one draw of DSA a step for all classes, where theirs draws one for each class.
    """

    def __call__(self, state, real, key):
        options, classes = self.options, self.num_classes
        init_key, real_key, view_key = jax.random.split(key, 3)
        variables = self.network.init(init_key)
        real_CBHWK = real.draw(real_key, options.real)

        def measured(images):
            """Attention of the blocks but the last, and features, [C,images,...]."""
            flat = images.reshape(-1, *images.shape[2:])
            maps, features = self.network.maps(variables, flat, train=True)
            found = [attention(each, options.power) for each in maps[:-1]]
            return [each.reshape(classes, -1, each.shape[1]) for each in found], (
                features.reshape(classes, -1, features.shape[1])
            )

        def loss_of(images):
            synthetic = images.reshape(classes, self.ipc, *images.shape[1:])
            shown = siamese(options.augment, view_key, real_CBHWK, synthetic)
            known, learned = map(measured, shown)
            known = jax.lax.stop_gradient(known)
            total = options.feature_weight * mean_distance(known[1], learned[1])
            total += sum(map(mean_distance, known[0], learned[0]))
            return _SCALE * total

        loss, gradient = jax.value_and_grad(loss_of)(state["images"])
        return self.descend(state, gradient), loss

    def passes(self):
        return Cost(
            forward_passes=self.num_classes * self.options.real,
            train_passes=self.num_classes * self.ipc,
        )


def refuse_without_maps(outline: Outline, entry: Any, key: str, ipcs: Ipcs) -> None:
    """Refuses students' networks whose maps are not known.

    Raises:
      InputError: it names the network.
    """
    del entry, ipcs
    network = outline.student
    allowed = "a ConvNet, of whose blocks maps are matched"
    name = type(network.module).__name__
    require(network.blocks > 0, f"student.network.name ({key})", name, allowed)


DATADAM = loop.method(
    DatadamStep,
    "DataDAM",
    "datadam",
    Datadam,
    refuses=refuse_without_maps,
    measures=True,
)
