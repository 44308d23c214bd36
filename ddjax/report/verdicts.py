"""Verdicts: what a study has shown, in words that its contrasts allow.

Four questions, each of those that the study's arms can answer: whether it matters
which images are taken, whether what the study tests is right, what labels are worth,
how many images are enough.
Every answer rests on contrasts that are named before the test accuracy is read: the
best and the worst arm are picked by the validation of the other seeds. A verdict's
contrasts are one family of Holm's correction.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from ddjax.report import names
from ddjax.report.contrasts import (
    MARGIN,
    SHOWN,
    SMALL,
    UNDECIDED,
    Contrast,
    judged,
    largest_of,
)
from ddjax.report.statistics import FULL, RANDOM, REFERENCE
from ddjax.report.study import Side, Study

HARD = "hard"
BEST, WORST, BEST_OTHER = "best", "worst", "best other"
CHOICE, TESTED, LABELS, ENOUGH = "choice", "tested", "labels", "enough"
_SIZES = 3  # budgets from which on it is worth a question how many images are enough
_FEW = 4  # clauses and kinds of labels that are named one by one
_MARGIN = f"{MARGIN:g} point"
# Numbers of seeds that a text names: one that would decide is rounded up to these.
_ROUND = (5, 10, 15, 20, 30, 40, 50, 75, 100, 150, 200, 300, 500, 750, 1000)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A question, its answer, and what the answer rests on.

    Attributes:
      key: CHOICE, TESTED, LABELS or ENOUGH.
      question: in words.
      answer: in a few words.
      text: one to three sentences with the numbers.
      contrasts: in the order of kinds of labels.
      states: kind of labels -> SHOWN, SMALL or UNDECIDED, of the contrast that the
        answer is about.
    """

    key: str
    question: str
    answer: str
    text: str
    contrasts: tuple[Contrast, ...]
    states: dict[str, str]


def verdicts(study: Study) -> list[Verdict]:
    """Returns the answers that a study's arms allow, in the order of reports."""
    found = [_choice(study), _tested(study), _labels(study), _enough(study)]
    return [verdict for verdict in found if verdict is not None]


def as_json(verdict: Verdict) -> dict[str, Any]:
    """Returns a verdict as JSON values: points, and a state a kind of labels."""
    return dataclasses.asdict(verdict) | {
        "contrasts": [
            {
                "name": each.name,
                "regime": each.regime,
                "mean": each.mean,
                "ci95": each.half_width,
                "n": each.n,
                "p_holm": each.p,
                "p_smaller_than_margin_holm": each.p_small,
                "margin": MARGIN,
                "state": each.state,
                "comparisons": each.family,
                "seeds_needed": each.needed,
                "values": list(each.values),
            }
            for each in verdict.contrasts
        ]
    }


def _choice(study: Study) -> Verdict | None:
    """Whether it matters which images are taken."""
    if len(study.sensible) < 3:
        return None
    spreads, largest, ends = [], [], {}
    for regime in study.regimes:
        best = study.side(regime, study.sensible)
        worst = dataclasses.replace(best, worst=True)
        if len(best.arms) < 2:
            continue
        spreads.append(study.contrast(f"{BEST} − {WORST}", best, worst))
        ends[regime] = [names.title(study.name(side)) for side in (best, worst)]
        sides = [Side(regime, (arm,)) for arm in best.arms]
        gaps = [study.contrast("", *pair) for pair in itertools.combinations(sides, 2)]
        largest.append(largest_of(gaps))
    found = [each for each in judged(spreads, largest) if each.n]
    if not found:
        return None
    # Where validation ranks wrongly, the spread shows nothing.
    states: dict[str, str] = {
        each.regime: UNDECIDED if each.state == SHOWN and each.mean < 0 else each.state
        for each in found
    }
    shown, small, open_ = (
        [each for each in found if states[each.regime] == state]
        for state in (SHOWN, SMALL, UNDECIDED)
    )
    under = {
        state: _kinds([regime for regime in states if states[regime] == state])
        for state in (SHOWN, SMALL)
    }
    if shown:
        answer = f"Yes, under {under[SHOWN]}."
    elif not open_:
        answer = f"Hardly: by less than {_MARGIN}."
    elif small:
        answer = f"By less than {_MARGIN} under {under[SMALL]}; else not decided."
    else:
        answer = f"Not decided by {_seeds(found)}."
    clauses = []
    if shown:
        apart = [
            f"{_size(each)} points under {each.regime} labels, from "
            f"{' down to '.join(ends[each.regime])}"
            for each in shown
        ]
        clauses.append(f"best to worst by validation: {_several(apart)}")
    if small:
        clauses.append(f"any two lie within {_MARGIN} under {under[SMALL]}")
    if open_:
        apart = [
            f"{_signed(each)} under {each.regime} labels"
            + (_until(each) if each.sign >= 0 else " (validation ranks them wrongly)")
            for each in open_
        ]
        start = "it is " if shown else "best to worst by validation: "
        clauses.append(start + _several(apart))
    question = "Does it matter which images are kept?"
    if study.sets:
        question = "Does it matter which images a student gets?"
    return Verdict(CHOICE, question, answer, _text(clauses), (*found,), states)


