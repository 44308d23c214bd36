"""What verdicts say of students that are made up, word by word."""

import re

import numpy as np
import pandas as pd
import pytest
import simulated

from ddjax.errors import InputError
from ddjax.report import names, verdicts
from ddjax.report.contrasts import SHOWN, SMALL, UNDECIDED
from ddjax.report.verdicts import Study

NAN = float("nan")
CAD, HERDING, CENTER = "cad_prune", "herding", "k_center"
# Deviations of seeds from their mean: differences of two have other ones.
NOISE = np.random.default_rng(0).normal(0, 1, (64, 10))


def rows_of(table, seeds=10, noise=0.3, ipcs=(5, 10)):
    """Students whose means in percent are `table[regime][arm]`."""
    found = []
    for regime, arms in table.items():
        for arm, mean in arms.items():
            # An arm has luck of its own, which differs between labels.
            place = sum(f"{regime}/{arm}".encode()) % len(NOISE)
            luck = NOISE[place][:seeds] - NOISE[place][:seeds].mean()
            for ipc in ipcs:
                for seed in range(seeds):
                    accuracy = mean + ipc + 3 * seed + noise * luck[seed]
                    found.append(row(arm, ipc, regime, seed, accuracy))
    return found


def row(method, ipc, regime, seed, accuracy, validation=None):
    return {
        "method": method,
        "ipc": ipc,
        "regime": regime,
        "seed": seed,
        "status": "failed" if np.isnan(accuracy) else "ok",
        "accuracy": accuracy,
        "val_accuracy": accuracy if validation is None else validation,
        "learning_rate": 0.1,
        "image_passes": 1.0,
        "find_passes": 0.0,
        "find_seconds": 0.0,
        "train_seconds": 0.0,
    }


def study(rows, sets=(), images=0):
    return Study(pd.DataFrame(rows), sets, images)


def verdict(key, table, sets=(), **options):
    found = verdicts.verdicts(study(rows_of(table, **options), sets))
    return next((each for each in found if each.key == key), None)


def arms(random, cad=None, herding=None, center=None):
    given = {"random": random, CAD: cad, HERDING: herding, CENTER: center}
    return {name: mean for name, mean in given.items() if mean is not None}


# Whether the choice matters


@pytest.mark.parametrize(
    ("hard", "soft", "answer", "states"),
    [
        ((70, 60), (70, 64), "Yes, under hard and soft labels.", [SHOWN, SHOWN]),
        ((70, 60), (70, 70.1), "Yes, under hard labels.", [SHOWN, SMALL]),
        ((70, 70.2), (70, 70.1), "Hardly: by less than 1 point.", [SMALL, SMALL]),
    ],
)
def test_the_choice_matters_or_hardly(hard, soft, answer, states):
    table = {"hard": arms(70, *hard), "soft": arms(70, *soft)}
    found = verdict("choice", table)
    assert found.question == "Does it matter which images are kept?"
    assert found.answer == answer
    assert [*found.states.values()] == states
    assert [each.state for each in found.contrasts] == states
    assert [each.name for each in found.contrasts] == ["best − worst"] * 2


def test_what_the_choice_makes_out_is_said_in_points():
    table = {
        "hard": arms(70, 60, 72),
        "soft": arms(70, 70.1, 70),
        "x": arms(70, 69, 70),
    }
    members = rows_of({k: table[k] for k in ("hard", "soft")}, noise=0.1)
    members += rows_of({"x": table["x"]}, noise=6)
    found = verdicts.verdicts(study(members))[0]
    first, second, third = re.split(r"(?<=[a-z)A-Z])\. ", found.text)
    assert re.fullmatch(
        r"Best to worst by validation: 12\.\d ±\d\.\d points under hard labels, from "
        r"Herding down to CAD-Prune",
        first,
    )
    assert second == "Any two lie within 1 point under soft labels"
    assert re.fullmatch(
        r"It is [+−]\d\.\d ±\d+\.\d under x labels \(not decided; about \d+ seeds "
        r"would\)\.",
        third,
    )


