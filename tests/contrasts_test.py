"""Contrasts against hand, NumPy and scipy values, and against truths that are known."""

import dataclasses
import itertools

import numpy as np
import pytest
import simulated
from scipy import stats

from ddjax.report import contrasts
from ddjax.report.contrasts import (
    LEVEL,
    MARGIN,
    SHOWN,
    SMALL,
    UNDECIDED,
    contrast,
    corrected,
    holm,
    jackknife,
    judged,
    largest_of,
    pick,
    picked,
)

NAN = float("nan")


def draws(seed=0):
    return np.random.default_rng(seed)


def test_a_contrast_by_hand():
    found = contrast("a − b", "hard", [1.0, 2.0, 3.0])
    assert (found.name, found.regime, found.values) == ("a − b", "hard", (1, 2, 3))
    assert (found.n, found.mean) == (3, 2.0)
    # s = 1, t(0.975, 2) = 4.3027; t = 2 √3 for 0 and √3 beyond the margin.
    assert found.half_width == pytest.approx(4.3027 / 3**0.5, abs=1e-4)
    assert found.p == pytest.approx(0.0742, abs=1e-4)
    assert found.p_small == pytest.approx(0.8873, abs=1e-4)
    assert (found.state, found.sign, found.excludes_zero) == (UNDECIDED, 0, False)


@pytest.mark.parametrize("n", [2, 3, 10, 40])
def test_tests_are_those_of_scipy(n):
    values = draws(n).normal(0.4, 1.0, n)
    found = contrast("", "hard", [*values, NAN])
    whole = stats.ttest_1samp(values, 0.0)
    low, high = whole.confidence_interval(0.95)
    assert found.p == pytest.approx(whole.pvalue)
    assert found.mean - found.half_width == pytest.approx(low)
    assert found.mean + found.half_width == pytest.approx(high)
    sides = [
        stats.ttest_1samp(values, -MARGIN, alternative="greater").pvalue,
        stats.ttest_1samp(values, MARGIN, alternative="less").pvalue,
    ]
    assert found.p_small == pytest.approx(max(sides))


def test_states_and_signs():
    far, near = [5.0, 5.1, 4.9, 5.0], [0.5, 0.51, 0.49, 0.5]
    for sign in (1, -1):
        found = contrast("", "hard", np.multiply(far, sign))
        assert (found.state, found.sign, found.excludes_zero) == (SHOWN, sign, True)
        found = contrast("", "hard", np.multiply(near, sign))
        assert (found.state, found.sign) == (SMALL, sign)
    assert contrast("", "hard", [-9.0, 1.0, 11.0, -2.0]).state == UNDECIDED


@pytest.mark.parametrize("values", [[], [NAN], [3.0], [3.0, NAN]])
def test_fewer_than_two_seeds_decide_nothing(values):
    found = contrast("", "hard", values)
    assert found.n == np.isfinite(values).sum()
    assert np.isnan([found.half_width, found.p, found.p_small]).all()
    assert (found.state, found.sign, found.excludes_zero) == (UNDECIDED, 0, False)
    assert judged([found])[0].needed is None


def test_seeds_that_agree_by_chance_prove_nothing():
    grain = 100 / 90
    assert contrast("", "hard", [grain, grain]).state == SHOWN
    found = contrast("", "hard", [grain, grain], grain)
    assert (found.state, found.sign) == (UNDECIDED, 0)
    assert found.half_width == pytest.approx(12.7062 * grain / 12**0.5, rel=1e-4)
    wide = contrast("", "hard", [0.0, 10.0], grain)
    assert wide == contrast("", "hard", [0.0, 10.0])
    assert contrast("", "hard", [0.0, 0.0]).state == SMALL  # without any spread


def stepped(p):
    """Holm's procedure as it is told: the smallest first, until one is too large."""
    found, largest = list(p), 0.0
    order = sorted((i for i in range(len(p)) if p[i] == p[i]), key=lambda i: p[i])
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, p[index] * (len(order) - rank)))
        found[index] = largest
    return found


