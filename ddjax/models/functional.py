"""A network as pure functions of its variables, all that the rest of ddjax uses."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import traverse_util

from ddjax import keys
from ddjax.errors import InputError
from ddjax.models.layers import MAPS, Conv
from ddjax.models.norm import BatchNorm

# {"params": ...} and, with batch norm, {"batch_stats": ...}; leaves are float32 but for
# the number of batches that batch norm has counted.
Variables = dict[str, Any]

# Layers whose inputs `Network.inspect` can measure.
KINDS = {"norm": BatchNorm, "conv": Conv}


@dataclasses.dataclass(frozen=True)
class Network:
    """A module and the images it takes.

    Hashable, and equal when built from equal arguments, so it can be a static
    argument of `jax.jit`. `init`, `apply` and `features` are pure: jit and vmap (over
    keys or over variables) are the caller's.

    Attributes:
      module: the Linen module.
      image_shape: (height, width, channels) of one image.
      rescale: (factors, offsets) a channel, applied to images first, for a network
        that was trained with another mean and deviation; None: as they are.
    """

    module: nn.Module
    image_shape: tuple[int, int, int]
    rescale: tuple[tuple[float, ...], tuple[float, ...]] | None = None

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
        self,
        variables: Variables,
        images_BHWC: jax.Array,
        train: bool = False,
        key: jax.Array | None = None,
    ) -> tuple[jax.Array, Variables]:
        """Computes the logits of a batch.

        Args:
          variables: from `init` or a previous `apply`.
          images_BHWC: [B, H, W, C] float32, normalised.
          train: whether batch norm uses the moments of this batch and averages them
            into its running statistics. Must be known when traced.
          key: a typed PRNG key for dropout and stochastic depth, which act in training
            and with a key only; networks without either ignore it.

        Returns:
          Logits [B, num_classes] float32, and the variables with updated batch
          statistics in training, unchanged otherwise.
        """
        images_BHWC = self._rescaled(images_BHWC)
        if not train:
            return self.module.apply(variables, images_BHWC), variables
        logits_BC, updated = self.module.apply(
            variables,
            images_BHWC,
            train=True,
            mutable=["batch_stats"],
            rngs=None if key is None else {"dropout": key},
        )
        return logits_BC, {**variables, **updated}

    def inspect(
        self,
        variables: Variables,
        images_BHWC: jax.Array,
        measures: Mapping[str, Callable[[jax.Array], Any]],
        train: bool = False,
    ) -> tuple[jax.Array, dict[str, Any]]:
        """Computes the logits of a batch and measures what enters some of the layers.

        With `{"norm": moments}` these are the statistics that SRe2L and its family
        match with the running ones of batch norm, see `running_moments`; gradients flow
        from them to the images.

        Args:
          variables: from `init` or `apply`; they are not updated.
          images_BHWC: [B, H, W, C] float32, normalised.
          measures: kind of layer -> a function of its input [B, Y, X, D] that gives a
            pytree of arrays; "norm" is every batch norm, "conv" every convolution.
          train: whether batch norm uses the moments of this batch.

        Returns:
          Logits [B, num_classes] float32, and layer -> its measure in the order of the
          forward pass.

        Raises:
          InputError: there is no such kind.
        """
        for kind in measures:
            if kind not in KINDS:
                raise InputError(
                    f"measures: found {kind!r}, allowed are {', '.join(KINDS)}"
                )
        found = {}

        def note(call, args, kwargs, context):
            layer = context.module
            for kind, measure in measures.items():
                if isinstance(layer, KINDS[kind]) and context.method_name == "__call__":
                    found["/".join(layer.path)] = measure(args[0])
            return call(*args, **kwargs)

        images_BHWC = self._rescaled(images_BHWC)
        with nn.intercept_methods(note):
            logits_BC = self.module.apply(variables, images_BHWC, train=train)
        return logits_BC, found

    def embed(
        self, variables: Variables, images_BHWC: jax.Array, train: bool = False
    ) -> jax.Array:
        """Computes the input of the last dense layer, [B, D] float32.

        Args:
          variables: from `init` or `apply`; they are not updated.
          images_BHWC: [B, H, W, C] float32, normalised.
          train: whether batch norm uses the moments of this batch.
        """
        found = self.module.apply(
            variables,
            self._rescaled(images_BHWC),
            train=train,
            features=True,
            mutable=["batch_stats"] if train else False,
        )
        return found[0][1] if train else found[1]

    def maps(
        self, variables: Variables, images_BHWC: jax.Array, train: bool = False
    ) -> tuple[tuple[jax.Array, ...], jax.Array]:
        """Computes the maps of all blocks, and the input of the last dense layer.

        Args:
          variables: from `init` or `apply`; they are not updated.
          images_BHWC: [B, H, W, C] float32, normalised.
          train: whether batch norm uses the moments of this batch.

        Returns:
          The maps [B, Y, X, D] after the activation and before pooling, in the order
          of the forward pass, () of networks other than ConvNets; and [B, D] float32.
        """
        (_, features_BD), state = self.module.apply(
            variables,
            self._rescaled(images_BHWC),
            train=train,
            features=True,
            mutable=[MAPS, "batch_stats"],
        )
        return state.get(MAPS, {}).get(MAPS, ()), features_BD

    @functools.cached_property
    def blocks(self) -> int:
        """The number of maps that `maps` gives."""
        images = jax.ShapeDtypeStruct((1, *self.image_shape), jnp.float32)
        variables = jax.eval_shape(self.init, keys.key(0))
        return len(jax.eval_shape(self.maps, variables, images)[0])

    def features(
        self, variables: Variables, images_BHWC: jax.Array, layer: str = ""
    ) -> jax.Array:
        """Computes the features of a batch, in evaluation mode.

        Args:
          variables: from `init` or `apply`.
          images_BHWC: [B, H, W, C] float32, normalised.
          layer: one of `layers`, whose output is taken; "": the input of the last
            dense layer.

        Returns:
          [B, D] float32, maps flattened in the order H, W, C.

        Raises:
          InputError: there is no such layer.
        """
        if not layer:
            return self.embed(variables, images_BHWC)
        images_BHWC = self._rescaled(images_BHWC)
        if layer not in self.layers:
            raise InputError(
                f"layer: found {layer!r}, allowed are {', '.join(self.layers)}"
            )
        outputs = self._outputs(variables, images_BHWC, tuple(layer.split("/")))
        return outputs[layer].reshape(len(images_BHWC), -1)

    @functools.cached_property
    def layers(self) -> tuple[str, ...]:
        """The names of the layers inside, such as `features.1` or `layer2.0/conv1`."""
        images = jax.ShapeDtypeStruct((1, *self.image_shape), jnp.float32)
        variables = jax.eval_shape(self.init, keys.key(0))
        return tuple(jax.eval_shape(self._outputs, variables, images))

    @functools.cached_property
    def head(self) -> str:
        """The name of the last dense layer, which gives the logits."""
        dense = []

        def note(call, args, kwargs, context):
            if isinstance(context.module, nn.Dense):
                dense.append("/".join(context.module.path))
            return call(*args, **kwargs)

        with nn.intercept_methods(note):
            jax.eval_shape(self.init, keys.key(0))
        return dense[-1]

    def _rescaled(self, images_BHWC):
        if self.rescale is None:
            return images_BHWC
        factors, offsets = (jnp.asarray(a).reshape(1, 1, 1, -1) for a in self.rescale)
        return images_BHWC * factors + offsets

    def _outputs(self, variables, images_BHWC, path=None) -> dict[str, jax.Array]:
        """What the layer at a path gives, or what every layer does."""
        _, state = self.module.apply(
            variables,
            images_BHWC,
            mutable=["intermediates"],
            capture_intermediates=lambda module, method: (
                method == "__call__" and module.path and path in (None, module.path)
            ),
        )
        outputs = traverse_util.flatten_dict(state["intermediates"])
        return {"/".join(keys[:-1]): values[0] for keys, values in outputs.items()}


def moments(x_BHWC: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns mean and biased variance of each channel over batch and image, [C]."""
    x_BHWC = x_BHWC.astype(jnp.float32)
    return x_BHWC.mean((0, 1, 2)), x_BHWC.var((0, 1, 2))


def running_moments(variables: Variables) -> dict[str, tuple[jax.Array, jax.Array]]:
    """Returns the running mean and variance of every batch norm, [C] each.

    Args:
      variables: of a network.

    Returns:
      Layer -> (mean, variance), named as in `Network.inspect`.
    """
    leaves = traverse_util.flatten_dict(variables.get("batch_stats", {}))
    return {
        "/".join(path[:-1]): (leaf, leaves[*path[:-1], "var"])
        for path, leaf in leaves.items()
        if path[-1] == "mean"
    }
