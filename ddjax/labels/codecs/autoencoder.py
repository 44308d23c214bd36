"""A vector-quantised autoencoder of logits: its networks and its training.

A code is a sum: each group's codebook quantises what the groups before it left over
(residual quantisation), so that every further group refines the label.

Letters: N labels, C classes, G groups, K codes, D latent dimensions, H hidden units.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from ddjax.losses import kl_divergence

ENCODER_HIDDEN = 128
_BATCH = 256
_LEARNING_RATE = 1e-3
_COMMITMENT = 0.25
_START_BATCHES = 32
_LLOYD_STEPS = 10
# A code is dead when it gets under 5 % of an even share, over about 100 batches.
_USAGE_DECAY = 0.99
_DEAD = 0.05
_RESEED_UNTIL = 0.8

Network = dict[str, jax.Array]


class Autoencoder(NamedTuple):
    """Encoder [C] -> [D], codebooks [G,K,D] and decoder [D] -> [C]."""

    encoder: Network
    codebooks: jax.Array
    decoder: Network


def shapes(inputs: int, outputs: int, hidden: int) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of a network's arrays; `hidden` = 0 is a linear map."""
    linear = {"linear": (inputs, outputs), "bias": (outputs,)}
    if not hidden:
        return linear
    return linear | {
        "hidden": (inputs, hidden),
        "hidden_bias": (hidden,),
        "output": (hidden, outputs),
    }


def apply(network: Network, inputs: jax.Array) -> jax.Array:
    """Returns a linear map plus one ReLU layer, [N, inputs] -> [N, outputs]."""
    outputs = _product(inputs, network["linear"]) + network["bias"][None]
    if "hidden" in network:
        units = _product(inputs, network["hidden"]) + network["hidden_bias"][None]
        outputs = outputs + _product(jax.nn.relu(units), network["output"])
    return outputs


def centred(logits: jax.Array) -> jax.Array:
    """Returns logits [..., C] less their mean over the classes."""
    return logits - jnp.mean(logits, axis=-1, keepdims=True)


def quantise(latents_ND: jax.Array, codebooks_GKD: jax.Array):
    """Returns each group's nearest codes and what it had to quantise.

    Returns:
      indices [G,N] int32, residuals [G,N,D] that the groups received, and the sums of
      the codes [N,D], differentiable in the codebooks.
    """

    def group(residual_ND, codebook_KD):
        indices_N = _nearest(residual_ND, codebook_KD)
        return residual_ND - codebook_KD[indices_N], (indices_N, residual_ND)

    latents_ND = jax.lax.stop_gradient(latents_ND)
    left_ND, (indices_GN, residuals_GND) = jax.lax.scan(
        group, latents_ND, codebooks_GKD
    )
    return indices_GN, residuals_GND, latents_ND - left_ND


def loss(
    model: Autoencoder, logits_NC: jax.Array, scale: jax.Array, temperature: float
):
    """The training loss of a batch, in units in which the logits' variance is 1.

    KL between the softmaxes of logits and reconstruction times T**2, plus the
    squared distance of latents and codes, which pulls on both. The gradient of the
    reconstruction reaches the codes as it is and the encoder straight through them.

    Args:
      model: the autoencoder of logits / scale.
      logits_NC: centred logits.
      scale: their root mean square.
      temperature: T.

    Returns:
      the loss, and (indices [G,N], residuals [G,N,D]) of `quantise`.
    """
    latents_ND = apply(model.encoder, logits_NC / scale)
    indices_GN, residuals_GND, codes_ND = quantise(latents_ND, model.codebooks)
    frozen_ND = jax.lax.stop_gradient(latents_ND)
    distance = jnp.square(latents_ND - jax.lax.stop_gradient(codes_ND))
    distance += jnp.square(frozen_ND - codes_ND)
    decoded_NC = apply(model.decoder, codes_ND + latents_ND - frozen_ND) * scale
    divergence_N = kl_divergence(decoded_NC, logits_NC, temperature)
    total = logits_NC.shape[-1] * jnp.mean(divergence_N) / scale**2
    total += _COMMITMENT * jnp.mean(jnp.sum(distance, axis=-1))
    return total, (indices_GN, residuals_GND)


