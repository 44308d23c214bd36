"""Labels as indices into learned codebooks.

Letters: N labels, C classes, G groups, K codes, D latent dimensions.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from ddjax.declare import setting
from ddjax.errors import InputError
from ddjax.labels.codecs import autoencoder
from ddjax.labels.codecs.codec import Codec

_LIMIT = float(np.finfo(np.float16).max)


@dataclasses.dataclass(frozen=True, eq=False)
class VQ(Codec):
    """A vector-quantised autoencoder: one index a group, decoded by a small network.

    The codebooks and the decoder are shared by all labels of a store and kept in
    fp16. With one group the decoder is applied to the codebook once and for all where
    the resulting table [K, C] is smaller than codebook and decoder.

    `fit` learns it; see `autoencoder.train`. The encoder is no part of what decoding
    needs: without it a restored codec only decodes.

    Source: the idea, a vector-quantised autoencoder on soft labels, is that of
      arXiv 2603.03808, known to us by its abstract only: this design is our own and
      its figures are not that paper's.
    """

    NAME = "vq"
    LEARNS = True

    codes: int = setting(
        16, "Entries of a group's codebook, a power of two.", "[2, 256]"
    )
    groups: int = setting(1, "Indices a label; each refines those before.", "[1, inf)")
    dim: int = setting(32, "Latent dimensions; at most C are used.", "[1, inf)")
    hidden: int = setting(
        64, "Units of the decoder's ReLU layer; 0: a linear decoder.", "[0, inf)"
    )
    steps: int = setting(1000, "Of training.", "[1, inf)")
    temperature: float = setting(
        20.0, "At which the students will read the labels.", "(0, inf)"
    )
    decoder: Mapping[str, np.ndarray] | None = dataclasses.field(
        default=None, repr=False
    )
    encoder: Mapping[str, np.ndarray] | None = dataclasses.field(
        default=None, repr=False
    )

    def __post_init__(self):
        super().__post_init__()
        if self.codes & (self.codes - 1):
            raise InputError(
                f"codec: vq.codes: found {self.codes}, allowed is a power of two in "
                "[2, 256]"
            )

    def check(self, num_classes: int) -> None:
        super().check(num_classes)
        if self.decoder is None:
            return
        fitted = self.decoder["table" if "table" in self.decoder else "bias"].shape[-1]
        if fitted != num_classes:
            raise InputError(
                f"codec: found {num_classes} classes, this vq was fitted for {fitted}"
            )

    def width(self, num_classes: int) -> int:
        return self.groups

    def encode(self, logits: jax.Array) -> jax.Array:
        if self.decoder is None:
            raise InputError("codec: vq is not fitted, so it cannot encode")
        if self.encoder is None:
            raise InputError(
                "codec: vq was fitted when the store was created; it can only decode"
            )
        logits = jnp.asarray(logits, jnp.float32)
        self.check(logits.shape[-1])
        network = _float32(self.encoder)
        codebooks_GKD = network.pop("codebooks")
        logits_NC = autoencoder.centred(logits.reshape(-1, logits.shape[-1]))
        latents_ND = autoencoder.apply(network, logits_NC)
        indices_GN, _, _ = autoencoder.quantise(latents_ND, codebooks_GKD)
        return indices_GN.T.reshape(*logits.shape[:-1], -1).astype(jnp.uint8)

    def decode(self, payload: jax.Array, num_classes: int) -> jax.Array:
        if self.decoder is None:
            raise InputError("codec: vq is not fitted, so it cannot decode")
        self.check(num_classes)
        payload = jnp.asarray(payload)
        indices_NG = payload.reshape(-1, self.groups).astype(jnp.int32)
        network = _float32(self.decoder)
        if "table" in network:
            decoded_NC = network["table"][indices_NG[:, 0]]
        else:
            codebooks_GKD = network.pop("codebooks")
            groups_1G = jnp.arange(self.groups)[None]
            codes_ND = jnp.sum(codebooks_GKD[groups_1G, indices_NG], axis=1)
            decoded_NC = autoencoder.apply(network, codes_ND)
        return decoded_NC.reshape(*payload.shape[:-1], num_classes)

    def bits_per_label(self, num_classes: int) -> float:
        return self.groups * math.log2(self.codes)

    def shared_bits(self, num_classes: int) -> int:
        return 16 * _size(self._decoder_shapes(num_classes))

    def fit(self, key: jax.Array, logits: jax.Array) -> Self:
        logits_NC = jnp.asarray(logits, jnp.float32)
        if logits_NC.ndim != 2 or not len(logits_NC):
            raise InputError(
                f"logits: found shape {logits_NC.shape}, vq is fitted on [N, C] with "
                "at least one label"
            )
        options = {name: getattr(self, name) for name in self.options()}
        num_classes = logits_NC.shape[-1]
        options["dim"] = self._dim(num_classes)
        trained = autoencoder.train(key, logits_NC, **options)
        # Rounded here, so that encoding and decoding use what is stored.
        codebooks = _float16(trained.codebooks)
        decoder = {name: _float16(value) for name, value in trained.decoder.items()}
        if "table" in self._decoder_shapes(num_classes):
            codes_KD = jnp.asarray(codebooks[0], jnp.float32)
            decoded_KC = autoencoder.apply(trained.decoder, codes_KD)
            decoder = {"table": _float16(decoded_KC)}
        else:
            decoder["codebooks"] = codebooks
        encoder = {name: np.asarray(value) for name, value in trained.encoder.items()}
        return dataclasses.replace(
            self, decoder=decoder, encoder=encoder | {"codebooks": codebooks}
        )

    def state(self, encoder: bool = False) -> dict[str, np.ndarray]:
        if self.decoder is None:
            raise InputError("codec: vq is not fitted, so it has no arrays to save")
        state = {f"decoder_{name}": array for name, array in self.decoder.items()}
        if encoder:
            if self.encoder is None:
                raise InputError("codec: vq was restored without its encoder")
            state |= {f"encoder_{name}": array for name, array in self.encoder.items()}
        return state

    def restore(self, num_classes: int, state: Mapping[str, np.ndarray]) -> Self:
        parts = {"decoder": self._decoder_shapes(num_classes)}
        if any(name.startswith("encoder_") for name in state):
            parts["encoder"] = self._encoder_shapes(num_classes)
        expected = {
            f"{part}_{name}": shape
            for part, arrays in parts.items()
            for name, shape in arrays.items()
        }
        found = {name: np.shape(array) for name, array in state.items()}
        if found != expected:
            raise InputError(
                f"codec: found arrays {found} of {self.spec}, expected {expected}"
            )
        restored: dict[str, Any] = {
            part: {name: np.asarray(state[f"{part}_{name}"]) for name in arrays}
            for part, arrays in parts.items()
        }
        return dataclasses.replace(self, **restored)

    def _dim(self, num_classes: int) -> int:
        return min(self.dim, num_classes)

    def _decoder_shapes(self, num_classes: int) -> dict[str, tuple[int, ...]]:
        dim = self._dim(num_classes)
        decoder = autoencoder.shapes(dim, num_classes, self.hidden)
        decoder["codebooks"] = (self.groups, self.codes, dim)
        table: dict[str, tuple[int, ...]] = {"table": (self.codes, num_classes)}
        return table if self.groups == 1 and _size(table) <= _size(decoder) else decoder

    def _encoder_shapes(self, num_classes: int) -> dict[str, tuple[int, ...]]:
        dim = self._dim(num_classes)
        encoder = autoencoder.shapes(num_classes, dim, autoencoder.ENCODER_HIDDEN)
        return encoder | {"codebooks": (self.groups, self.codes, dim)}


def _size(shapes: Mapping[str, tuple[int, ...]]) -> int:
    return sum(math.prod(shape) for shape in shapes.values())


def _float16(array: jax.Array) -> np.ndarray:
    return np.asarray(jnp.clip(array, -_LIMIT, _LIMIT), np.float16)


def _float32(arrays: Mapping[str, np.ndarray]) -> dict[str, jax.Array]:
    return {name: jnp.asarray(array, jnp.float32) for name, array in arrays.items()}