def test_the_choice_is_not_decided():
    found = verdict("choice", {"hard": arms(70, 69, 72)}, noise=4, seeds=3)
    assert found.answer == "Not decided by 3 seeds."
    assert found.text.startswith("Best to worst by validation: ")
    table = {"hard": arms(70, 70.1, 70)}
    members = rows_of(table, noise=0.1) + rows_of({"x": arms(70, 69, 72)}, noise=9)
    found = verdicts.verdicts(study(members))[0]
    assert found.answer == "By less than 1 point under hard labels; else not decided."


def test_a_ranking_that_is_wrong_on_test_shows_nothing():
    rows = rows_of({"hard": arms(70, 60, 72)})
    for each in rows:
        each["val_accuracy"] = -each["accuracy"]
    found = verdicts.verdicts(study(rows))[0]
    assert found.states == {"hard": UNDECIDED}
    assert found.answer == "Not decided by 10 seeds."
    assert found.text.endswith("(validation ranks them wrongly).")


def test_arms_that_are_bad_on_purpose_stand_outside():
    table = {"hard": arms(70, 70.1, 70.2) | {"entropy": 30.0}}
    found = verdict("choice", table)
    assert names.is_control("entropy")
    assert found.answer == "Hardly: by less than 1 point."
    assert "Entropy" not in found.text
    assert verdict("choice", {"hard": {"random": 70, CAD: 60, "entropy": 3}}) is None


# What a study tests


@pytest.mark.parametrize(
    ("random", "cad", "herding", "answer"),
    [
        (60, 70, 65, "Yes: better than random and the best other under hard labels."),
        (
            60,
            70,
            70.3,
            "Yes: better than random and within 1 point of the best other under hard "
            "labels.",
        ),
        (60, 70, None, "Yes: better than random under hard labels."),
        (
            60,
            70,
            75,
            "In part: better than random, but behind Herding under hard labels.",
        ),
        (70, 60, 65, "No: worse than random under hard labels."),
        (70, 70.1, 70, "No: within 1 point of random under hard labels."),
        (
            70,
            70.1,
            75,
            "No: within 1 point of random and behind Herding under hard labels.",
        ),
    ],
)
def test_whether_the_tested_selection_is_right(random, cad, herding, answer):
    found = verdict("tested", {"hard": arms(random, cad, herding)})
    assert found.question == "Is CAD-Prune the right choice?"
    assert found.answer == answer


def noisy(table, arm, noise):
    """Students of whom one arm has more spread."""
    wild = np.resize([1.0, -1.0], 10)
    return [
        each | {"accuracy": each["accuracy"] + noise * wild[each["seed"]]}
        if each["method"] == arm
        else each
        for each in rows_of(table)
    ]


@pytest.mark.parametrize(
    ("arm", "means", "answer"),
    [
        (
            HERDING,
            (60, 70, 71),
            "In part: better than random, not shown to be the best under hard labels.",
        ),
        ("random", (70, 70, 75), "No: behind Herding under hard labels."),
        (CAD, (70, 71, 72), "Not decided by 10 seeds."),
    ],
)
def test_what_is_left_open_of_the_tested_selection(arm, means, answer):
    members = noisy({"hard": arms(*means)}, arm, 8.0)
    found = verdicts.verdicts(study(members))[1]
    assert found.key == "tested"
    assert found.answer == answer


def test_labels_that_agree_are_told_together_and_the_open_ones_last():
    bad, good = arms(70, 60, 65), arms(60, 70, 65)
    members = rows_of({"hard": bad, "soft": good, "t": bad})
    members += noisy({"soft_kd": arms(70, 71, 72)}, CAD, 8.0)
    found = verdicts.verdicts(study(members))[1]
    assert found.answer == (
        "In part: worse than random under hard and t labels; better than random and "
        "the best other under soft labels; not decided by 10 seeds under soft_kd "
        "labels."
    )
    members = rows_of({"soft": bad}) + noisy({"hard": arms(70, 71, 72)}, CAD, 8.0)
    found = verdicts.verdicts(study(members))[1]
    assert found.answer.startswith("No: worse than random under soft labels; not dec")


