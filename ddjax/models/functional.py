"""A network as pure functions of its variables, which is all the rest of ddjax sees."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import traverse_util

from ddjax.errors import InputError

# {"params": ...} and, with batch norm, {"batch_stats": ...}; leaves are float32.
Variables = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Network:
    """A module and the images it takes.

    Hashable, and equal when built from equal arguments, so it can be a static
    argument of `jax.jit`. `init`, `apply` and `features` are pure: jit and vmap (over
    keys or over variables) are the caller's.

    Attributes:
      module: the Linen module.
      image_shape: (height, width, channels) of one image.
    """

    module: nn.Module
    image_shape: tuple[int, int, int]

    def init(self, key: jax.Array) -> Variables:
        """Draws the variables of an untrained network.

        Args:
          key: a typed PRNG key.

        Returns:
          The variables, a plain nested dict of float32 arrays.
        """
        images = jax.ShapeDtypeStruct((1, *self.image_shape), jnp.float32)
        return self.module.lazy_init(key, images)

    def apply(
        self, variables: Variables, images_BHWC: jax.Array, train: bool = False
    ) -> tuple[jax.Array, Variables]:
        """Computes the logits of a batch.

        Args:
          variables: from `init` or a previous `apply`.
          images_BHWC: [B, H, W, C] float32, normalised.
          train: whether batch norm uses the moments of this batch and averages them
            into its running statistics. Must be known when traced.

        Returns:
          Logits [B, num_classes] float32, and the variables with updated batch
          statistics in training, unchanged otherwise.
        """
        if not train or "batch_stats" not in variables:
            return self.module.apply(variables, images_BHWC, train=train), variables
        logits_BC, updated = self.module.apply(
            variables, images_BHWC, train=True, mutable=["batch_stats"]
        )
        return logits_BC, {**variables, **updated}

    def features(
        self, variables: Variables, images_BHWC: jax.Array, layer: str = ""
    ) -> jax.Array:
        """Computes what a layer makes of a batch, in evaluation mode.

        Args:
          variables: from `init` or `apply`.
          images_BHWC: [B, H, W, C] float32, normalised.
          layer: one of `layers`, whose output is taken; "": what the last dense layer
            sees.

        Returns:
          [B, D] float32, maps flattened in the order H, W, C.

        Raises:
          InputError: there is no such layer.
        """
        if not layer:
            return self.module.apply(variables, images_BHWC, features=True)[1]
        if layer not in self.layers:
            raise InputError(
                f"layer: found {layer!r}, allowed are {', '.join(self.layers)}"
            )
        outputs = self._outputs(variables, images_BHWC, tuple(layer.split("/")))
        return outputs[layer].reshape(len(images_BHWC), -1)

    @functools.cached_property
    def layers(self) -> tuple[str, ...]:
        """The names of the layers inside, such as `norm0` or `stage1_block0/first`."""
        images = jax.ShapeDtypeStruct((1, *self.image_shape), jnp.float32)
        variables = jax.eval_shape(self.init, jax.random.key(0))
        return tuple(jax.eval_shape(self._outputs, variables, images))

    def _outputs(self, variables, images_BHWC, path=None) -> dict[str, jax.Array]:
        """What the layer at a path gives, or what every layer does."""
        _, seen = self.module.apply(
            variables,
            images_BHWC,
            mutable=["intermediates"],
            capture_intermediates=lambda module, method: (
                method == "__call__" and module.path and path in (None, module.path)
            ),
        )
        outputs = traverse_util.flatten_dict(seen["intermediates"])
        return {"/".join(keys[:-1]): values[0] for keys, values in outputs.items()}
