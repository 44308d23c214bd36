"""DWA: SRe2L from real images, each batch through a teacher of its own.

Letters: B images of a batch, H W image, K channels.
"""

import dataclasses
import functools

import jax
import optax

from ddjax import losses
from ddjax.artifacts import Cost
from ddjax.distill.batches import across_classes
from ddjax.distill.statistics import looking_cost
from ddjax.distill.synthesis import look_at, synthesise
from ddjax.distill.task import Distilled, Task
from ddjax.models import Network, Variables
from ddjax.settings.recover import Recover


def dwa(task: Task, settings: Recover, start: Distilled | None = None) -> Distilled:
    """SRe2L with directed weight adjustment, for images that differ from each other.

    A batch starts from one random real image of each of its classes. Before its first
    iteration the teacher's weights climb the cross-entropy of what the teacher sees of
    the batch then, see `ascend`, and stay there. In the distance of statistics,
    variances count `var_weight` times.

    Args:
      task: what is distilled.
      settings: how.
      start: images to start from instead, as in `sre2l`.

    Returns:
      The image set, with the real images that it started from as sources.

    Raises:
      InputError: a class has fewer than `ipc` images, or as `sre2l`.

    Source: Du et al., "Diversity-Driven Synthesis", arXiv 2409.17612;
    AngusDujw/Diversity-Driven-Synthesis. Deviations: every batch climbs from the
    teacher's own weights, where theirs pile up over the batches of an image index; and
    those of `sre2l`.
    """
    teacher = task.teachers[0]
    plain = look_at(teacher)

    def looks(batch, views):
        variables = ascend(
            teacher.network,
            plain.variables,
            views(),
            batch.labels,
            settings.rho,
            settings.ascent_steps,
        )
        return (teacher.network,), (plain._replace(variables=variables),)

    made = synthesise(
        task,
        settings,
        looks,
        across_classes(task.num_classes, task.ipc, settings.batch),
        "random",
        start,
        var_weight=settings.var_weight,
    )
    climbed = settings.ascent_steps * len(made.images)
    looked = looking_cost(teacher.network, teacher.variables, climbed)
    # The way back costs twice as much as the way there.
    climb = Cost(train_passes=climbed, flops=3 * looked.flops)
    return dataclasses.replace(made, cost=made.cost + climb)


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
