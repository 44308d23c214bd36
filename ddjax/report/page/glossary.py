"""The words of a page that not everyone knows, in the order of their explanation."""

from ddjax.report.page.grid import Grid
from ddjax.report.page.record import Record
from ddjax.report.statistics import FULL

_WORDS = {
    "IPC": "Images per class: how many of each class a student is trained on.",
    "student, teacher": (
        "The network trained on the small set; the network, trained on all images, "
        "whose probabilities are the soft labels."
    ),
    "hard labels": "The class of each image.",
    "soft labels": "The teacher’s probabilities of each image, the same every epoch.",
    "soft_kd labels": "The teacher’s probabilities of each augmented view.",
    "random": "As many images of each class, drawn at random.",
    "full data": (
        "All training images, with as many image passes as the student of a subset."
    ),
    "gap": (
        "Test accuracy minus that of random images with the same seed, budget and "
        "labels, in percentage points."
    ),
    "±": "Half the width of a 95 % interval of Student’s t over the seeds.",
    "shown": (
        "A t test at 5 % finds a difference, after Holm’s correction for the others "
        "that are compared with it."
    ),
    "smaller than 1 point": (
        "Two one-sided t tests at 5 % find the difference within ±1 point, after "
        "Holm’s correction. This is evidence that it does not matter."
    ),
    "not decided": "Neither of the two. More seeds may decide it.",
    "Holm’s correction": (
        "Raises p values until the chance of one false finding among all that are "
        "compared is at most 5 %."
    ),
    "best on validation": (
        "The arm with the highest mean validation accuracy. Test accuracy has no part "
        "in the choice."
    ),
    "bad on purpose": (
        "Selections that keep the hardest or least certain images. They are shown, "
        "but count for no spread."
    ),
    "synthetic set": "Images that are optimised, generated or stitched together.",
    "image pass": "One image going through a network once: the unit of compute.",
    "EL2N": (
        "Distance between predicted probabilities and the class, averaged over early "
        "training. High is hard."
    ),
    "CAD, CAD-Prune": (
        "How much the probability of the class still changes at the end of a scoring "
        "run that has the student’s budget. CAD-Prune keeps the highest of each class."
    ),
}


def glossary(record: Record, grid: Grid) -> list[tuple[str, str]]:
    """Returns (word, meaning) of the words that a study's page has."""
    study, arms = record.study, set(record.study.arms)
    absent = set()
    for regime in ("hard", "soft", "soft_kd"):
        if regime not in study.regimes:
            absent.add(f"{regime} labels")
    if set(study.regimes) == {"hard"}:
        absent.add("student, teacher")
    if FULL not in set(record.members["method"]):
        absent.add("full data")
    if not any("cad" in arm for arm in arms):
        absent.add("CAD, CAD-Prune")
    if not any("el2n" in arm for arm in arms):
        absent.add("EL2N")
    if not study.sets:
        absent.add("synthetic set")
    if not arms:
        absent |= {"best on validation", "image pass"}
    if not any(row.role == "control" for row in grid.rows):
        absent.add("bad on purpose")
    return [(word, text) for word, text in _WORDS.items() if word not in absent]
