"""What the settings ask for: scoring runs, teachers, and what selections look at."""

from ddjax import distill, select
from ddjax.settings import Distill
from ddjax.stations.context import Context


def method_of(context: Context, name: str) -> select.Method:
    """Returns a selection of the settings by its name."""
    if name in context.settings.select.imported:
        return select.imported(name, context.settings.select)
    return select.METHODS[name]


def needs_of(context: Context) -> set[str]:
    """Returns what any selection or image set of the settings needs.

    Returns:
      Keys of `select.NEEDS`.
    """
    names, entries = context.settings.select.methods, context.settings.distill
    needs = {need for name in names for need in method_of(context, name).needs}
    return needs | {need for entry in entries.values() for need in needs_of_set(entry)}


def score_of_set(entry: Distill) -> str:
    """Returns the score by which an image set's method orders the pool; "": none."""
    return distill.METHODS[entry.method].score(entry)


def needs_of_set(entry: Distill) -> tuple[str, ...]:
    """Returns the keys of `select.NEEDS` that an image set's method needs."""
    score = score_of_set(entry)
    return select.SCORES[score].needs if score else ()


def teachers_of_set(entry: Distill) -> tuple[str, ...]:
    """Returns the teachers that an image set's method looks through."""
    return distill.METHODS[entry.method].teachers(entry)


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