def test_the_gaps_of_the_tested_selection():
    found = verdict("tested", {"hard": arms(70, 60, 65), "soft": arms(70, 70, 69)})
    pattern = (
        r"Against random, in points: hard −10\.0 ±0\.\d \(shown\); soft \+0\.0 ±0\.\d "
        r"\(less than 1 point\)\. Against Herding, the best other by validation: hard "
        r"−5\.0 ±0\.\d \(shown\); soft \+1\.0 ±0\.\d \([^)]*\)\."
    )
    assert re.fullmatch(pattern, found.text)
    assert [(each.name, each.regime) for each in found.contrasts] == [
        ("tested − random", "hard"),
        ("tested − best other", "hard"),
        ("tested − random", "soft"),
        ("tested − best other", "soft"),
    ]
    table = {"hard": arms(70, 60, 65, 60), "soft": arms(70, 60, 65, 69)}
    found = verdict("tested", table)
    assert "the best other by validation: hard, to Herding, −5.0" in found.text
    assert "; soft, to K-center" in found.text.replace("Center", "center")


def test_the_best_set_is_picked_for_each_kind_of_labels():
    hard, soft = {"edc": 60, "rded": 55}, {"edc": 55, "rded": 72}
    table = {"hard": arms(70) | hard, "soft_kd": arms(70) | soft}
    found = verdict("tested", table, sets=("edc", "rded", "never_made"))
    assert found.question == "Is a synthetic set worth more than real images?"
    assert found.answer == (
        "In part: worse than random under hard labels; better than random under "
        "soft_kd labels."
    )
    assert re.match(
        r"Against random, in points: EDC under hard labels −10\.0 .* RDED under "
        r"soft_kd labels \+2\.0 ",
        found.text,
    )
    found = verdict("tested", {"hard": arms(70) | {"edc": 75}}, sets=("edc",))
    assert found.question == "Is EDC worth more than real images?"
    assert found.answer == "Yes: better than random under hard labels."


def test_without_a_claim_nothing_is_tested():
    table = {"hard": {"random": 70, HERDING: 75, CENTER: 60}}
    assert verdict("tested", table) is None
    assert verdict("tested", {"hard": {CAD: 75, HERDING: 60}}) is None  # no random
    found = verdict("tested", {"hard": {"random": 70, HERDING: 75}})
    assert found.question == "Is Herding the right choice?"


# What labels are worth


@pytest.mark.parametrize(
    ("hard", "soft", "answer"),
    [
        (
            70,
            75,
            r"\+5\.0 ±0\.\d points: soft against hard labels, on the same random ",
        ),
        (70, 70.2, r"Less than 1 point against hard labels\."),
        (70, 60, r"They cost accuracy: soft labels are worse than hard labels on the "),
    ],
)
def test_what_labels_are_worth(hard, soft, answer):
    found = verdict("labels", {"hard": arms(hard), "soft": arms(soft)})
    assert found.question == "What are the labels worth?"
    assert re.match(answer, found.answer)
    assert found.text.count(". ") == 0


def test_labels_that_differ():
    table = {"hard": arms(70), "soft": arms(74), "soft_kd": arms(78), "t": arms(60)}
    found = verdict("labels", table)
    assert found.answer.startswith("+8.0 ±")
    assert "soft_kd against hard labels" in found.answer
    found = verdict("labels", {"hard": arms(70), "a": arms(60), "b": arms(70)})
    assert found.answer.startswith("No gain is shown: a labels are worse than hard")
    members = rows_of({"hard": arms(70)}) + noisy({"a": arms(70)}, "random", 8.0)
    found = verdicts.verdicts(study(members))[0]
    assert found.answer == "Not decided by 10 seeds."
    members += rows_of({"b": arms(70)})
    found = verdicts.verdicts(study(members))[0]
    assert found.states == {"a": UNDECIDED, "b": SMALL}
    assert found.answer == "None is shown to be worth more than hard labels."
    assert "a +0.0 ±5.9 (not decided; about 750 seeds would)" in found.text


