"""Embeddings: the sample that is shown, EL2N by hand, one map for all sets."""

import dataclasses
import types

import jax
import numpy as np
import pytest
import runs
import tiny

from ddjax import models
from ddjax.artifacts import Cost
from ddjax.problem import open_problem
from ddjax.report import method_styles
from ddjax.settings import from_config
from ddjax.stages import embeddings, figures
from ddjax.stages.synthetic import SyntheticSets

IPC = 2
_MAP = embeddings._map


@dataclasses.dataclass
class Teacher:
    network: models.Network
    variables: dict
    address: str = "teacher-0"


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    """(a function of sets that gives the artifact, the problem, the teacher)."""
    source = tiny.write(tmp_path_factory.mktemp("source") / "tiny.npz")
    problem = open_problem(from_config(tiny.config(source)))
    network = models.network("mlp", 3, (8, 8, 1), hidden=(8,))
    teacher = Teacher(network, network.init(jax.random.key(0)))
    folder = tmp_path_factory.mktemp("run") / "run"
    with pytest.MonkeyPatch.context() as patch:
        # t-SNE takes seconds; what is around it is tested with a map of its own.
        patch.setattr(embeddings, "_map", lambda features: features[:, :2])
        with runs.running(folder) as run:

            def embed(**sets):
                return embeddings.embed(run, problem, IPC, teacher, sets)

            yield embed, problem, teacher


def some(problem, first):
    """The images of the pool at the ten positions from `first` on."""
    return problem.pool.take(np.arange(first, first + 10))


def test_rows_are_the_sets_one_after_another(embedded):
    embed, problem, _ = embedded
    found = embed(a=some(problem, 0), b=some(problem, 30))
    assert found.info["sets"] == ["real", "a", "b"]
    sizes = np.bincount(found.arrays["set"])
    assert sizes.tolist() == [len(problem.pool), 10, 10]
    own = found.arrays["labels"][found.arrays["set"] == 2]
    assert sorted(own) == sorted(some(problem, 30).labels)
    assert np.isfinite(found.arrays["points"]).all()


def test_el2n_is_the_error_of_the_softmax(embedded):
    embed, problem, teacher = embedded
    chosen = some(problem, 0)
    found = embed(a=chosen).arrays
    shown = (chosen.images / 255.0 - np.array(problem.mean)) / np.array(problem.std)
    logits, _ = teacher.network.apply(teacher.variables, shown.astype(np.float32))
    odds = np.exp(np.asarray(logits, np.float64))
    error = odds / odds.sum(1)[:, None] - np.eye(3)[chosen.labels]
    expected = np.sqrt((error**2).sum(1))
    assert np.allclose(
        np.sort(found["el2n"][found["set"] == 1]), np.sort(expected), atol=1e-5
    )


def test_el2n_by_hand():
    logits = np.log(np.array([[1.0, 1.0], [3.0, 1.0], [1.0, 1e30]]))
    # Errors (-1/2, 1/2), (3/4, -3/4) and (-1, 1).
    expected = np.sqrt([0.5, 2 * 9 / 16, 2.0])
    assert np.allclose(embeddings._el2n(logits, np.array([0, 1, 0])), expected)


def test_equal_images_have_equal_places_in_the_map_of_all(embedded):
    embed, problem, _ = embedded
    first = embed(a=some(problem, 0), b=some(problem, 0)).arrays
    a, b = (first["points"][first["set"] == row] for row in (1, 2))
    assert np.array_equal(a, b)


def test_what_was_made_is_found_again(embedded):
    embed, problem, _ = embedded
    once, again = embed(a=some(problem, 0)), embed(a=some(problem, 0))
    assert again.reused and np.array_equal(
        once.arrays["points"], again.arrays["points"]
    )
    assert embed(a=some(problem, 1)).address != once.address
    assert embed(c=some(problem, 0)).address != once.address


def test_the_map_is_deterministic_and_keeps_clusters_apart(monkeypatch):
    monkeypatch.setattr(embeddings, "_STEPS", 250)  # the least that scikit-learn takes
    features = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    features[:20, 0] += 30.0
    points = _MAP(features)
    assert np.array_equal(points, _MAP(features)) and points.shape == (40, 2)
    first, second = points[:20], points[20:]
    apart = np.linalg.norm(first.mean(0) - second.mean(0))
    assert apart > np.linalg.norm(first - first.mean(0), axis=1).max()


def test_samples_are_spaced_and_bounded():
    assert embeddings.shown_classes(10).tolist() == list(range(10))
    assert embeddings.shown_classes(1000).tolist() == list(range(0, 1000, 50))
    labels = np.repeat([0, 1, 2], [250, 3, 9])
    chosen = embeddings._sample(labels, np.array([0, 1]))
    assert np.bincount(labels[chosen]).tolist() == [100, 3]
    assert chosen[:3].tolist() == [0, 2, 5] and chosen[99] == 247


def test_figures_show_random_one_selection_and_synthetic_sets(embedded, monkeypatch):
    embed, problem, teacher = embedded
    made = problem.with_pool(some(problem, 50), ("address",))
    seeds = problem.settings.protocol.seeds
    sets = {"mine": SyntheticSets(made, dict.fromkeys(seeds, np.arange(10)), Cost())}
    positions = {"el2n": np.arange(5), "random": np.arange(6), "cad": np.arange(7)}
    styles = method_styles([*positions, *sets])
    found = types.SimpleNamespace(
        run=None, problem=problem, sets={IPC: sets}, teachers={"teacher": teacher}
    )
    patch = lambda run, *arguments: embed(**arguments[-1])  # noqa: E731
    monkeypatch.setattr(figures, "embed", patch)
    drawn = figures._of_sets(found, IPC, positions, styles)
    (_, difficulty, first), (_, places, second) = drawn
    assert (first, second) == ("set_difficulty_ipc2", "tsne_ipc2")
    difficulty, places = difficulty(), places()
    rows = [text.get_text() for text in difficulty.axes[0].get_yticklabels()]
    real = f"real images ({len(problem.pool)})"
    assert rows == ["mine (10)", "el2n (5)", "random (6)", real]
    titles = [axes.get_title() for axes in places.axes]
    assert titles == ["random (6)", "el2n (5)", "mine (10)"]