def _tested(study: Study) -> Verdict | None:
    """Whether what the study tests is right, against random and against the best."""
    others = [n for n in study.sensible if n not in (RANDOM, *study.tested)]
    family, named = [], {}
    for regime in study.regimes:
        own, rival = study.side(regime, study.tested), study.side(regime, others)
        random = study.side(regime, (RANDOM,))
        gap = study.contrast(f"tested − {RANDOM}", own, random)
        if not gap.n:
            continue
        family.append(gap)
        named[regime] = study.name(own), study.name(rival)
        if rival.arms:
            family.append(study.contrast(f"tested − {BEST_OTHER}", own, rival))
    if not family:
        return None
    found = judged(family)
    to_random = {e.regime: e for e in found if e.name.endswith(RANDOM)}
    to_best = {e.regime: e for e in found if e.name.endswith(BEST_OTHER) and e.n}
    classes = {
        regime: _class(gap, to_best.get(regime)) for regime, gap in to_random.items()
    }
    several = len(study.tested) > 1
    whose = {
        regime: f"{names.title(own)} under {regime} labels " if several else ""
        for regime, (own, _) in named.items()
    }
    gaps = [
        f"{whose[regime] or f'{regime} '}{_signed(each)}{_meaning(each)}"
        for regime, each in to_random.items()
    ]
    clauses = [f"against random, in points: {_several(gaps)}"]
    rivals = {regime: names.title(rival) for regime, (_, rival) in named.items()}
    if to_best:
        known = {rivals[regime] for regime in to_best}
        start = f"{min(known)}, the best other" if len(known) == 1 else "the best other"
        gaps = [
            f"{regime}{f', to {rivals[regime]},' if len(known) > 1 else ''} "
            f"{_signed(each)}{_meaning(each)}"
            for regime, each in to_best.items()
        ]
        clauses.append(f"against {start} by validation: {_several(gaps)}")
    title = names.title(study.tested[0])
    question = f"Is {title} the right choice?"
    if study.sets:
        what = "a synthetic set" if several else title
        question = f"Is {what} worth more than real images?"
    return Verdict(
        TESTED,
        question,
        _tested_answer(classes, rivals, _seeds(found)),
        _text(clauses),
        (*found,),
        {regime: each.state for regime, each in to_random.items()},
    )


# What a tested arm is under some labels -> the words that begin an answer, and an
# answer's words.
_CLASSES = {
    "ahead": ("Yes", "better than random and the best other"),
    "level": ("Yes", f"better than random and within {_MARGIN} of the best other"),
    "better": ("Yes", "better than random"),
    "open to others": ("In part", "better than random, not shown to be the best"),
    "passed": ("In part", "better than random, but behind {other}"),
    "worse": ("No", "worse than random"),
    "small": ("No", f"within {_MARGIN} of random"),
    "small and behind": ("No", f"within {_MARGIN} of random and behind {{other}}"),
    "behind": ("No", "behind {other}"),
    "open": ("", "not decided by {seeds}"),
}


def _class(gap: Contrast, rival: Contrast | None) -> str:
    """What the contrasts to random and to the best other make of a tested arm."""
    behind = rival is not None and rival.sign < 0 and rival.state == SHOWN
    if gap.state == SMALL:
        return "small and behind" if behind else "small"
    if gap.sign < 0:
        return "worse"
    if not gap.sign:
        return "behind" if behind else "open"
    if rival is None:
        return "better"
    if rival.state == SMALL:
        return "level"
    return {1: "ahead", 0: "open to others", -1: "passed"}[rival.sign]