def test_validation_names_the_labels_that_are_worth_most():
    rows = rows_of({"hard": arms(70), "a": arms(75), "b": arms(75.1)})
    for each in rows:
        each["val_accuracy"] += 9.0 * (each["regime"] == "a")
    found = verdicts.verdicts(study(rows))[0]
    assert "points: a against hard labels" in found.answer


@pytest.mark.parametrize(
    ("table", "ending"),
    [
        (((70, 60, 72), (75, 70, 75)), "so labels are worth more than the choice."),
        (((70, 60, 80), (75, 70, 75)), "so the choice is worth more than labels."),
        # Both lose, so neither is worth more.
        (((70, 60, 65), (60, 50, 60)), "−5.0 ±0.1 (shown)."),
        (((70, 60, 65), (68, 50, 60)), "+3.0 ±0.1 (shown)."),
        (((70, 60, 75), (75.1, 50, 60)), "(less than 1 point)."),
    ],
)
def test_labels_against_the_choice(table, ending):
    hard, soft = (arms(*means) for means in table)
    found = verdict("labels", {"hard": hard, "soft_kd": soft}, noise=0.1)
    assert found.text.endswith(ending), found.text
    assert "Random with soft_kd labels against Herding with hard labels: " in found.text
    assert [each.name for each in found.contrasts] == [
        "random: labels − hard",
        "best − random",
        "random − best with hard",
    ]


def test_labels_without_hard_ones_are_compared_with_the_reference():
    found = verdict("labels", {"soft_kd": arms(70), "fp16": arms(70), "vq": arms(60)})
    assert found.answer.endswith("worse than soft_kd labels on the same random images.")
    assert verdict("labels", {"a": arms(70), "b": arms(60)}) is None
    assert verdict("labels", {"hard": arms(70)}) is None


def test_many_kinds_of_labels_are_grouped():
    table = {"hard": arms(70)} | {f"k{i}": arms(70.0) for i in range(6)}
    table |= {f"w{i}": arms(60.0 - i) for i in range(8)} | {"good": arms(75.0)}
    members = rows_of(table) + noisy({"wild": arms(71)}, "random", 8.0)
    (found,) = verdicts.verdicts(study(members))
    assert found.text.count(". ") == 0 and len(found.text) < 400
    assert "in points, shown better: good +5.0 ±" in found.text
    assert "; shown worse: w0 −10.0 ±" in found.text and ", and 4 more; " in found.text
    assert "less than 1 point apart: k0" in found.text
    assert re.search(
        r"not decided: 1 of 16 \(about \d+ seeds would decide it\)\.$",
        found.text,
    )
    assert len(found.states) == 16


# Studies that lack something


# How many images are enough


def sizes(gaps, full=80.0, **options):
    """Students of random images that are `gaps[ipc]` from the full data."""
    rows = []
    for ipc, gap in gaps.items():
        table = {"hard": {"random": full + gap - ipc, "full": full - ipc}}
        rows += rows_of(table, ipcs=(ipc,), **options)
    found = verdicts.verdicts(study(rows))
    return next((each for each in found if each.key == "enough"), None)


