"""Selection by rank of a score: an end of the ranking, or a window inside it."""

import dataclasses
import math

import numpy as np

from ddjax.declare import setting
from ddjax.errors import InputError
from ddjax.scores import SCORES
from ddjax.select.budget import collect, groups, values_for
from ddjax.select.selection import Selection


def top(
    scores, labels, per_class: int, largest: bool = True, balanced: bool = True
) -> np.ndarray:
    """The examples with the largest scores; ties go to the lower id.

    Args:
      scores: [N] float, infinities allowed.
      labels: [N] int, classes 0..C-1.
      per_class: budget of a class.
      largest: False takes the smallest scores instead.
      balanced: exactly `per_class` of every class; otherwise `per_class * C` in all.

    Returns:
      Sorted int32 example ids.

    Raises:
      InputError: if the labels do not cover 0..C-1, the budget is impossible, or the
        scores are not one number per example.
    """
    pools = groups(labels, per_class, balanced)
    scores_N = values_for(labels, scores, "scores")
    ascending_N = -scores_N if largest else scores_N
    return collect([_easiest(ascending_N, ids)[:count] for ids, count in pools])


def window(
    scores, labels, per_class: int, start: float, balanced: bool = True
) -> np.ndarray:
    """Consecutive ranks of difficulty: neither all easy nor all hard.

    In each class, examples are ordered from the lowest score to the highest, ties by
    id. Of a class of n examples the ranks r .. r + per_class - 1 are taken with
    r = round(start * (n - per_class)), halves to the even rank.

    Args:
      scores: [N] float, higher is harder, infinities allowed.
      labels: [N] int, classes 0..C-1.
      per_class: budget of a class.
      start: place of the window in [0, 1]: 0 the easiest, 1 the hardest.
      balanced: windows inside each class; otherwise one of `per_class * C` examples in
        the order of all.

    Returns:
      Sorted int32 example ids.

    Raises:
      InputError: if the labels do not cover 0..C-1, the budget is impossible, the
        scores are not one number per example, or `start` is outside [0, 1].
    """
    pools = groups(labels, per_class, balanced)
    scores_N = values_for(labels, scores, "scores")
    if not 0 <= start <= 1:
        raise InputError(f"start: {start}, expected a number from 0 to 1")
    chosen = []
    for ids, count in pools:
        first = round(start * (len(ids) - count))
        chosen.append(_easiest(scores_N, ids)[first : first + count])
    return collect(chosen)


def best_window(candidates: dict, accuracies: dict) -> float:
    """The start of the window whose student does best on validation data.

    Args:
      candidates: start -> example ids, the windows that were tried.
      accuracies: start -> accuracy on a validation split, higher is better.

    Returns:
      The start with the highest accuracy; of equal ones the easiest.

    Raises:
      InputError: if there is no candidate, or the accuracies are not one finite number
        for every candidate.
    """
    if not candidates:
        raise InputError("best_window: there are no candidates")
    if set(candidates) != set(accuracies):
        raise InputError(
            f"best_window: candidates start at {sorted(candidates)}, but accuracies "
            f"were given for {sorted(accuracies)}"
        )
    for start, accuracy in accuracies.items():
        if not math.isfinite(accuracy):
            raise InputError(f"best_window: accuracy {accuracy} at start {start}")
    return max(sorted(candidates), key=accuracies.__getitem__)


def _easiest(scores_N, ids):
    """The ids from the lowest score to the highest, ties by id."""
    return ids[np.argsort(scores_N[ids], kind="stable")]


def highest(score: str) -> Selection:
    """Declares the selection of a score's highest values.

    Args:
      score: its name in `scores.SCORES`.
    """
    return Selection(
        function=top,
        title=SCORES[score].title,
        summary=f"The highest of: {SCORES[score].summary}",
        score=score,
    )


def hardest(score: str) -> Selection:
    """Declares `highest` as a control: the hardest images teach a small set little."""
    title = f"{SCORES[score].title} hardest"
    return dataclasses.replace(highest(score), title=title, control=True)


def lowest(score: str) -> Selection:
    """Declares the selection of a score's lowest values; argument as of `highest`."""
    return Selection(
        function=top,
        title=f"{SCORES[score].title} easiest",
        summary=f"The lowest of: {SCORES[score].summary}",
        choose=lambda inputs, per_class, values: top(
            values, inputs.labels, per_class, largest=False
        ),
        score=score,
    )


def imported(name: str, *, subset: bool, largest: bool = True) -> Selection:
    """Declares a selection whose scores or ids are in `inputs.imported`.

    Args:
      name: its key there.
      subset: whether they are example ids, which are the selection.
      largest: whether the highest scores are selected, else the lowest.
    """

    def choose(inputs, per_class):
        values = inputs.imported[name]
        if subset:
            return values
        return top(values, inputs.labels, per_class, largest=largest)

    return Selection(function=top, title=name, choose=choose)


@dataclasses.dataclass(frozen=True)
class CadPruneOptions:
    """Options of CAD-Prune."""

    keep: str = setting(
        "highest",
        "Which end of CAD is kept. The paper does not state it; the "
        "highest are those that still fluctuate at the end of a run of a student's "
        "length.",
        ("highest", "lowest"),
    )


def cad_prune(score: str) -> Selection:
    """Declares CAD-Prune by a score in `scores.SCORES` that is a reading of CAD."""

    def choose(inputs, per_class, values):
        largest = inputs.options_of(CadPruneOptions).keep == "highest"
        return top(values, inputs.labels, per_class, largest=largest)

    return Selection(
        function=top,
        title=SCORES[score].title.replace("CAD", "CAD-Prune"),
        claim=True,
        summary=f"CAD-Prune, the highest or the lowest of {score}.",
        choose=choose,
        score=score,
        options=CadPruneOptions,
    )


@dataclasses.dataclass(frozen=True)
class WindowOptions:
    """Options of a search of windows."""

    starts: tuple[float, ...] = setting(
        (0.0, 0.25, 0.5, 0.75),
        "Where the windows start that are tried, as fractions of a class from its "
        "easiest image on.",
        "[0, 1]",
        counts="[1, 1000]",
    )


EL2N_BEST_WINDOW = Selection(
    function=window,
    title="EL2N best window",
    summary="The window of el2n whose students do best on validation images.",
    score="el2n",
    options=WindowOptions,
    starts=lambda options: options.starts,
)