def _tested_answer(classes: dict[str, str], rivals: dict[str, str], seeds: str) -> str:
    """An answer of parts, the first kinds of labels first, but what is open last."""
    parts: dict[str, list[str]] = {}
    for regime, found in sorted(classes.items(), key=lambda item: item[1] == "open"):
        parts.setdefault(found, []).append(regime)
    said = []
    for found, regimes in parts.items():
        other = {rivals[regime] for regime in regimes}
        words = _CLASSES[found][1].format(
            other=min(other) if len(other) == 1 else "the best other", seeds=seeds
        )
        everywhere = len(parts) == 1 and found == "open"
        said.append(words if everywhere else f"{words} under {_kinds(regimes)}")
    starts = {_CLASSES[found][0] for found in parts} - {""}
    start = min(starts, default="") if len(starts) < 2 else "In part"
    return _text([(f"{start}: " if start else "") + "; ".join(said)])


def _labels(study: Study) -> Verdict | None:
    """What labels are worth, on the same random images."""
    base = HARD if HARD in study.regimes else REFERENCE
    others = [regime for regime in study.regimes if regime != base]
    if base not in study.regimes or not others:
        return None
    random = {r: study.side(r, (RANDOM,)) for r in study.regimes}
    gains = [
        study.contrast(f"{RANDOM}: labels − {base}", random[r], random[base])
        for r in others
    ]
    last = REFERENCE if REFERENCE in others else others[-1]
    selections = [n for n in study.sensible if n not in (RANDOM, *study.sets)]
    best = study.side(base, selections)
    choice = [
        study.contrast(f"{BEST} − {RANDOM}", best, random[base]),
        study.contrast(f"{RANDOM} − {BEST} with {base}", random[last], best),
    ]
    found = judged([each for each in gains + choice if each.n])
    known = [each for each in found if each.name.endswith(f"labels − {base}")]
    if not known:
        return None
    clauses = [f"against {base} labels on random images, in points{_grouped(known)}"]
    gain, direct = (
        next((e for e in found if e.name == each.name), each) for each in choice
    )
    title = names.title(study.name(best))
    if gain.n:
        clauses.append(
            f"{title}, the best selection by validation, against random under {base} "
            f"labels: {_signed(gain)}{_meaning(gain)}"
        )
    if direct.n:
        clauses.append(
            f"random with {last} labels against {title} with {base} labels: "
            f"{_signed(direct)}{_meaning(direct)}{_so(known, last, gain, direct)}"
        )
    return Verdict(
        LABELS,
        "What are the labels worth?",
        _labels_answer(study, known, base),
        _text(clauses),
        tuple(found),
        {each.regime: each.state for each in known},
    )


def _enough(study: Study) -> Verdict | None:
    """From which budget on random images are worth the full data, at equal passes."""
    if len(study.ipcs) < _SIZES:
        return None
    cells = {
        (regime, ipc): study.contrast(
            f"{RANDOM} − {FULL}, IPC {ipc}",
            study.side(regime, (RANDOM,)),
            study.side(regime, (FULL,)),
            ipc,
        )
        for regime in study.regimes
        for ipc in study.ipcs
    }
    cells = {place: each for place, each in cells.items() if each.n}
    if not cells:
        return None
    found = dict(zip(cells, judged([*cells.values()]), strict=True))
    states, words, clauses = {}, {}, []
    for regime in dict.fromkeys(regime for regime, _ in found):
        gaps = {ipc: each for (of, ipc), each in found.items() if of == regime}
        last, least = max(gaps), None
        for ipc in sorted(gaps, reverse=True):
            if gaps[ipc].state != SMALL and not gaps[ipc].sign > 0:
                break
            least = ipc
        states[regime] = SMALL if least else gaps[last].state
        if least:
            words[regime] = f"{least} images a class" + " or fewer" * (
                least == min(gaps)
            )
        elif states[regime] == SHOWN:
            words[regime] = f"more than {last} images a class"
        else:
            words[regime] = "not decided"
        named = [ipc for ipc in sorted({min(gaps), least or last, last})]
        behind = [f"{_signed(gaps[i])} at {i}{_meaning(gaps[i])}" for i in named]
        clauses.append(f"{regime}: {_several(behind)}")
    parts: dict[str, list[str]] = {}
    for regime, text in words.items():
        parts.setdefault(text, []).append(regime)
    answer = "; ".join(f"{text} under {_kinds(of)}" for text, of in parts.items())
    start = (
        f"random images against the full data at equal image passes, within {_MARGIN}"
    )
    return Verdict(
        ENOUGH,
        "How many images are enough?",
        _text([answer]),
        _text([f"{start}: {_several(clauses)}"]),
        tuple(found.values()),
        states,
    )


def _so(known: Sequence[Contrast], last: str, gain: Contrast, direct: Contrast) -> str:
    """What follows for labels and choice, where one of them gains."""
    by_labels = next((each.sign for each in known if each.regime == last), 0)
    if direct.state == SHOWN and direct.sign > 0 and by_labels > 0:
        return ", so labels are worth more than the choice"
    if direct.state == SHOWN and direct.sign < 0 and gain.sign > 0:
        return ", so the choice is worth more than labels"
    return ""


