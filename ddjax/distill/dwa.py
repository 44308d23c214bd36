"""DWA: SRe2L from real images, each batch through a teacher of its own.

Letters: B images of a batch, H W image, K channels.
"""

import dataclasses
import functools
from typing import Any

import jax
import optax

from ddjax import losses
from ddjax.artifacts import Cost
from ddjax.declare import setting
from ddjax.distill.recovery import SECTIONS, Recovery
from ddjax.distill.synthesis import TargetsOf, target_of
from ddjax.distill.task import Outline, Task
from ddjax.models import Network, Variables


@dataclasses.dataclass(frozen=True)
class Dwa:
    """Directed weight adjustment."""

    var_weight: float = setting(
        11.0, "Of the variances beside the means; ImageNet: 2.", "[0, 1e6]"
    )
    rho: float = setting(0.015, "How far the teacher's weights move.", "[0, 100]")
    ascent_steps: int = setting(
        12, "In how many steps they do; ImageNet: 15.", "[1, 1000]"
    )


def dwa(task: Task, entry: Any) -> TargetsOf:
    """DWA: SRe2L from real images with directed weight adjustment, for diverse images.

    A batch starts from one random real image of each of its classes. Before its first
    iteration the teacher's weights climb the cross-entropy of the augmented batch, see
    `ascend`, and stay there. In the distance of statistics, variances count
    `var_weight` times.

    Source: Du et al., "Diversity-Driven Synthesis", arXiv 2409.17612;
    AngusDujw/Diversity-Driven-Synthesis. Deviations: every batch climbs from the
    teacher's own weights, where theirs pile up over the batches of an image index; and
    those of `sre2l`.
    """
    network, plain = task.teachers[0].network, target_of(task.teachers[0])
    rho, steps = entry.dwa.rho, entry.dwa.ascent_steps

    def targets_of(batch, views):
        climbed = ascend(network, plain.variables, views(), batch.labels, rho, steps)
        return ((network, plain._replace(variables=climbed)),)

    return targets_of


@functools.partial(jax.jit, static_argnums=0)
def ascend(
    network: Network,
    variables: Variables,
    images_BHWK: jax.Array,
    labels_B: jax.Array,
    rho: jax.Array,
    steps: jax.Array,
) -> Variables:
    """Moves weights up the mean cross-entropy of a batch, in steps of equal length.

    Args:
      network: in eval mode; its running statistics do not change.
      variables: of the network.
      images_BHWK: [B,H,W,K] float32, normalised, the same in all steps.
      labels_B: [B] int32.
      rho: [] length of the whole way if it is straight.
      steps: [] int32, each is w += (rho / steps) g / ||g||, the norm over all weights.

    Returns:
      The variables with other parameters.
    """

    def loss_of(params):
        logits_BC, _ = network.apply({**variables, "params": params}, images_BHWK)
        return losses.cross_entropy(logits_BC, labels_B).mean()

    def step(_, params):
        grads = jax.grad(loss_of)(params)
        factor = rho / steps / (optax.tree.norm(grads) + 1e-12)
        return jax.tree.map(lambda w, g: w + factor * g, params, grads)

    params = jax.lax.fori_loop(0, steps, step, variables["params"])
    return {**variables, "params": params}


def _climb(outline: Outline, entry: Any, ipc: int) -> Cost:
    images = entry.dwa.ascent_steps * ipc * outline.num_classes
    # The backward pass costs twice as much as the forward pass.
    return Cost(train_passes=images, flops=3 * outline.forward(images, 1).flops)


DWA = Recovery(
    dwa,
    "DWA",
    SECTIONS | {"dwa": Dwa},
    costs=_climb,
    init="random",
    numbers=lambda entry: {"var_weight": entry.dwa.var_weight},
)