def test_holm_by_hand_and_step_by_step():
    assert holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]).tolist() == []
    p = draws().random((50, 7)) ** 3
    p[draws(1).random(p.shape) < 0.2] = NAN
    np.testing.assert_allclose(holm(p), [stepped(row) for row in p])


def test_a_family_is_corrected():
    family = [contrast("", "hard", draws(i).normal(1.5, 2, 5)) for i in range(4)]
    family.append(contrast("", "hard", [1.0]))
    found = corrected(family)
    for name in ("p", "p_small"):
        expected = stepped([getattr(each, name) for each in family])
        np.testing.assert_allclose([getattr(each, name) for each in found], expected)
    assert {each.family for each in found} == {4}
    assert [dataclasses.replace(e, needed=None) for e in judged(family)][:4] == found[
        :4
    ]


def test_arms_are_picked_by_the_other_seeds():
    validation = np.array([[9.0, 1.0, 2.0], [0.0, 5.0, 6.0], [2.0, 3.0, 1.0]])
    accuracy = np.arange(9.0).reshape(3, 3)
    # Without their seed's mean: [5 -3 -2], [-3.67 1.33 2.33], [0 1 -1].
    assert picked(accuracy, validation).tolist() == [1.0, 3.0, 6.0]
    assert picked(accuracy, validation, worst=True).tolist() == [0.0, 5.0, 7.0]
    assert pick(validation) == 0 and pick(validation, worst=True) == 1
    both = np.stack([accuracy] * 2), np.stack([validation] * 2)
    assert picked(*both).tolist() == [[1.0, 3.0, 6.0]] * 2


def test_a_seed_never_has_a_part_in_its_own_choice():
    validation, accuracy = draws().normal(size=(2, 6, 4))
    before = picked(accuracy, validation)
    for seed in range(6):
        changed = validation.copy()
        changed[seed] = changed[seed, ::-1] * 9
        assert picked(accuracy, changed)[seed] == before[seed]


def test_failed_students_in_a_choice():
    validation = np.array([[50.0, NAN, 49.0], [10.0, 11.0, NAN], [NAN] * 3])
    accuracy = np.array([[1.0, NAN, 3.0], [4.0, 5.0, NAN], [7.0, 8.0, 9.0]])
    # By the second seed arm 1 is better; by the first arm 0; by both arm 1.
    np.testing.assert_array_equal(picked(accuracy, validation), [NAN, 4.0, 8.0])
    assert pick(validation) == 1
    nothing = np.full((3, 2), NAN)
    assert np.isnan(picked(accuracy[:, :2], nothing)).all() and pick(nothing) == -1
    assert picked(accuracy[:1], validation[:1]).tolist() == [1.0]  # a single seed
    assert picked(accuracy[:, :1], nothing[:, :1]).tolist() == [1.0, 4.0, 7.0]


@pytest.mark.parametrize("n", [2, 3, 10])
def test_the_jackknife_of_fixed_arms_is_the_usual_error(n):
    values = draws(n).normal(size=(5, n))
    found = jackknife(lambda seeds: values[:, seeds], n)
    np.testing.assert_allclose(found, stats.sem(values, axis=1))
    with_failed = np.insert(values, 1, NAN, axis=1)
    found = jackknife(lambda seeds: with_failed[:, seeds], n + 1)
    np.testing.assert_allclose(found, stats.sem(values, axis=1))
    assert np.isnan(jackknife(lambda seeds: values[0, seeds] * [NAN], n))


def test_the_jackknife_where_only_parts_know_a_difference():
    # All three seeds together pick an arm that none has, any two one that they have.
    whole, parts = np.full(3, NAN), np.array([1.0, 2.0, 4.0])
    assert np.isnan(jackknife(lambda s: (whole if len(s) == 3 else parts)[s], 3))


