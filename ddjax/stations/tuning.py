"""Learning rates, chosen on the validation split."""

import numpy as np

from ddjax import select
from ddjax.errors import InputError
from ddjax.report.statistics import FULL, RANDOM
from ddjax.stations.evidence import subset_key
from ddjax.stations.students import Member, Outcome, Students
from ddjax.stations.subsets import judged


def tune(students: Students, regime: str, ipc: int) -> dict[str, float]:
    """Chooses the learning rates of a regime and budget on the validation split.

    One rate for all subsets, found on random ones, and one for the full data, which
    stand beside the three plain regimes only.

    Returns:
      {RANDOM: rate, FULL: rate}
    """
    context, settings = students.context, students.context.settings
    protocol, rates = settings.protocol, settings.student.learning_rates
    methods = (RANDOM, FULL) if context.labels(regime).plain else (RANDOM,)
    section = context.section
    if len(rates) == 1:
        return dict.fromkeys(methods, rates[0])
    seeds = protocol.seeds[: protocol.search_seeds]
    whole = np.arange(len(context.pool), dtype=np.int32)
    members = []
    for seed in seeds:
        key = subset_key(seed, ipc)
        positions = select.random(key, context.pool.labels, ipc)
        for rate in rates:
            members.append(Member(RANDOM, ipc, seed, rate, positions))
            if FULL in methods:
                members.append(Member(FULL, ipc, seed, rate, whole))
    outcomes = students.train(
        "tuning", regime, members, read_test=protocol.select_on == "test"
    )
    chosen = {}
    for method in methods:
        means = {rate: _mean(outcomes, method, rate, protocol) for rate in rates}
        best = max(means.values())
        ties = sorted(rate for rate in rates if means[rate] == best)
        chosen[method] = ties[len(ties) // 2]  # the middle of equally good ones
        if not np.isfinite(means[chosen[method]]):
            raise InputError(
                f"{section}.learning_rates: found {rates}, with all of which training "
                f"diverged ({method}, {regime}, IPC {ipc}); offer smaller ones"
            )
        shown = ", ".join(f"{rate:g}: {value:.1f}" for rate, value in means.items())
        context.say(
            f"learning rate, {section}, {regime}, IPC {ipc}, {method}: "
            f"{chosen[method]:g} (of {shown})"
        )
    return chosen


def _mean(outcomes: list[Outcome], method: str, rate: float, protocol) -> float:
    return float(
        np.mean(
            [
                judged(o, protocol)
                for o in outcomes
                if o.member.method == method and o.member.learning_rate == rate
            ]
        )
    )