def _labels_answer(study: Study, known: Sequence[Contrast], base: str) -> str:
    shown = [each for each in known if each.state == SHOWN]
    better = [each for each in shown if each.sign > 0]
    if better:
        # The test accuracy has no part in which of them is named.
        most = max(better, key=lambda each: study.validated(each.regime, RANDOM))
        return (
            f"{_signed(most)} points: {most.regime} against {base} labels, on the same "
            "random images."
        )
    if all(each.state == SMALL for each in known):
        return f"Less than {_MARGIN} against {base} labels."
    if shown:
        start = "No gain is shown"
        if len(shown) == len(known):
            start = "They cost accuracy"
        return (
            f"{start}: {_kinds([each.regime for each in shown])} are worse than {base} "
            "labels on the same random images."
        )
    if all(each.state == UNDECIDED for each in known):
        return f"Not decided by {_seeds(known)}."
    return f"None is shown to be worth more than {base} labels."


def _grouped(gains: Sequence[Contrast]) -> str:
    """The end of a sentence: gains of each kind of labels, or of many what is shown."""
    if len(gains) <= _FEW:
        each = [f"{gain.regime} {_signed(gain)}{_meaning(gain)}" for gain in gains]
        return f": {'; '.join(each)}"
    parts = []
    for word, wanted in (
        ("shown better", lambda each: each.state == SHOWN and each.mean > 0),
        ("shown worse", lambda each: each.state == SHOWN and each.mean < 0),
        (f"less than {_MARGIN} apart", lambda each: each.state == SMALL),
    ):
        of_kind = [each for each in gains if wanted(each)]
        if of_kind:
            words = [f"{each.regime} {_signed(each)}" for each in of_kind]
            parts.append(f"{word}: {_several(words, ', ')}")
    left = [each for each in gains if each.state == UNDECIDED]
    if left:
        parts.append(f"not decided: {len(left)} of {len(gains)}{_until_half(left)}")
    return f", {'; '.join(parts)}"


def _until_half(left: Sequence[Contrast]) -> str:
    needed = sorted(each.needed for each in left if each.needed)
    half = (len(left) + 1) // 2
    if len(needed) < half:
        return ""
    some = "it" if len(left) == 1 else "half of these"
    return f" (about {_rounded(needed[half - 1])} seeds would decide {some})"


def _seeds(found: Iterable[Contrast]) -> str:
    n = max(each.n for each in found)
    return f"{n} seeds" if n > 1 else "1 seed"


def _size(found: Contrast) -> str:
    return f"{abs(found.mean):.1f} ±{found.half_width:.1f}"


def _signed(found: Contrast) -> str:
    if found.n < 2:
        return f"{names.signed(found.mean)} (one seed)"
    return f"{names.signed(found.mean)} ±{found.half_width:.1f}"


def _meaning(found: Contrast) -> str:
    """What a contrast shows, in brackets behind its numbers."""
    if found.state == SMALL:
        return f" (less than {_MARGIN})"
    return " (shown)" if found.state == SHOWN else _until(found)


def _until(found: Contrast) -> str:
    """That a contrast is not decided, in brackets, and what would decide it."""
    if found.n < 2:
        return ""
    words = "not decided"
    if found.state == UNDECIDED and found.excludes_zero:
        words = f"not shown among {found.family} comparisons"
    if found.needed is None:
        return f" ({words})"
    return f" ({words}; about {_rounded(found.needed)} seeds would)"


def _rounded(seeds: int) -> int:
    return next(each for each in _ROUND if each >= seeds)


def _kinds(regimes: Sequence[str]) -> str:
    """Such as "hard and soft labels", or of many how many they are."""
    if len(regimes) > _FEW:
        return f"{len(regimes)} kinds of labels"
    return f"{_listed(regimes)} labels"


def _several(clauses: Sequence[str], comma: str = "; ") -> str:
    """Joins clauses, of many the first ones."""
    left = len(clauses) - _FEW
    if left <= 1:
        return comma.join(clauses)
    return f"{comma.join(clauses[:_FEW])}{comma}and {left} more"


def _text(clauses: Sequence[str]) -> str:
    return " ".join(f"{clause[0].upper()}{clause[1:]}." for clause in clauses)


def _listed(words: Sequence[str]) -> str:
    return " and ".join(each for each in (", ".join(words[:-1]), *words[-1:]) if each)