def test_an_error_of_picked_arms_is_no_smaller():
    values = [1.0, 2.0, 4.0]
    usual = contrast("", "hard", values)
    assert contrast("", "hard", values, error=0.1) == usual
    found = contrast("", "hard", values, error=3.0)
    assert found.half_width == pytest.approx(3 * stats.t.ppf(0.975, 2))
    assert found.p == pytest.approx(2 * stats.t.sf(7 / 9, 2))


def test_all_are_small_if_the_least_small_is():
    gaps = [contrast("", "hard", draws(i).normal(0, 0.3, 8)) for i in range(3)]
    least = max(gaps, key=lambda gap: gap.p_small)
    assert largest_of(gaps) is least
    unknown = contrast("", "hard", [1.0])
    assert largest_of([*gaps, unknown]) is unknown
    (found,) = judged([gaps[0]], [unknown])
    assert found.state != SMALL and np.isnan(found.p_small)


# Simulations


def limit(rate, repetitions):
    """What a rate exceeds by chance in one of a thousand simulations."""
    return rate + 3.1 * (rate * (1 - rate) / repetitions) ** 0.5


ARMS = 9
NULL = np.full((3, ARMS), 70.0)
EFFECTS = NULL + [[0, -6, 2, 1, 0, -1, -2, -3, -5], [0] * ARMS, [0] * ARMS]
TIES = NULL + [0, 0, 0, 0, 0, -3, -3, -6, -6]  # some arms are equal, and the best
LABELS = NULL + [[0], [3], [0]]
TRUTHS = {"none": NULL, "arms": EFFECTS, "ties": TIES, "labels": LABELS}
# Students of exactly the margin: of tested and random, or of labels.
EDGES = {
    "arms": NULL + [0, 1, 0, 1, 0, 1, 0, 1, 0.5],
    "labels": NULL + [[0], [1], [-1]],
}


def check_rates(studies, seeds, budgets, truth, luck):
    """Checks error rates and coverage of all verdicts."""
    students = simulated.draw(draws(1), studies, seeds, truth, budgets, luck)
    choice, _ = simulated.choice(students)
    tested, labels = simulated.tested(students), simulated.labels(students)
    most = limit(LEVEL, studies)
    assert choice.wrongly_shown(one_sided=True).mean() < most
    assert tested.wrongly_shown().mean() < most
    assert labels.wrongly_shown().mean() < most
    for family in (choice, tested, labels):
        fixed = np.array(["best" not in name for name, _ in family.names])
        covered = family.covered
        assert fixed.all() or covered[:, ~fixed].mean() > 0.95
        # Of fixed arms; the seeds of regimes are one sample.
        assert not fixed.any() or 0.93 < covered[:, fixed].mean() < 0.97


def check_small(studies, seeds, truth):
    students = simulated.draw(draws(2), studies, seeds, truth, sd=0.5)
    _, choice = simulated.choice(students)
    most = limit(LEVEL, studies)
    for family in (choice, simulated.tested(students), simulated.labels(students)):
        assert family.wrongly_small().mean() < most


@pytest.mark.parametrize(("seeds", "budgets"), [(3, 3), (10, 2)])
@pytest.mark.parametrize("truth", TRUTHS)
def test_error_rates_are_what_they_claim(truth, seeds, budgets):
    check_rates(1000, seeds, budgets, TRUTHS[truth], luck=0.7)


@pytest.mark.slow
@pytest.mark.parametrize("luck", [0.3, 0.7, 1.0])
@pytest.mark.parametrize(("seeds", "budgets"), [(2, 1), (3, 2), (5, 3), (10, 3)])
@pytest.mark.parametrize("truth", TRUTHS)
def test_error_rates_of_many_studies(truth, seeds, budgets, luck):
    check_rates(5000, seeds, budgets, TRUTHS[truth], luck)


