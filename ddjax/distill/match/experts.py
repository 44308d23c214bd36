"""Expert trajectories: the weights of trained students after every epoch.

Letters: E experts, S snapshots, P parameters.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ddjax.data.augment import DSA_OPERATIONS
from ddjax.declare import PATH, setting
from ddjax.declare.walk import require
from ddjax.errors import InputError
from ddjax.models import Network
from ddjax.train.programs import variables_of


@dataclasses.dataclass(frozen=True)
class Experts:
    """Students of the whole pool, by SGD without momentum, decay or schedule.

    Source: Cazenavette et al., "Dataset Distillation by Matching Training
    Trajectories", arXiv 2203.11932; GeorgeCazenavette/mtt-distillation, buffer.py,
    which trains 100 of them for 50 epochs. Deviation: each image draws its own
    operation of DSA, where theirs draws one for a batch.
    """

    count: int = setting(10, "Experts; published: 100.", "[1, 10000]")
    epochs: int = setting(
        20, "Of each, with a snapshot after every one; published: 50.", "[1, 10000]"
    )
    learning_rate: float = setting(0.01, "Of SGD, constant.", "(0, 100]")
    batch_size: int = setting(256, "Images a step, at most the pool.", "[1, 1000000]")
    augment: tuple[str, ...] = setting(
        DSA_OPERATIONS,
        "Operations of DSA, one of which an image is shown under; (): none.",
        DSA_OPERATIONS,
        counts="[0, 6]",
        each="once",
    )
    path: str = setting(
        "",
        "Where trajectories are read from: the `artifacts` of another run, one of its "
        "experts-ADDRESS, or replay_buffer_N.pt of MTT's authors or a folder of them; "
        "'': they are trained. The others of this section do not count for a path.",
        PATH,
    )


def flatten(params: Any) -> jax.Array:
    """Returns the parameters of a network as one vector, [P], in the tree's order."""
    return jnp.concatenate([leaf.reshape(-1) for leaf in jax.tree.leaves(params)])


def unflatten(network: Network, flat_P: jax.Array) -> Any:
    """Returns the parameters of a network that `flatten` made one vector of."""
    leaves, tree = jax.tree.flatten(variables_of(network)["params"])
    stops = np.cumsum([math.prod(leaf.shape) for leaf in leaves])[:-1]
    parts = jnp.split(flat_P, stops)
    parts = [a.reshape(leaf.shape) for a, leaf in zip(parts, leaves, strict=True)]
    return jax.tree.unflatten(tree, parts)


def parameters_of(network: Network) -> int:
    """Returns how many parameters a network has, P."""
    leaves = jax.tree.leaves(variables_of(network)["params"])
    return sum(math.prod(leaf.shape) for leaf in leaves)


def check_weights(weights_ESP: np.ndarray | None, network: Network, snapshots: int):
    """Refuses trajectories that are not of a network, or too short.

    Args:
      weights_ESP: [E,S,P] float32, or None.
      network: the students'.
      snapshots: the fewest that are read.

    Raises:
      InputError: there are none, they are of another network, too short, or not finite.
    """
    size = parameters_of(network)
    found = None if weights_ESP is None else weights_ESP.shape
    allowed = (
        f"[experts, at least {snapshots} snapshots, {size}], of the students' network "
        f"of {size} parameters"
    )
    fits = weights_ESP is not None and len(found) == 3 and found[0] > 0
    fits = fits and found[1] >= snapshots and found[2] == size
    require(fits, "experts", found, allowed)
    if not np.isfinite(weights_ESP).all():
        raise InputError("experts: found weights that are not finite")
