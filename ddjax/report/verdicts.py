"""Verdicts: what a study has shown, in words that its contrasts allow.

Three questions, each of those that the study's arms can answer: whether it matters
which images are taken, whether what the study tests is right, what labels are worth.
Every answer rests on contrasts that are named before the test accuracy is read: the
best and the worst arm are chosen by the validation of the other seeds. A verdict's
contrasts are one family of `contrasts.judged`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ddjax.report import names
from ddjax.report.contrasts import (
    MARGIN,
    SHOWN,
    SMALL,
    UNDECIDED,
    Contrast,
    all_small,
    by_others,
    contrast,
    judged,
    of_picked,
    pairs,
)
from ddjax.report.statistics import (
    FULL,
    RANDOM,
    REFERENCE,
    accuracies,
    ordered_methods,
    ordered_regimes,
)

if TYPE_CHECKING:
    import pandas as pd

HARD = "hard"
BEST, WORST, BEST_OTHER = "best", "worst", "best other"
CHOICE, TESTED, LABELS = "choice", "tested", "labels"
_FEW = 4  # kinds of labels that are named one by one


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A question, its answer, and what the answer rests on.

    Attributes:
      key: CHOICE, TESTED or LABELS.
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


class Study:
    """The students of a study as its verdicts see them.

    Attributes:
      regimes: kinds of labels, in the order of reports.
      arms: names of everything that is compared with random, without the full data.
      sensible: random and the arms that are not bad on purpose.
      tested: the arms that the study is about, () for none in particular.
      grain: points that one test image is worth, 0 if not known.
    """

    def __init__(
        self,
        members: pd.DataFrame,
        sets: Sequence[str] = (),
        test_images: int = 0,
    ):
        """Reads the accuracies.

        Args:
          members: one row a student, see `statistics`.
          sets: arms that are synthetic sets; all others are selections.
          test_images: how many there are, 0 if that is not known.

        Raises:
          InputError: see `statistics.summarise`.
        """
        self._accuracy = accuracies(members, "accuracy")
        self._validation = accuracies(members, "val_accuracy")
        self.sets = tuple(sets)
        self.grain = 100 / test_images if test_images else 0.0
        self.regimes = ordered_regimes(members["regime"])
        self.arms = [
            name
            for name in ordered_methods(members["method"])
            if name not in (RANDOM, FULL)
        ]
        good = [name for name in self.arms if not names.is_control(name)]
        self.sensible = [RANDOM, *good]
        self.tested = tuple(name for name in good if name in self.sets)
        if not self.tested:
            self.tested = tuple(name for name in good if names.is_claim(name))[:1]
        if not self.tested and len(good) == 1:
            self.tested = tuple(good)

    def accuracy(self, regime: str) -> pd.DataFrame:
        """Returns test accuracies in percent, averaged over budgets.

        Args:
          regime: under which labels.

        Returns:
          A row a seed, a column an arm; NaN where a seed lacks a budget.
        """
        return self._table(self._accuracy, regime)

    def validation(self, regime: str) -> pd.DataFrame:
        """Returns the same of the validation split."""
        return self._table(self._validation, regime)

    @staticmethod
    def _table(table: pd.DataFrame, regime: str) -> pd.DataFrame:
        own = table.loc[regime]
        means = own.groupby("seed").mean()
        complete = own.notna().groupby("seed").sum() == own.index.unique("ipc").size
        return means.where(complete)

    def best(
        self, regime: str, arms: Iterable[str], worst: bool = False
    ) -> tuple[pd.Series, str]:
        """Returns (each seed's test accuracy, the name) of the best arm on validation.

        A seed's arm is chosen by all other seeds; the name is of the arm that is chosen
        by all.

        Args:
          regime: under which labels.
          arms: to choose from.
          worst: chooses the worst instead.
        """
        accuracy, validation = self.accuracy(regime), self.validation(regime)
        table = validation[[name for name in arms if name in validation]]

        def pick(means: pd.Series) -> str:
            return means.idxmin() if worst else means.idxmax()

        chosen = by_others(table, pick)
        means = table.mean().dropna()
        name = pick(means) if len(means) else ""
        return of_picked(accuracy, chosen), name

    def of(self, regime: str, arm: str) -> pd.Series:
        """Returns each seed's test accuracy of an arm, NaN where it has none."""
        import pandas as pd

        table = self.accuracy(regime)
        return table[arm] if arm in table else pd.Series(float("nan"), table.index)


def verdicts(study: Study) -> list[Verdict]:
    """Returns the answers that a study's arms allow, in the order of reports."""
    found = [_choice(study), _tested(study), _labels(study)]
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
    first, named = {}, {}
    for regime in study.regimes:
        best, best_name = study.best(regime, study.sensible)
        worst, worst_name = study.best(regime, study.sensible, worst=True)
        spread = contrast(f"{BEST} − {WORST}", regime, best - worst, study.grain)
        table = study.accuracy(regime)
        own = table[[name for name in study.sensible if name in table]]
        p_small = all_small(pairs(own, regime, study.grain))
        first[regime] = dataclasses.replace(spread, p_small=p_small)
        named[regime] = best_name, worst_name
    spreads = _by_regime(judged([*first.values()], study.grain))
    if not _any_known(spreads.values()):
        return None
    # Where validation ranks wrongly, the spread shows nothing.
    states: dict[str, str] = {
        regime: UNDECIDED if each.state == SHOWN and each.mean < 0 else each.state
        for regime, each in spreads.items()
    }
    shown, small, open_ = (_in_state(states, s) for s in (SHOWN, SMALL, UNDECIDED))
    margin = f"{MARGIN:g} point"
    if shown:
        answer = f"Yes, under {_listed(shown)} labels."
    elif not open_:
        answer = f"Hardly: by less than {margin}."
    elif small:
        answer = (
            f"By less than {margin} under {_listed(small)} labels; else not decided."
        )
    else:
        answer = f"Not decided by {_seeds(spreads.values())}."
    sentences = []
    for regime in shown:
        best_name, worst_name = (names.title(name) for name in named[regime])
        sentences.append(
            f"under {regime} labels {best_name} does best and {worst_name} worst, "
            f"{_size(spreads[regime])} points apart"
        )
    for regime in small:
        sentences.append(f"under {regime} labels any two lie within {margin}")
    for regime in open_:
        sentences.append(
            f"under {regime} labels best to worst is {_signed(spreads[regime])}"
            f"{_until(spreads[regime])}"
        )
    what = "set is taken" if study.sets else "images are kept"
    return Verdict(
        CHOICE,
        f"Does it matter which {what}?",
        answer,
        _sentences(sentences),
        tuple(spreads.values()),
        states,
    )


def _tested(study: Study) -> Verdict | None:
    """Whether what the study tests is right, against random and against the best."""
    if not study.tested:
        return None
    others = [n for n in study.sensible if n not in (RANDOM, *study.tested)]
    family, named = [], {}
    for regime in study.regimes:
        own, name = study.best(regime, study.tested)
        rival, rival_name = study.best(regime, others) if others else (None, "")
        named[regime] = name, rival_name
        gap = own - study.of(regime, RANDOM)
        family.append(contrast(f"tested − {RANDOM}", regime, gap, study.grain))
        if rival_name:
            gap = own - rival
            family.append(contrast(f"tested − {BEST_OTHER}", regime, gap, study.grain))
    found = judged(family, study.grain)
    to_random = _by_regime(each for each in found if each.name.endswith(RANDOM))
    to_best = _by_regime(each for each in found if each.name.endswith(BEST_OTHER))
    if not _any_known(to_random.values()):
        return None
    first = study.regimes[0]
    main, rival = to_random[first], to_best.get(first)
    title, other = (names.title(name) for name in named[first])
    what = title if len(study.tested) == 1 else f"the best set ({title})"
    under = f"under {first} labels"
    behind = rival is not None and rival.sign < 0 and rival.state == SHOWN
    if main.state == SMALL:
        answer = f"It is worth what random is, to less than {MARGIN:g} point, {under}."
        if behind:
            answer = (
                f"No: within {MARGIN:g} point of random and behind {other} {under}."
            )
    elif main.sign < 0:
        answer = f"No: it loses to random {under}."
    elif main.sign > 0 and (rival is None or rival.sign > 0):
        answer = f"Yes {under}."
    elif main.sign > 0 and behind:
        answer = f"In part: better than random {under}, but {other} is better still."
    elif main.sign > 0:
        answer = f"Better than random {under}; not shown to be the best."
    elif behind:
        answer = f"Not the best: {other} is better {under}."
    else:
        answer = f"Not decided by {main.n} seeds {under}."
    sentences = []
    for regime in study.regimes:
        each, best = to_random[regime], to_best.get(regime)
        if not each.n:
            continue
        who = f" of {names.title(named[regime][0])}" if len(study.tested) > 1 else ""
        text = f"under {regime} labels the gap{who} to random is {_signed(each)}"
        text += _meaning(each)
        if best is not None and best.n:
            rival_name = names.title(named[regime][1])
            text += (
                f", to {rival_name}, the best other, {_signed(best)}{_meaning(best)}"
            )
        sentences.append(text)
    question = f"Is {what} the right choice?"
    if study.sets:
        question = f"Is {what} worth more than real images?"
    states = {regime: each.state for regime, each in to_random.items()}
    return Verdict(TESTED, question, answer, _sentences(sentences), (*found,), states)


def _labels(study: Study) -> Verdict | None:
    """What labels are worth, on the same random images."""
    base = HARD if HARD in study.regimes else REFERENCE
    others = [regime for regime in study.regimes if regime != base]
    if base not in study.regimes or not others:
        return None
    of_base, last = study.of(base, RANDOM), others[-1]
    family = [
        contrast(
            f"{RANDOM}: labels − {base}",
            regime,
            study.of(regime, RANDOM) - of_base,
            study.grain,
        )
        for regime in others
    ]
    selections = [n for n in study.sensible if n not in (RANDOM, *study.sets)]
    best_name = ""
    if selections:
        best, best_name = study.best(base, selections)
        gap = study.of(last, RANDOM) - best
        family += [
            contrast(f"{BEST} − {RANDOM}", base, best - of_base, study.grain),
            contrast(f"{RANDOM} − {BEST} with {base}", last, gap, study.grain),
        ]
    found = judged(family, study.grain)
    gains = _by_regime(found[: len(others)])
    known = {regime: each for regime, each in gains.items() if each.n > 1}
    if not known:
        return None
    better = [each for each in known.values() if each.sign > 0 and each.state == SHOWN]
    if better:
        most = max(better, key=lambda each: each.mean)
        upto = "Up to " if len(better) > 1 else ""
        answer = (
            f"{upto}{most.mean:.1f} points: {most.regime} against {base} labels, same "
            "random images."
        )
    elif all(each.state == SMALL for each in known.values()):
        answer = f"Less than {MARGIN:g} point against {base} labels."
    elif all(each.sign < 0 for each in known.values()):
        answer = f"They cost accuracy: {base} labels do better on random images."
    elif any(each.state != UNDECIDED for each in known.values()):
        answer = f"None is shown to be worth more than {base} labels."
    else:
        answer = f"Not decided by {_seeds(known.values())}."
    sentences = [f"against {base} labels, on random images: {_grouped(known)}"]
    if best_name:
        gain, direct = found[-2:]
        sentences.append(
            f"under {base} labels the gap of {names.title(best_name)}, the best choice "
            f"of images, to random is {_signed(gain)}{_meaning(gain)}"
        )
        if direct.n > 1:
            meaning = {
                1: "these labels are worth more than the choice",
                -1: "the choice is worth more than these labels",
                0: f"neither is shown to be worth more{_until(direct)}",
            }[direct.sign]
            sentences.append(
                f"random images with {last} labels against that: {_signed(direct)}, so "
                f"{meaning}"
            )
    return Verdict(
        LABELS,
        "What are the labels worth?",
        answer,
        _sentences(sentences),
        tuple(found),
        {regime: each.state for regime, each in gains.items()},
    )


def _grouped(gains: dict[str, Contrast]) -> str:
    """Gains of kinds of labels: each by itself, or of many what is shown."""
    if len(gains) <= _FEW:
        return "; ".join(
            f"{regime} {_signed(each)}{_meaning(each)}"
            for regime, each in gains.items()
        )
    parts = []
    for word, wanted in (
        ("shown better", lambda each: each.state == SHOWN and each.mean > 0),
        ("shown worse", lambda each: each.state == SHOWN and each.mean < 0),
        (f"less than {MARGIN:g} point apart", lambda each: each.state == SMALL),
    ):
        of_kind = [f"{r} {_signed(each)}" for r, each in gains.items() if wanted(each)]
        if of_kind:
            parts.append(f"{word}: {_listed(of_kind)}")
    left = sum(each.state == UNDECIDED for each in gains.values())
    if left:
        parts.append(f"not decided: {left} of {len(gains)}")
    return "; ".join(parts)


def _by_regime(found: Iterable[Contrast]) -> dict[str, Contrast]:
    return {each.regime: each for each in found}


def _any_known(found: Iterable[Contrast]) -> bool:
    return any(each.n > 1 for each in found)


def _in_state(states: dict[str, str], state: str) -> list[str]:
    return [regime for regime, found in states.items() if found == state]


def _seeds(found: Iterable[Contrast]) -> str:
    return f"{max(each.n for each in found)} seeds"


def _size(found: Contrast) -> str:
    return f"{abs(found.mean):.1f} ±{found.half_width:.1f}"


def _signed(found: Contrast) -> str:
    if found.n < 2:
        return f"{names.signed(found.mean)} (one seed)"
    return f"{names.signed(found.mean)} ±{found.half_width:.1f}"


def _meaning(found: Contrast) -> str:
    """What a contrast shows, in brackets behind its numbers."""
    if found.n < 2:
        return ""
    if found.state == SMALL:
        return f" (less than {MARGIN:g})"
    return " (shown)" if found.state == SHOWN else _until(found)


def _until(found: Contrast) -> str:
    if found.n < 2:
        return ""
    if found.needed is None:
        return " (not decided)"
    return f" (not decided; about {found.needed} seeds would)"


def _sentences(clauses: Sequence[str]) -> str:
    return " ".join(f"{clause[0].upper()}{clause[1:]}." for clause in clauses)


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words[:-1]) + (" and " if len(words) > 1 else "") + words[-1]