@pytest.mark.parametrize("edge", EDGES)
def test_what_is_as_large_as_the_margin_is_not_small(edge):
    check_small(1000, 10, EDGES[edge])


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("edge", EDGES)
def test_what_is_as_large_as_the_margin_is_not_small_in_many(edge, seeds):
    check_small(5000, seeds, EDGES[edge])


def test_equivalence_uses_up_its_level():
    # One kind of labels and little noise: the rate is the level itself.
    students = simulated.draw(draws(3), 4000, 10, NULL[:1, :3] + [0, 1, 0.5], sd=0.4)
    for family in (simulated.choice(students)[1], simulated.tested(students)):
        rate = family.wrongly_small().mean()
        assert 0.02 < rate < limit(LEVEL, 4000)


def test_luck_that_is_on_both_splits_shows_nothing():
    """Where all is luck, the usual error of picked arms would fail this."""
    students = simulated.draw(draws(4), 2000, 10, NULL[:1], luck=1.0)
    family, _ = simulated.choice(students)
    assert family.wrongly_shown().mean() < limit(LEVEL, 2000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulated, "jackknife", lambda *arguments: 0.0)
        usual, _ = simulated.choice(students)
    assert usual.wrongly_shown().mean() > 3 * LEVEL


@pytest.mark.parametrize(
    ("mean", "sd", "family"), [(2.0, 3.0, 1), (1.5, 6.0, 3), (0.3, 1.5, 1), (0, 2.0, 2)]
)
def test_as_many_seeds_as_are_named_decide_four_of_five(mean, sd, family):
    values = draws(5).normal(size=5)
    values = mean + sd * (values - values.mean()) / values.std(ddof=1)
    (found, *_) = judged([contrast("", "hard", values)] * family)
    assert found.state == UNDECIDED and found.needed > 5

    def decided(n):
        drawn = draws(6).normal(mean, sd, (20_000, n))
        error = drawn.std(1, ddof=1) / n**0.5
        _, p, p_small = contrasts.tests(drawn.mean(1), error, n)
        return max(np.mean(each < LEVEL / family) for each in (p, p_small))

    assert 0.79 < decided(found.needed) < 0.85
    assert decided(found.needed - 1) < 0.81


def test_no_number_of_seeds_is_named_where_it_would_be_too_large():
    # On the margin nothing shows that it is smaller, and the spread is wide.
    values = 1.0 + 40 * np.array([-1.0, 0.0, 1.0])
    assert judged([contrast("", "hard", values)])[0].needed is None


def test_what_decides_smallness_of_all_is_the_largest():
    spread = contrast("", "hard", [0.4, -1.2, 1.0, 0.2])
    largest = contrast("", "hard", [0.9, -0.9, 1.7, 0.3])
    alone, bound = (judged([spread], [each])[0] for each in (spread, largest))
    assert alone.needed < bound.needed


@pytest.mark.slow
def test_seeds_named_by_ten_decide_more_often_than_not():
    """From ten seeds that did not decide: fresh ones, as many as they named."""
    generator, decided = draws(7), []
    for effect in generator.normal(0, 2.0, 2000):
        (first,) = judged([contrast("", "hard", generator.normal(effect, 3.0, 10))])
        if first.needed:
            fresh = generator.normal(effect, 3.0, first.needed)
            decided.append(contrast("", "hard", fresh).state != UNDECIDED)
    assert 0.6 < np.mean(decided) < 0.9


def test_pairs_are_all_of_them():
    students = simulated.draw(draws(8), 3, 4, NULL[:1, :4] + [0, 2, 5, 9])
    found, widest = simulated.choice(students)
    assert (widest.truth == 9).all()
    gaps = [
        contrast("", "hard", students.test[0, 0, :, a] - students.test[0, 0, :, b])
        for a, b in itertools.combinations(range(4), 2)
    ]
    assert found.p_small[0, 0] == pytest.approx(largest_of(gaps).p_small)
