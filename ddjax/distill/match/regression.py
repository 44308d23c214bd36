"""Kernel ridge regression on features, which learns a network's last layer in one step.

Letters: T targets, M images of the set, D features, C classes.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

_product = functools.partial(jnp.matmul, precision="highest")


def ridge_predictions(
    features_TD: jax.Array,
    features_MD: jax.Array,
    labels_MC: jax.Array,
    ridge: float = 1e-6,
) -> jax.Array:
    """Predicts labels by kernel ridge regression with a linear kernel of features.

    The prediction is K_ts (K_ss + r I)^-1 Y with r = ridge * trace(K_ss) / M. Where
    there are fewer features than images, K_ss has no full rank, and the equal
    F_t (F_s' F_s + r I)^-1 F_s' Y is solved in its place.

    Args:
      features_TD: [T,D] float32, F_t.
      features_MD: [M,D] float32, F_s, not all zero.
      labels_MC: [M,C] float32, Y.
      ridge: of the mean of the kernel's diagonal, > 0.

    Returns:
      [T,C] float32, differentiable in all three.

    Source: Zhou, Nezhadarya and Ba, "Dataset Distillation using Neural Feature
    Regression", arXiv 2206.00719; yongchao97/FRePo, lib/datadistillation/frepo.py, nfr.
    Deviation: they factorise the kernel by Cholesky, which in float32 ends in NaN where
    images and features are about as many.
    """
    images, features = features_MD.shape
    # The trace of K_ss.
    ridge *= jnp.sum(jnp.square(features_MD)) / images
    if images <= features:
        weights_MC = _solved(features_MD.T, ridge, labels_MC)
        return _product(_product(features_TD, features_MD.T), weights_MC)
    known_DC = _product(features_MD.T, labels_MC)
    return _product(features_TD, _solved(features_MD, ridge, known_DC))


def _solved(matrix_AB: jax.Array, ridge: jax.Array, right_BC: jax.Array) -> jax.Array:
    """Returns (A' A + r I)^-1 times a matrix, [B,C].

    The Cholesky factor of the system is found as the R of a QR decomposition, which does
    not square the condition; gradients are those of the solution, not of the factor.
    """
    eye_BB = jnp.eye(matrix_AB.shape[1])
    both = jnp.concatenate([matrix_AB, jnp.sqrt(ridge) * eye_BB])
    factor_BB = jnp.linalg.qr(jax.lax.stop_gradient(both), mode="r")

    def system(x_BC):
        return _product(matrix_AB.T, _product(matrix_AB, x_BC)) + ridge * x_BC

    def solve(system, right_BC):
        del system
        return jax.scipy.linalg.cho_solve((factor_BB, False), right_BC)

    return jax.lax.custom_linear_solve(system, right_BC, solve, symmetric=True)


def centred(labels: jax.Array, num_classes: int) -> jax.Array:
    """Returns what regression predicts: [...] int32 -> [...,C], 1 - 1/C and -1/C."""
    return jax.nn.one_hot(labels, num_classes) - 1 / num_classes


def squared_error(predicted_BC: jax.Array, target_BC: jax.Array) -> jax.Array:
    """Returns half the squared error, summed over classes and averaged over B: []."""
    return 0.5 * jnp.square(predicted_BC - target_BC).sum(-1).mean()


def lost_margin(labels_MC: jax.Array) -> jax.Array:
    """Returns what keeps learned labels apart: less, the clearer their first class is.

    It is the mean of -min(first - second, 1/C), where first and second are the largest
    numbers of a label, so that margins of 1/C and more are left alone.

    Args:
      labels_MC: [M,C] float32.

    Returns:
      [] float32, in [-1/C, 0].

    Source: as `ridge_predictions`; lb_margin_th there.
    """
    top_M2, _ = jax.lax.top_k(labels_MC, 2)
    margin_M = jnp.minimum(top_M2[:, 0] - top_M2[:, 1], 1 / labels_MC.shape[1])
    return -margin_M.mean()


def regression_loss(
    embed: Callable[[jax.Array], jax.Array],
    images_MHWK: jax.Array,
    labels_MC: jax.Array,
    features_TD: jax.Array,
    targets_TC: jax.Array,
    ridge: float,
    mirrored: bool = False,
) -> jax.Array:
    """Measures how well real images are predicted from a set by ridge regression.

    It is `squared_error` of the predictions plus `lost_margin` of the labels.

    Args:
      embed: images [M,H,W,K] -> features [M,D].
      images_MHWK: [M,H,W,K] float32, of the set.
      labels_MC: [M,C] float32, of the set.
      features_TD: [T,D] float32, of real images.
      targets_TC: [T,C] float32, see `centred`.
      ridge: see `ridge_predictions`.
      mirrored: whether the regression also has the mirrors of the set's images.

    Returns:
      [] float32.

    Source: as `ridge_predictions`; proto_train_step there.
    """
    lost = lost_margin(labels_MC)
    if mirrored:
        images_MHWK = jnp.concatenate([images_MHWK, jnp.flip(images_MHWK, 2)])
        labels_MC = jnp.concatenate([labels_MC, labels_MC])
    found_TC = ridge_predictions(features_TD, embed(images_MHWK), labels_MC, ridge)
    return squared_error(found_TC, targets_TC) + lost