@pytest.mark.parametrize(
    ("gaps", "answer", "state"),
    [
        ({5: -9, 10: -4, 50: -0.1, 100: 0.1}, "50 images a class", SMALL),
        ({5: -9, 10: 0.1, 50: -4, 100: 0.1}, "100 images a class", SMALL),
        ({5: 0.1, 10: 0.2, 50: 0.0}, "5 images a class or fewer", SMALL),
        ({5: -9, 10: -4, 50: 3}, "50 images a class", SMALL),
        ({5: -9, 10: -4, 50: -3}, "More than 50 images a class", SHOWN),
    ],
)
def test_how_many_images_are_enough(gaps, answer, state):
    found = sizes(gaps)
    assert found.answer == f"{answer} under hard labels."
    assert found.states == {"hard": state}
    assert len(found.contrasts) == len(gaps)
    for (ipc, gap), each in zip(gaps.items(), found.contrasts, strict=True):
        assert each.name == f"random − full, IPC {ipc}"
        assert each.mean == pytest.approx(gap)


def test_how_many_images_are_enough_may_be_open():
    found = sizes({5: -9, 10: -4, 50: -0.9}, noise=2.0)
    assert found.answer == "Not decided under hard labels."
    assert found.states == {"hard": UNDECIDED}
    assert "−9.0 ±" in found.text and "at 5 (shown)" in found.text


def test_two_budgets_do_not_ask_how_many_are_enough():
    assert sizes({5: -9, 10: 0.1}) is None
    assert verdict("enough", {"hard": {"random": 70.0}}, ipcs=(2, 5, 10)) is None


def test_one_seed_decides_nothing():
    table = {"hard": arms(70, 60, 65), "soft": arms(72, 60, 65)}
    found = verdicts.verdicts(study(rows_of(table, seeds=1)))
    assert [each.answer for each in found] == ["Not decided by 1 seed."] * 3
    assert "hard −10.0 (one seed)" in found[1].text
    assert all(set(each.states.values()) == {UNDECIDED} for each in found)


def test_a_seed_that_lacks_a_student_drops_out():
    rows = rows_of({"hard": arms(70, 60, 65)})
    failed = next(each for each in rows if each["method"] == CAD and each["seed"] == 4)
    failed |= {"status": "failed", "accuracy": NAN, "val_accuracy": NAN}
    found = study(rows)
    assert np.isnan(found.of("hard", CAD)[4]) and found.of("hard", CAD).count() == 9
    tested = verdicts.verdicts(found)[1]
    assert [each.n for each in tested.contrasts] == [9, 9]
    assert tested.answer == "No: worse than random under hard labels."


def test_an_arm_of_fewer_budgets_is_compared_at_those():
    rows = rows_of({"hard": arms(70, 60, 65, 66)})
    rows = [e for e in rows if (e["method"], e["ipc"]) not in ((CENTER, 5), (CAD, 5))]
    found = study(rows)
    assert found.side("hard", found.sensible).arms == ("random", HERDING)
    tested = verdicts.verdicts(found)[1].contrasts[0]
    assert tested.n == 10 and tested.mean == pytest.approx(-10)  # not -10 +- 2.5
    labels = rows_of({"hard": arms(70)}) + rows_of({"soft": arms(73)}, ipcs=(10, 50))
    (worth,) = verdicts.verdicts(study(labels))
    assert worth.contrasts[0].mean == pytest.approx(3)
    apart = rows_of({"hard": arms(70)}) + rows_of({"soft": arms(73)}, ipcs=(50,))
    assert verdicts.verdicts(study(apart)) == []


def test_students_without_validation_are_not_ranked():
    rows = rows_of({"hard": arms(70, 60, 65)})
    for each in rows:
        each["val_accuracy"] = NAN
    assert [each.key for each in verdicts.verdicts(study(rows))] == ["tested"]
    assert study(rows).best("hard", [CAD, HERDING])[1] == ""


