"""DD-Ranking's scores by hand, against its formulas, and at their limits."""

import math

import numpy as np
import pytest

from ddjax.errors import InputError
from ddjax.report import ranking
from ddjax.report.ranking import Quirks


def official(ior, hlr, w):
    """As ddranking/metrics/soft_label.py has it, which takes percentage points."""
    alpha = w * ior - (1 - w) * hlr
    return (np.exp(alpha) - np.exp(-1)) / (np.exp(1) - np.exp(-1))


def test_the_example_of_our_study_by_hand():
    hlr, ior = ranking.hlr(0.837, 0.813), ranking.ior(0.831, 0.828)
    assert (hlr, ior) == (pytest.approx(0.024), pytest.approx(0.003))
    score = float(ranking.lrs(hlr, ior))  # alpha = -0.0105
    assert score == pytest.approx((math.exp(-0.0105) - 0.36788) / 2.35040, abs=1e-5)
    assert round(score, 3) == 0.264


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_scores_are_the_packages_formula(weight):
    rng = np.random.default_rng(0)
    full, hard, soft, random = rng.random((4, 20))
    hlr, ior = ranking.hlr(full, hard), ranking.ior(soft, random)
    expected = official(ior, hlr, weight)
    np.testing.assert_allclose(ranking.lrs(hlr, ior, weight), expected)
    expected = official(100 * ior, 100 * hlr, weight)
    found = ranking.lrs(hlr, ior, weight, percent=True)
    np.testing.assert_allclose(found, expected)
    plain = ranking.ior(hard, random)
    beta = weight * ior + (1 - weight) * plain
    expected = official(beta, 0.0, 1.0)
    np.testing.assert_allclose(ranking.ars(ior, plain, weight), expected)


def test_the_scale_runs_from_0_to_1():
    np.testing.assert_allclose(ranking.normalised([-1, 1]), [0, 1], atol=1e-15)
    nothing = 1 / (1 + math.e)  # where nothing is gained or lost
    assert (
        float(ranking.normalised(0))
        == pytest.approx(nothing)
        == pytest.approx(0.269, abs=1e-3)
    )
    grid = ranking.normalised(np.linspace(-1, 1, 9))
    assert (np.diff(grid) > 0).all()


def test_a_weight_of_0_or_1_leaves_one_part():
    assert ranking.lrs(0.2, 0.7, 0.0) == ranking.lrs(0.2, -0.1, 0.0)
    assert ranking.lrs(0.2, 0.7, 1.0) == ranking.lrs(0.9, 0.7, 1.0)
    assert ranking.ars(0.2, 0.7, 1.0) == ranking.ars(0.2, -0.3, 1.0)


def test_random_against_itself_has_no_improvement():
    values = np.random.default_rng(1).random(5)
    assert (ranking.ior(values, values) == 0).all()
    assert np.isnan(ranking.ior(np.nan, 0.5))


def test_percentages_and_weights_outside_their_range_are_refused():
    with pytest.raises(InputError, match="full: found an accuracy of 83.7, allowed"):
        ranking.hlr([0.5, 83.7], 0.5)
    with pytest.raises(InputError, match="random: found an accuracy of -0.1"):
        ranking.ior(0.5, -0.1)
    with pytest.raises(InputError, match=r"w: found 1.5, allowed is a number in \[0"):
        ranking.lrs(0.1, 0.1, 1.5)
    with pytest.raises(InputError, match="gamma: found -1"):
        ranking.ars(0.1, 0.1, -1)


def test_quirks_are_named():
    assert Quirks.of("") == ranking.PUBLISHED == Quirks()
    found = Quirks.of("percent,duplicates")
    assert found == Quirks(percent=True, duplicates=True)
    assert found.names == ["percent", "duplicates"]
    with pytest.raises(InputError, match="quirks: found 'duplicate', .* did you mean"):
        Quirks.of("duplicate")
