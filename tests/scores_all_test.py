"""What holds for every score of a trace."""

import numpy as np
import pytest

from ddjax import scores as package
from ddjax.scores import SCORES, Trace


def test_scores_names_every_score():
    others = {"SCORES", "LastLayer", "Trace", "grand", "mean_over_runs", "prototypes"}
    others |= {"snapshot", "step_kl"}
    assert set(SCORES) == set(package.__all__) - others
    for name, score in SCORES.items():
        assert getattr(package, name) is score and score.__name__ == name


@pytest.mark.parametrize("name", sorted(SCORES))
def test_scores_permute_with_the_examples(name):
    rng = np.random.default_rng(0)
    fields = {
        "true_prob": rng.uniform(size=(31, 20)),
        "el2n": rng.uniform(size=(31, 20)),
        "margin": rng.normal(size=(31, 20)),
        "entropy": rng.uniform(size=(31, 20)),
        "correct": rng.integers(0, 2, (31, 20)),
        "least_confidence": rng.uniform(size=(31, 20)),
        "second_prob": rng.uniform(size=(31, 20)),
        "step_kl": rng.uniform(size=(31, 20)),
        "el2n_sl": rng.uniform(size=(31, 20)),
    }
    order = rng.permutation(20)
    scores = SCORES[name](Trace(**fields))
    moved = SCORES[name](Trace(**{k: v[:, order] for k, v in fields.items()}))
    assert scores.shape == (20,) and scores.dtype == np.float32
    np.testing.assert_array_equal(moved, scores[order])


@pytest.mark.parametrize("name", ["el2n", "forgetting", "aum"])
def test_scores_rank_a_never_learned_example_above_a_learned_one(name):
    trace = Trace(
        el2n=[[0.1, 1.2]] * 4, margin=[[5.0, -5.0]] * 4, correct=[[True, False]] * 4
    )
    easy, hard = SCORES[name](trace)
    assert hard > easy
