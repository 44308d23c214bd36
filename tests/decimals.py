"""Plain formulas in 60 decimal digits, of float32 inputs taken as they are."""

import decimal

import numpy as np

_CONTEXT = decimal.Context(prec=60)


def _lifted(function):
    return np.vectorize(function, otypes=[object])


exact = _lifted(lambda value: decimal.Decimal(float(value)))
exp, log, sqrt = (_lifted(f) for f in (_CONTEXT.exp, _CONTEXT.ln, _CONTEXT.sqrt))


def in_decimals(function):
    """The function of float arrays, computed in decimals, as float64."""

    def call(*arrays):
        with decimal.localcontext(_CONTEXT):
            return np.asarray(function(*map(exact, arrays)), float)

    return call


def slopes(function, values, step=decimal.Decimal(10) ** -22):
    """[..., C] float64, central differences of the sum of function(values)."""
    found = np.empty(values.shape)
    with decimal.localcontext(_CONTEXT):
        for index in np.ndindex(values.shape):
            sides = []
            for sign in (1, -1):
                moved = exact(values)
                moved[index] += sign * step
                sides.append(np.sum(function(moved)))
            found[index] = (sides[0] - sides[1]) / (2 * step)
    return found


def log_softmax(z):
    z = z - z.max(-1, keepdims=True)
    return z - log(exp(z).sum(-1, keepdims=True))


def kl(student, teacher):
    student, teacher = log_softmax(student), log_softmax(teacher)
    return (exp(teacher) * (teacher - student)).sum(-1)


def one_minus_correlation(a, b, margin=0):
    """Over the last axis, centred already."""
    product = sqrt((a * a).sum(-1) * (b * b).sum(-1))
    return 1 - (a * b).sum(-1) / (product + margin)


def centred(values):
    return values - values.sum(-1, keepdims=True) / values.shape[-1]