def test_what_a_study_knows_of_its_arms():
    rows = rows_of({"hard": arms(70, 60, 65) | {"entropy": 50, "full": 90, "edc": 1}})
    found = study(rows, ("edc",), images=200)
    assert found.arms == [CAD, HERDING, "entropy", "edc"]
    assert found.sensible == ["random", CAD, HERDING, "edc"]
    assert (found.tested, found.sets, found.grain) == (("edc",), ("edc",), 0.5)
    values, name = found.best("hard", [CAD, HERDING])
    assert name == HERDING and values.equals(found.of("hard", HERDING))
    assert found.best("hard", [CAD, HERDING], worst=True)[1] == CAD
    assert found.best("hard", ["absent"])[1] == ""
    assert found.best("hard", ["absent"])[0].isna().all()
    assert found.of("hard", "absent").isna().all()
    assert found.validated("hard", "absent") == float("-inf")
    with pytest.raises(InputError, match="more than once"):
        study(rows + rows[:1])


def test_the_grain_reaches_the_contrasts():
    rows = rows_of({"hard": {"random": 70, HERDING: 75}}, seeds=2, noise=0.0)
    assert verdicts.verdicts(study(rows))[0].contrasts[0].half_width == 0
    found = verdicts.verdicts(study(rows, images=10))[0].contrasts[0]
    assert found.half_width == pytest.approx(12.7062 * 10 / 12**0.5, rel=1e-4)


def test_a_verdict_as_json():
    found = verdict("tested", {"hard": arms(70, 60, 65)})
    read = verdicts.as_json(found)
    assert read["key"] == "tested" and read["states"] == {"hard": "shown"}
    assert read["contrasts"][0] == {
        "name": "tested − random",
        "regime": "hard",
        "mean": pytest.approx(-10),
        "ci95": found.contrasts[0].half_width,
        "n": 10,
        "p_holm": found.contrasts[0].p,
        "p_smaller_than_margin_holm": found.contrasts[0].p_small,
        "margin": 1.0,
        "comparisons": 2,
        "state": "shown",
        "seeds_needed": None,
        "values": [*found.contrasts[0].values],
    }


def test_an_interval_that_leaves_out_0_may_not_be_shown():
    members = rows_of({"hard": {"random": 70.0}, "soft": {"random": 70.0}}, 3, 0.0)
    for each in members[:]:
        gap = (-3.5, -5.0, -6.5)[each["seed"]] * (1 if each["regime"] == "hard" else 9)
        members.append(each | {"method": CAD, "accuracy": each["accuracy"] + gap})
    found = verdicts.verdicts(study(members))[0]
    assert found.answer == "Not decided by 3 seeds."
    assert "hard −5.0 ±3.7 (not shown among 2 comparisons; about 5 " in found.text


# The simulations' families are those of the verdicts


@pytest.mark.parametrize("seeds", [3, 6])
def test_simulated_families_are_those_of_verdicts(seeds):
    methods = ["random", CAD, HERDING, CENTER]
    regimes = ["hard", "soft", "soft_kd"]
    truth = np.array([[70, 60, 72, 71], [72, 71, 72, 70], [75, 75, 75, 75.0]])
    students = simulated.draw(np.random.default_rng(seeds), 1, seeds, truth, budgets=1)
    rows = [
        row(
            method,
            10,
            regime,
            seed,
            students.test[0, r, seed, m],
            students.validation[0, r, seed, m],
        )
        for r, regime in enumerate(regimes)
        for m, method in enumerate(methods)
        for seed in range(seeds)
    ]
    found = verdicts.verdicts(study(rows, images=simulated.IMAGES))
    expected = (
        simulated.choice(students)[0],
        simulated.tested(students),
        simulated.labels(students),
    )
    for own, family in zip(found, expected, strict=True):
        assert [each.regime for each in own.contrasts] == [
            regimes[regime] for _, regime in family.names
        ]
        corrected = {
            "mean": family.mean,
            "half_width": family.half_width,
            "p": simulated.holm(family.p),
            "p_small": simulated.holm(family.p_small),
        }
        for name, values in corrected.items():
            read = [getattr(each, name) for each in own.contrasts]
            np.testing.assert_allclose(read, values[0], rtol=1e-6, err_msg=name)


# Words


