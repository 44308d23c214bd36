"""References in float64 of the distillation losses, and inputs to try them on.

One example each (dist: one batch), plain sums, nothing taken from the package but the
functions under test.
"""

import math

import jax
import numpy as np

from ddjax.losses import crld, dist, dkd, lskd, mse_gt, nkd


def _log_softmax(row):
    row = np.asarray(row, np.float64)
    row = row - row.max()
    return row - math.log(np.exp(row).sum())


def _kl(student, teacher, temperature):
    student = _log_softmax(np.asarray(student) / temperature)
    teacher = _log_softmax(np.asarray(teacher) / temperature)
    terms = np.exp(teacher) * (teacher - student)
    return temperature**2 * math.fsum(terms)


def _class(label):
    label = np.asarray(label)
    return int(label) if label.ndim == 0 else list(label).index(label.max())


def _mse_gt(student, teacher, label, gt_weight=0.025):
    classes = len(student)
    target = np.eye(classes)[label] if np.ndim(label) == 0 else label
    error = sum((s - t) ** 2 for s, t in zip(student, teacher, strict=True))
    return error / classes - gt_weight * np.dot(target, _log_softmax(student))


def _halves(logits, y):
    """Log-probabilities of (class y, the others), and within the others."""
    log_probs = _log_softmax(logits)
    others = np.delete(log_probs, y)
    rest = others.max() + math.log(np.exp(others - others.max()).sum())
    # Where class y has nearly all, the rest's log is still exact; and the reverse.
    odds = log_probs[y] - rest
    pair = [-np.logaddexp(0, -odds), -np.logaddexp(0, odds)]
    return np.array(pair), others - rest


def _dkd(student, teacher, label, alpha=1.0, beta=8.0, temperature=4.0):
    y = _class(label)
    parts = zip(
        _halves(student / temperature, y), _halves(teacher / temperature, y), strict=1
    )
    tckd, nckd = (math.fsum(np.exp(t) * (t - s)) for s, t in parts)
    return temperature**2 * (alpha * tckd + beta * nckd)


def _nkd(student, teacher, label, gamma=1.5, temperature=1.0):
    y = _class(label)
    (own, _), (teacher_own, _) = (_halves(z, y)[0] for z in (student, teacher))
    others, teacher_others = (
        _log_softmax(np.delete(z, y) / temperature) for z in (student, teacher)
    )
    inside = math.fsum(np.exp(teacher_others) * others)
    return -math.exp(teacher_own) * own - gamma * temperature**2 * inside


def _lskd(student, teacher, label=None, temperature=2.0):
    student, teacher = (
        (z - z.mean()) / (1e-7 + z.std(ddof=1)) for z in (student, teacher)
    )
    return _kl(student, teacher, temperature)


def views(student, teacher):
    """Four views from one pair."""
    return student, student[..., ::-1], teacher, 0.5 * teacher


def _crld(student, teacher, label=None, temperature=4.0):
    weak, strong, t_weak, t_strong = views(student, teacher)
    loss = 0.0
    if math.exp(_log_softmax(t_weak).max()) >= 0.9:
        loss += _kl(weak, t_weak, temperature) + _kl(strong, t_strong, temperature)
    if math.exp(_log_softmax(t_strong).max()) >= 0.2:
        loss += _kl(strong, t_weak, temperature) + _kl(weak, t_strong, temperature)
    return loss


def _correlation(a, b):
    a, b = a - a.mean(), b - b.mean()
    return np.dot(a, b) / (math.sqrt(np.dot(a, a) * np.dot(b, b)) + 1e-8)


def _dist(student, teacher, label=None, beta=2.0, gamma=2.0, temperature=4.0):
    student, teacher = (
        np.exp([_log_softmax(row / temperature) for row in z])
        for z in (student, teacher)
    )
    columns = [_correlation(*c) for c in zip(student.T, teacher.T, strict=True)]
    rows = [_correlation(*r) for r in zip(student, teacher, strict=True)]
    column_loss = gamma * (1 - np.mean(columns))
    return temperature**2 * (beta * (1 - np.array(rows)) + column_loss)


# Every loss under one signature, (student, teacher, labels), with its reference.
LOSSES = {
    "mse_gt": (mse_gt, _mse_gt),
    "dkd": (dkd, _dkd),
    "nkd": (nkd, _nkd),
    "lskd": (lambda s, t, y, **kw: lskd(s, t, **kw), _lskd),
    "crld": (lambda s, t, y, **kw: crld(*views(s, t), **kw), _crld),
    "dist": (lambda s, t, y, **kw: dist(s, t, **kw), _dist),
}


# Those that read the labels.
LABELLED = ("mse_gt", "dkd", "nkd")


def _with_gradients(loss):
    def total(student, teacher, labels, options):
        values = loss(student, teacher, labels, **options)
        return values.sum(), values

    differentiated = jax.jit(jax.grad(total, argnums=(0, 1), has_aux=True))

    def evaluate(student, teacher, labels, **options):
        gradients, values = differentiated(student, teacher, labels, options)
        return values, *gradients

    return evaluate


# Each gives (values, gradient to student, to teacher), compiled once a shape.
EVALUATE = {name: _with_gradients(loss) for name, (loss, _) in LOSSES.items()}


def logits(seed, shape=(2, 4, 5), scale=3.0):
    values = np.random.default_rng(seed).normal(size=shape) * scale
    return values.astype(np.float32)


def classes(seed, shape=(2, 4), count=5):
    return np.random.default_rng(seed).integers(0, count, shape)


def mixed(seed, shape=(2, 4)):
    """Two classes at unequal shares, as CutMix leaves them."""
    first, second = np.eye(5)[classes(seed, (2, *shape))]
    return (0.7 * first + 0.3 * second).astype(np.float32)


def expected(name, student, teacher, labels, **options):
    """The reference of every example of [..., B, C]."""
    reference = LOSSES[name][1]
    student, teacher = (np.asarray(z, np.float64) for z in (student, teacher))
    values = np.empty(student.shape[:-1])
    axes = values.ndim - 1 if name == "dist" else values.ndim
    for i in np.ndindex(values.shape[:axes]):
        values[i] = reference(student[i], teacher[i], np.asarray(labels)[i], **options)
    return values


def close(actual, expected, rtol=1e-5):
    # Where a loss is small, the roundings of its terms near T**2 * beta remain.
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=3e-5)
