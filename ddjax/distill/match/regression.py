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

    The prediction is K_ts (K_ss + r I)^-1 Y with r = ridge * trace(K_ss) / M. No kernel
    is made: the QR decomposition of [F_s'; sqrt(r) I] has R'R = K_ss + r I, and with Q
    the prediction is F_t Q R'^-1 Y. So the condition is not squared, which float32 does
    not bear. With fewer features than images it is that of [F_s; sqrt(r) I], which
    solves the equal F_t (F_s' F_s + r I)^-1 F_s' Y.

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
    # The trace of K_ss is the sum of squares.
    root = jnp.sqrt(ridge * jnp.sum(jnp.square(features_MD)) / images)
    solve = jax.scipy.linalg.solve_triangular
    if images <= features:
        given = features_MD.T, root * jnp.eye(images)
        q, r_MM = jnp.linalg.qr(jnp.concatenate(given))
        weights_DC = _product(q[:features], solve(r_MM, labels_MC, trans=1))
    else:
        given = features_MD, root * jnp.eye(features)
        q, r_DD = jnp.linalg.qr(jnp.concatenate(given))
        weights_DC = solve(r_DD, _product(q[:images].T, labels_MC))
    return _product(features_TD, weights_DC)


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