def random_study(generator):
    """A study of anything: sets or none, few seeds, failures, missing labels."""
    regimes = [
        ["hard"],
        ["hard", "soft"],
        ["soft", "soft_kd"],
        ["hard", "soft_kd", "x"],
    ]
    regimes = regimes[generator.integers(4)]
    arms = ["random", CAD, HERDING, "entropy", "edc", "sre2l", "full"]
    arms = [arm for arm in arms if arm == "random" or generator.random() < 0.7]
    seeds, noise = generator.integers(1, 8), generator.choice([0.1, 0.5, 3.0])
    size = generator.choice([0.2, 2.0, 8.0])
    rows = [
        row(arm, ipc, regime, seed, value, value + generator.normal(0, 1))
        for regime in regimes
        for arm in arms
        if generator.random() < 0.95
        for mean in [generator.normal(60, size)]
        for ipc in (5, 10)
        if generator.random() < 0.95
        for seed in range(seeds)
        for value in [mean + generator.normal(0, noise)]
    ]
    for each in rows:
        if generator.random() < 0.02:
            each |= {"status": "failed", "accuracy": NAN, "val_accuracy": NAN}
    sets = [arm for arm in ("edc", "sre2l") if generator.random() < 0.7]
    return study(rows, sets, 360) if rows else None


PHRASES = {
    # Words of an answer -> (contrast that must be shown, its sign).
    r"[Bb]etter than random.* under (.*)": ("tested − random", 1),
    r"better than random and the best other under (.*)": ("tested − best other", 1),
    r"[Ww]orse than random under (.*)": ("tested − random", -1),
    r".*behind .* under (.*)": ("tested − best other", -1),
    r"Yes, under (.*)": ("best − worst", 1),
    r"\+.* points: (.*) against .*": ("random: labels − ", 1),
    r"They cost accuracy: (.*) are worse .*": ("random: labels − ", -1),
    r"No gain is shown: (.*) are worse .*": ("random: labels − ", -1),
}


def check_words(found):
    gaps = {(each.name, each.regime): each for each in found.contrasts}
    for part in re.split(r"; |(?:Yes|No|In part): ", found.answer.rstrip(".")):
        for pattern, (name, sign) in PHRASES.items():
            said = re.fullmatch(pattern, part)
            for regime in re.findall(r"\w+", said[1]) if said else []:
                if regime in ("and", "labels"):
                    continue
                (gap,) = (
                    g
                    for k, g in gaps.items()
                    if k[0].startswith(name) and k[1] == regime
                )
                assert gap.state == SHOWN and gap.sign == sign, found
    text = found.text
    assert "worth more than the choice" not in text or (
        found.contrasts[-1].sign > 0 and found.contrasts[-1].state == SHOWN
    )
    assert "worth more than labels" not in text or (
        found.contrasts[-1].sign < 0 and found.contrasts[-2].sign > 0
    )
    for words in ("beat", "lose", "equal", "no difference", "nan", "None", "( "):
        assert words not in (found.answer + text).replace("None is shown", "")
    if found.key != "choice":
        assert text.count("(shown)") + text.count("(shown,") == sum(
            each.state == SHOWN for each in found.contrasts
        )
    assert 1 <= len(re.findall(r"\.(?= |$)", text)) <= 3
    assert len(found.answer) < 230 and len(text) < 800
    assert found.answer[0] in "+−" or found.answer[0].isupper()
    assert found.answer.endswith(".") and text.endswith(".")


def fuzz(seeds):
    said = set()
    for seed in seeds:
        drawn = random_study(np.random.default_rng(seed))
        for found in verdicts.verdicts(drawn) if drawn else []:
            check_words(found)
            said.add(re.sub(r"[\d.±+−]+", "#", found.answer))
    return said


def test_words_say_no_more_than_is_shown():
    assert len(fuzz(range(40))) > 15


@pytest.mark.slow
def test_words_of_many_studies():
    assert len(fuzz(range(40, 3000))) > 60
