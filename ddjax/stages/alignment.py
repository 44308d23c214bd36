"""Whether labels and a teacher agree on the order of classes, before students train.

A few hundred images are predicted, whatever the size of the set.
"""

import math

import numpy as np

from ddjax.data.classes import Alignment, align, explained
from ddjax.data.source import Examples
from ddjax.errors import InputError
from ddjax.labels import teacher_logits
from ddjax.problem import Problem, teacher_section
from ddjax.stages.bundle import Teacher

_IMAGES = 512  # that are predicted, at most, or one of each class
_WARNING = "WARNING: "


def check_images(problem: Problem, teachers: dict[str, Teacher]) -> list[str]:
    """Compares the labels of the image set that `images` names with a teacher.

    Args:
      problem: the run, with an image set.
      teachers: of the run; without one nothing is compared.

    Returns:
      Warnings: the teacher agrees with far fewer labels than it has right
      on the source's own images.
    """
    found = problem.images
    if found is None or not teachers:
        return []
    name = "teacher" if "teacher" in teachers else next(iter(teachers))
    teacher, count = teachers[name], len(found.labels)
    places = np.arange(count, dtype=np.int32)
    examples = _sample(Examples(found.images, found.labels, places))
    own = _agreement(problem, teacher, _sample(problem.validation))
    seen = _agreement(problem, teacher, examples)
    if own.share < 2 / problem.num_classes:
        return []  # too inaccurate for a comparison
    # Beyond three standard deviations of as many images of the source's own.
    spread = 3 * math.sqrt(own.share * (1 - own.share) / len(examples.labels))
    less = own.share - seen.share
    if less <= max(spread, 0.05) or (
        seen.permutation is None and seen.share > own.share / 2
    ):
        return []
    why = explained(seen, problem.source.classes)
    text = (
        f"{_WARNING}{problem.settings.images}: the {name} agrees with the labels of "
        f"{seen.share:.1%} of its images, on the source's validation split with "
        f"{own.share:.1%}; "
        + (why or "are its classes in the source's order, its pixels of its colours?")
    )
    return [text]


def check_teacher_classes(problem: Problem, name: str, teacher: Teacher) -> list[str]:
    """Compares a teacher that was not trained here with the validation split.

    Args:
      problem: the problem.
      name: of the teacher.
      teacher: the teacher; one that was trained here needs no comparison.

    Returns:
      Warnings: another order of its classes would be right more often, or
      it is right far less often than its bundle states.

    Raises:
      InputError: its accuracy is below its settings' `accuracy`.
    """
    settings, stated = problem.teacher_settings(name), teacher.accuracy["validation"]
    measured = stated
    warnings = []
    if settings.path:
        examples = _sample(problem.validation)
        found = _agreement(problem, teacher, examples)
        own = problem.source.digest == teacher.artifact.info["source"]["digest"]
        measured = stated if settings.is_file or own else 100 * found.share
        share = stated / 100
        spread = 3 * math.sqrt(max(share * (1 - share), 0) / len(examples.labels))
        why = explained(found, problem.source.classes)
        if why:
            warnings.append(
                f"{_WARNING}{name}: has {found.share:.1%} of the validation split "
                f"right, but {why}"
            )
        elif share - found.share > max(spread, 0.05):
            warnings.append(
                f"{_WARNING}{name}: has {found.share:.1%} of this source's validation "
                f"split right, its bundle states {stated:.1f} %, of "
                f"{teacher.artifact.info['source']['name']}"
            )
    if not measured >= settings.accuracy and settings.accuracy:
        raise InputError(
            f"{teacher_section(name)}.accuracy: found {settings.accuracy:g}, but the "
            f"teacher has {measured:.1f} % of the validation split right, no student "
            "was trained; are its network, mean, std and classes those that it "
            "was trained with?" + "".join(f" {text}" for text in warnings)
        )
    return warnings


def _sample(examples: Examples) -> Examples:
    """Some of the examples, of every class about as many as of the others."""
    count, kept = len(examples.labels), max(_IMAGES, int(examples.labels.max()) + 1)
    if count <= kept:
        return examples
    # The first of every class, then the second of every class, and so on.
    order = np.argsort(examples.labels, kind="stable")
    ranked = examples.labels[order]
    rank = np.arange(count) - np.searchsorted(ranked, ranked)
    picked = order[np.argsort(rank, kind="stable")[:kept]]
    return examples.take(np.sort(picked))


def _agreement(problem: Problem, teacher: Teacher, examples: Examples) -> Alignment:
    """How far a teacher agrees with labels; it has no class where it is not finite."""
    logits = teacher_logits(
        teacher.network,
        teacher.variables,
        np.asarray(examples.images),
        problem.mean,
        problem.std,
    )
    return align(logits.argmax(axis=1), examples.labels, problem.num_classes)