@functools.partial(
    jax.jit,
    static_argnames=("codes", "groups", "dim", "hidden", "steps", "temperature"),
)
def train(
    key: jax.Array,
    logits_NC: jax.Array,
    *,
    codes: int,
    groups: int,
    dim: int,
    hidden: int,
    steps: int,
    temperature: float,
) -> Autoencoder:
    """Returns an autoencoder trained on logits, which takes and gives centred logits.

    It starts as the principal components with codebooks found by k-means, then both
    networks and the codebooks are trained together by Adam under a cosine schedule.
    Dead codes restart at what their group has to quantise, until 80 % of the steps.

    Args:
      key: typed PRNG key, consumed.
      logits_NC: [N,C] float32, N >= 1.
      codes, groups, dim, hidden: K, G, D <= C and H; `hidden` = 0 is a linear decoder.
      steps: of Adam, on 256 labels each.
      temperature: of the loss.
    """
    row_key, encoder_key, decoder_key = jax.random.split(key, 3)
    # One draw for all batches, and no other indices: each draw compiles slowly.
    batches = jax.random.randint(
        row_key, (_START_BATCHES + steps, _BATCH), 0, len(logits_NC)
    )
    logits_NC = centred(logits_NC)
    scale = jnp.sqrt(jnp.mean(jnp.square(logits_NC)))
    scale = jnp.where(scale > 0, scale, 1.0)
    start_NC = logits_NC[batches[:_START_BATCHES].ravel()] / scale
    model = _start((encoder_key, decoder_key), start_NC, codes, groups, dim, hidden)
    optimizer = optax.adam(optax.cosine_decay_schedule(_LEARNING_RATE, steps))
    gradient = jax.grad(loss, has_aux=True)

    def step(carry, inputs):
        model, moments, usage_GK = carry
        position, rows = inputs
        slopes, (indices_GN, residuals_GND) = gradient(
            model, logits_NC[rows], scale, temperature
        )
        updates, moments = optimizer.update(slopes, moments)
        model = optax.apply_updates(model, updates)
        share_GK = jnp.mean(jax.nn.one_hot(indices_GN, codes), axis=1)
        usage_GK = _USAGE_DECAY * usage_GK + (1 - _USAGE_DECAY) * share_GK
        dead_GK = (usage_GK < _DEAD / codes) & (position < _RESEED_UNTIL * steps)
        # A batch is random and has at least K labels.
        codebooks = jnp.where(
            dead_GK[..., None], residuals_GND[:, :codes], model.codebooks
        )
        usage_GK = jnp.where(dead_GK, 1 / codes, usage_GK)
        return (model._replace(codebooks=codebooks), moments, usage_GK), None

    usage_GK = jnp.full((groups, codes), 1 / codes)
    (model, _, _), _ = jax.lax.scan(
        step,
        (model, optimizer.init(model), usage_GK),
        (jnp.arange(steps), batches[_START_BATCHES:]),
    )
    return Autoencoder(
        _scaled(model.encoder, 1 / scale, ("linear", "hidden")),
        model.codebooks,
        _scaled(model.decoder, scale, ("linear", "bias", "output")),
    )


def _start(keys, logits_NC, codes, groups, dim, hidden) -> Autoencoder:
    """Principal components and k-means of logits in random order."""
    mean_C = jnp.mean(logits_NC, axis=0)
    offsets_NC = logits_NC - mean_C[None]
    _, axes_CC = jnp.linalg.eigh(_product(offsets_NC.T, offsets_NC))
    axes_CD = axes_CC[:, ::-1][:, :dim]
    start_D = -_product(mean_C[None], axes_CD)[0]
    encoder = _network(keys[0], axes_CD, start_D, ENCODER_HIDDEN)
    decoder = _network(keys[1], axes_CD.T, mean_C, hidden)

    def group(residual_ND, _):
        codebook_KD = _k_means(residual_ND, codes)
        left_ND = residual_ND - codebook_KD[_nearest(residual_ND, codebook_KD)]
        return left_ND, codebook_KD

    latents_ND = apply(encoder, logits_NC)
    _, codebooks_GKD = jax.lax.scan(group, latents_ND, length=groups)
    return Autoencoder(encoder, codebooks_GKD, decoder)


def _network(key, linear, bias, hidden) -> Network:
    """A network that starts as its linear map: its ReLU layer's output is 0."""
    inputs, outputs = linear.shape
    network = {
        name: jnp.zeros(shape)
        for name, shape in shapes(inputs, outputs, hidden).items()
    }
    if hidden:
        weights = jax.random.normal(key, (inputs, hidden))
        network["hidden"] = weights * (2 / inputs) ** 0.5
    return network | {"linear": linear, "bias": bias}


def _k_means(points_ND, codes) -> jax.Array:
    """Lloyd's algorithm from the first points; empty clusters take later ones."""
    fresh_SKD = points_ND[: (_LLOYD_STEPS + 1) * codes].reshape(
        _LLOYD_STEPS + 1, codes, -1
    )

    def step(codebook_KD, fresh_KD):
        indices_N = _nearest(points_ND, codebook_KD)
        counts_K1 = jnp.bincount(indices_N, length=codes)[:, None]
        sums_KD = jax.ops.segment_sum(points_ND, indices_N, codes)
        means_KD = sums_KD / jnp.maximum(counts_K1, 1)
        return jnp.where(counts_K1 > 0, means_KD, fresh_KD), None

    return jax.lax.scan(step, fresh_SKD[0], fresh_SKD[1:])[0]


def _nearest(points_ND, codebook_KD) -> jax.Array:
    norms_K = jnp.sum(jnp.square(codebook_KD), axis=-1)
    return jnp.argmin(norms_K[None] - 2 * _product(points_ND, codebook_KD.T), axis=-1)


def _scaled(network, factor, names) -> Network:
    return {
        name: array * factor if name in names else array
        for name, array in network.items()
    }


def _product(left, right) -> jax.Array:
    # Labels must not depend on an accelerator's fast path.
    return jnp.matmul(left, right, precision="highest")
