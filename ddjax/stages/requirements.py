"""What the settings require: scoring runs, teachers, features, gradients."""

import dataclasses
from typing import Any

from ddjax import distill, scores, select
from ddjax.problem import Problem
from ddjax.settings import Distill


def selection_of(problem: Problem, name: str) -> select.Selection:
    """Returns a selection of the settings by its name."""
    settings = problem.settings.select
    if name in settings.variants:
        variant = settings.variants[name]
        declared = select.METHODS[variant.method]
        return dataclasses.replace(declared, title=name, own=variant.options())
    entry = settings.imported.get(name)
    if entry is None:
        return select.METHODS[name]
    largest = entry.keep == "highest"
    return select.imported(name, subset=entry.subset != "", largest=largest)


def tries(problem: Problem, name: str) -> int:
    """Returns how many windows a selection's search tries, 0 without a search."""
    options = problem.settings.select.options()
    return len(selection_of(problem, name).tried(options))


def snapshots_required(problem: Problem) -> int:
    """Returns how many snapshots the scores in use require of a trace."""
    settings = problem.settings
    usual = settings.select.options()
    used = [selection_of(problem, name) for name in settings.select.methods]
    read = [(each.score, (*each.own, *usual)) for each in used]
    read += [(score_of_set(entry), usual) for entry in settings.distill.values()]
    return max(scores.snapshots_needed([s] * bool(s), options) for s, options in read)


def requirements(problem: Problem) -> set[str]:
    """Returns what any selection or synthetic set of the settings requires.

    Returns:
      Keys of `scores.REQUIREMENTS`.
    """
    names, entries = problem.settings.select.methods, problem.settings.distill
    found = {
        each for name in names for each in selection_of(problem, name).requirements
    }
    return found.union(*map(requirements_of_set, entries.values()))


def score_of_set(entry: Distill) -> str:
    """Returns the score by which a synthetic set's method orders the pool; "": none."""
    return distill.METHODS[entry.method].score(entry)


def requirements_of_set(entry: Distill) -> tuple[str, ...]:
    """Returns the keys of `scores.REQUIREMENTS` that a synthetic set requires."""
    score = score_of_set(entry)
    return scores.SCORES[score].requires if score else ()


def teachers_of_set(entry: Distill) -> tuple[str, ...]:
    """Returns the teachers that a synthetic set's method uses."""
    return distill.METHODS[entry.method].teachers(entry)


def experts_of_set(entry: Distill) -> Any:
    """Returns how the experts of a synthetic set are trained; None: it has none."""
    return distill.METHODS[entry.method].experts(entry)


def scoring_regimes(problem: Problem) -> tuple[str, ...]:
    """Returns the label regimes of the scoring runs that are required."""
    found, settings = requirements(problem), problem.settings.select
    hard = found & {"traces", "gradients", "grand"}
    if "features" in found and settings.features == "trace":
        hard |= {"features"}
    return ("hard",) * bool(hard) + ("soft",) * ("soft_traces" in found)


def trained_regimes(problem: Problem) -> tuple[str, ...]:
    """Returns the regimes that anything is trained under."""
    return tuple(dict.fromkeys((*problem.settings.regimes, *scoring_regimes(problem))))


def required_teachers(problem: Problem) -> tuple[str, ...]:
    """Returns the teachers that anything uses; all of them without students."""
    settings, found = problem.settings, requirements(problem)
    if not settings.regimes:
        return ("teacher", *settings.ensemble)
    names = [name for regime in settings.regimes for name in problem.teachers(regime)]
    by_teacher = "features" in found and settings.select.features == "teacher"
    names += ["teacher"] * ("soft_traces" in found or by_teacher)
    for entry in settings.distill.values():
        names += teachers_of_set(entry)
    return tuple(dict.fromkeys(names))
