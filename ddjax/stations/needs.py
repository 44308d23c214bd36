"""What the settings ask for: scoring runs, teachers, and what selections look at."""

from ddjax import distill, scores, select
from ddjax.settings import Distill
from ddjax.stations.context import Context


def method_of(context: Context, name: str) -> select.Selection:
    """Returns a selection of the settings by its name."""
    entry = context.settings.select.imported.get(name)
    if entry is None:
        return select.METHODS[name]
    largest = entry.keep == "highest"
    return select.imported(name, subset=entry.subset != "", largest=largest)


def needs_of(context: Context) -> set[str]:
    """Returns what any selection or image set of the settings needs.

    Returns:
      Keys of `scores.REQUIREMENTS`.
    """
    names, entries = context.settings.select.methods, context.settings.distill
    needs = {need for name in names for need in method_of(context, name).requirements}
    return needs | {need for entry in entries.values() for need in needs_of_set(entry)}


def score_of_set(entry: Distill) -> str:
    """Returns the score by which an image set's method orders the pool; "": none."""
    own = distill.METHODS[entry.method].difficulty
    return own and (entry.difficulty or own)


def snapshots_needed(context: Context) -> int:
    """Returns how many snapshots the scores in use require of a trace."""
    settings = context.settings
    used = [method_of(context, name).score for name in settings.select.methods]
    used += map(score_of_set, settings.distill.values())
    return scores.snapshots_needed(filter(None, used), settings.select.options())


def needs_of_set(entry: Distill) -> tuple[str, ...]:
    """Returns the keys of `scores.REQUIREMENTS` that an image set's method needs."""
    score = score_of_set(entry)
    return scores.SCORES[score].requires if score else ()


def teachers_of_set(entry: Distill) -> tuple[str, ...]:
    """Returns the teachers that an image set's method looks through."""
    return entry.teachers if distill.METHODS[entry.method].asks_teacher else ()


def scoring_regimes(context: Context) -> tuple[str, ...]:
    """Returns the label regimes of the scoring runs that are needed."""
    needs, settings = needs_of(context), context.settings.select
    hard = needs & {"traces", "gradients", "grand"}
    if "features" in needs and settings.features == "trace":
        hard |= {"features"}
    return ("hard",) * bool(hard) + ("soft",) * ("soft_traces" in needs)


def asks_teacher(context: Context) -> bool:
    """Returns whether a selection needs the teacher, whatever the students' labels."""
    features = context.settings.select.features == "teacher"
    needs = needs_of(context)
    return "soft_traces" in needs or ("features" in needs and features)


def asked_teachers(context: Context) -> tuple[str, ...]:
    """Returns the teachers that anything asks; all of them without students."""
    settings = context.settings
    if not settings.regimes:
        return ("teacher", *settings.committee)
    names = [name for regime in settings.regimes for name in context.teachers(regime)]
    names += ["teacher"] * asks_teacher(context)
    for entry in settings.distill.values():
        names += teachers_of_set(entry)
    return tuple(dict.fromkeys(names))
