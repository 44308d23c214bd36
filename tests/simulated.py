"""Made-up studies whose truth is known, many at once, and their verdicts' families.

Arrays are [studies, regimes, seeds, arms]; arm 0 is random, arm 1 what is tested. The
families are those of `ddjax.report.verdicts`, which `verdicts_test` compares them with.
"""

import itertools
from typing import NamedTuple

import numpy as np

from ddjax.report.contrasts import LEVEL, MARGIN, holm, jackknife, picked, tests

IMAGES = 360  # of the test split, and a sixth of it of validation


class Students(NamedTuple):
    """Accuracies in percent, over budgets, and the true ones [regimes, arms]."""

    test: np.ndarray
    validation: np.ndarray
    truth: np.ndarray


class Family(NamedTuple):
    """Contrasts of studies, [studies, contrasts]: names, numbers and true means."""

    names: list[tuple[str, str]]
    mean: np.ndarray
    half_width: np.ndarray
    p: np.ndarray
    p_small: np.ndarray
    truth: np.ndarray

    @property
    def covered(self):
        """Whether the interval holds the truth."""
        return np.abs(self.mean - self.truth) <= self.half_width

    def wrongly_shown(self, one_sided=False):
        """Studies in which Holm's correction shows a difference that is not there."""
        wrong = np.sign(self.mean) != np.sign(np.round(self.truth, 9))
        shown = holm(self.p) < LEVEL
        return (shown & wrong & ((self.mean > 0) | (not one_sided))).any(1)

    def wrongly_small(self):
        """Studies in which it shows that one is small that is not."""
        large = np.abs(self.truth) >= MARGIN - 1e-9
        return ((holm(self.p_small) < LEVEL) & large).any(1)


def draw(generator, studies, seeds, truth, budgets=2, luck=0.7, sd=2.0):
    """Trains nobody.

    Args:
      generator: of NumPy.
      studies, seeds, budgets: numbers.
      truth: [regimes, arms], percent, of both splits.
      luck: the part of a student's variance that it has on both splits.
      sd: of a student, in points; that of a seed, which all share, is as large.
    """
    shape = studies, len(truth), budgets, seeds, len(truth[0])
    common = generator.normal(0, sd, (studies, 1, 1, seeds, 1))
    common = common + generator.normal(0, sd * luck**0.5, shape)
    found = []
    for images in (IMAGES, IMAGES // 6):
        own = generator.normal(0, sd * (1 - luck) ** 0.5, shape)
        exact = np.asarray(truth)[:, None, None] + common + own
        found.append((np.round(exact / 100 * images) / images * 100).mean(2))
    return Students(*found, np.asarray(truth, float))


def best(regime, arms, worst=False):
    """A side of a difference, as `verdicts.Side`, of numbers."""
    return regime, list(arms), worst


def one(regime, arm):
    return best(regime, [arm])


def choice(students):
    """The family of the spreads; all but `p_small` is of best and worst arms."""
    _, regimes, _, arms = students.test.shape
    found = _family(
        students,
        [
            (("best − worst", r), best(r, range(arms)), best(r, range(arms), True))
            for r in range(regimes)
        ],
    )
    pairs = [
        _family(
            students,
            [
                (("", r), one(r, a), one(r, b))
                for a, b in itertools.combinations(range(arms), 2)
            ],
        )
        for r in range(regimes)
    ]
    largest = np.stack([each.p_small.max(1) for each in pairs], 1)
    widest = np.stack([np.abs(each.truth).max(1) for each in pairs], 1)
    return found._replace(p_small=largest), found._replace(
        p_small=largest, truth=widest
    )


def tested(students):
    """The family of the tested arm."""
    _, regimes, _, arms = students.test.shape
    sides = []
    for r in range(regimes):
        sides.append((("tested − random", r), one(r, 1), one(r, 0)))
        sides.append((("tested − best other", r), one(r, 1), best(r, range(2, arms))))
    return _family(students, sides)


def labels(students):
    """The family of labels; regime 0 is the base, the last the reference."""
    _, regimes, _, arms = students.test.shape
    sides = [
        (("random: labels − base", r), one(r, 0), one(0, 0)) for r in range(1, regimes)
    ]
    chosen = best(0, range(1, arms))
    sides.append((("best − random", 0), chosen, one(0, 0)))
    sides.append((("random − best", regimes - 1), one(regimes - 1, 0), chosen))
    return _family(students, sides)


def _family(students, sides):
    rows = [_contrast(students, first, second) for _, first, second in sides]
    columns = [np.stack(column, 1) for column in zip(*rows, strict=True)]
    return Family([name for name, _, _ in sides], *columns)


def _contrast(students, first, second):
    """(mean, half width, p, p_small, truth), each of [studies]."""

    def side(table, seeds, regime, arms, worst):
        own, validation = (
            array[:, regime][..., arms][:, seeds]
            for array in (table, students.validation)
        )
        return picked(own, validation, worst)

    def differences(seeds, table=students.test):
        return side(table, seeds, *first) - side(table, seeds, *second)

    count = students.test.shape[2]
    everyone = np.arange(count)
    values = differences(everyone)
    error = np.maximum(values.std(-1, ddof=1), 100 / IMAGES / 6**0.5) / count**0.5
    if len(first[1]) > 1 or len(second[1]) > 1:
        error = np.maximum(error, jackknife(differences, count))
    mean = values.mean(-1)
    true = np.broadcast_to(students.truth[:, None], students.test.shape)
    truth = differences(everyone, true).mean(-1)
    return mean, *tests(mean, error, count), truth
