"""GLISTER.

Shape letters: n examples, m held-out examples of one class (M of all), C classes, D
inputs of the last layer, that of the bias among them.
"""

import math

import numpy as np

from ddjax.errors import InputError
from ddjax.scores.gradients import LastLayer, check_labels, softmax_errors
from ddjax.select.budget import collect, groups
from ddjax.select.selection import Selection

_TIE = 1e-9  # of the largest gain; smaller differences are ties
_ROUNDING = 1e-4  # how far a probability may lie outside of [0, 1]


def glister(
    gradients: LastLayer,
    labels,
    per_class: int,
    held_out: LastLayer,
    held_out_labels,
    step: float = 0.01,
) -> np.ndarray:
    """GLISTER: the examples that a step of training on helps held-out examples most.

    Greedy descent of the held-out loss by one gradient step on the selection.

    In each class, every pick is the example i with the largest <g_i, v(S)>, where v(S)
    is the mean gradient of the held-out examples of the class after the last layer has
    moved by -step * sum_{j in S} g_j: to first order, the pick that lowers their loss
    most. v is computed anew after every pick; only the last layer moves.

    Args:
      gradients: of N examples.
      labels: [N] int, classes 0..C-1.
      per_class: budget of a class.
      held_out: of M other examples, by the same model. Their errors hold the softmax,
        and so the logits up to a constant.
      held_out_labels: [M] int, at least one of every class.
      step: learning rate of the step, at least 0; 0 ranks by the first v alone.

    Returns:
      Sorted int32 example ids, `per_class` of every class; of equal gains the lower id.

    Raises:
      InputError: if the labels do not cover 0..C-1 or do not fit the gradients, the
        budget is impossible, the held-out layer differs in shape, its labels do not fit
        its errors or miss a class, or the step is negative or not finite.

    Source: Killamsetty et al., AAAI 2021, arXiv 2012.10630; decile-team/cords,
    `glisterstrategy.py`, "PerClass" with "Naive" greedy (its configuration for CIFAR-10
    has "Supervised" and "Stochastic"); its step is the learning rate of the student,
    0.01 for CIFAR-10 until February 2023, 0.05 since. PatrickZH/DeepCore, `glister.py`,
    takes the mean instead of the sum (rate 0.1), and ranks by the first v alone, as the
    update is passed on under a misspelt name; it divides every gradient by the size of
    its batch, so that examples of the last batch of a class, which is smaller, have
    larger gains there. One deviation: selection is done once, not every few epochs.
    """
    pools = groups(labels, per_class)
    check_labels("labels", labels, gradients.num_examples, gradients.num_classes)
    for name in ("errors", "features"):
        width, expected = (getattr(g, name).shape[1] for g in (held_out, gradients))
        if width != expected:
            raise InputError(
                f"held_out.{name}: {width} columns, but the gradients have {expected}"
            )
    check_labels(
        "held_out_labels", held_out_labels, held_out.num_examples, held_out.num_classes
    )
    held_out_labels = np.asarray(held_out_labels)
    missing = np.setdiff1d(np.arange(len(pools)), held_out_labels)
    if missing.size:
        raise InputError(f"held_out_labels: class {missing[0]} has no examples")
    if not (step >= 0 and math.isfinite(step)):
        raise InputError(f"step: {step}, expected a finite number of at least 0")
    logits_MC = _logits(held_out.errors, held_out_labels)

    chosen = []
    for label, (ids, count) in enumerate(pools):
        members = np.flatnonzero(held_out_labels == label)
        inputs_mD = held_out.take(members).inputs
        picks = _descend(
            gradients.take(ids), inputs_mD, logits_MC[members], label, step, count
        )
        chosen.append(ids[picks])
    return collect(chosen)


def _descend(gradients, inputs_mD, logits_mC, label, step, count):
    labels_m = np.full(len(inputs_mD), label)
    moved_DC = np.zeros((inputs_mD.shape[1], logits_mC.shape[1]))
    chosen = []
    while len(chosen) < count:
        errors_mC = softmax_errors(logits_mC - step * (inputs_mD @ moved_DC), labels_m)
        gain_n = gradients.along(inputs_mD.T @ errors_mC / len(inputs_mD))
        tie = _TIE * np.abs(gain_n).max()
        gain_n[chosen] = -np.inf
        best = int(np.argmax(gain_n >= gain_n.max() - tie))
        chosen.append(best)
        moved_DC += np.outer(gradients.inputs[best], gradients.errors[best])
    return chosen


def _logits(errors_MC, labels_M):
    """Log of the softmax behind the errors, -inf where it is 0."""
    probs_MC = errors_MC.astype(np.float64)
    probs_MC[np.arange(len(labels_M)), labels_M] += 1
    bad_M = (probs_MC < -_ROUNDING).any(axis=1) | (
        abs(probs_MC.sum(axis=1) - 1) > _ROUNDING
    )
    if bad_M.any():
        raise InputError(
            f"held_out_labels: {bad_M.sum()} of {bad_M.size} do not fit the errors, "
            f"which are then no softmax minus one-hot label, the first at example "
            f"{bad_M.argmax()}"
        )
    with np.errstate(divide="ignore"):
        return np.log(np.clip(probs_MC, 0.0, 1.0))


GLISTER = Selection(
    function=glister,
    title="GLISTER",
    choose=lambda inputs, per_class: glister(
        inputs.require("gradients"),
        inputs.labels,
        per_class,
        inputs.held_out,
        inputs.held_out_labels,
    ),
    requires=("gradients",),
)
