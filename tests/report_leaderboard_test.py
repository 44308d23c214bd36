"""Leaderboards: which students a score compares, and what is written of it."""

import csv
import json

import numpy as np
import pytest
import scipy.stats
from report_compare_test import SOURCE, student, write
from words import private

from ddjax import main
from ddjax.cli.command import parse
from ddjax.errors import InputError
from ddjax.report import (
    augmentations,
    dictionary,
    leaderboard,
    leaderboard_page,
    ranking,
)
from ddjax.report.ranking import Quirks
from ddjax.report.setups import NONE, setups, views_text

NETWORK = {"name": "mlp", "dtype": None, "mlp": {"hidden": [8]}}
OTHER = {"name": "mlp", "dtype": None, "mlp": {"hidden": [16]}}
PAD = {"pad": 1, "flip": False, "cutmix": 0.0, "cutmix_regimes": ["soft_kd"]}
OFF = PAD | {"pad": 0}


def entry(network=NETWORK, own=True, augment=OFF):
    return {"network": network, "own_augment": own, "augment": augment}


def settings(augment=PAD, **transfer):
    return {"student": {"network": NETWORK}, "augment": augment, "transfer": transfer}


PLAIN = settings(plain=entry())
# (network, method, labels) -> accuracy in percent of the seeds 0, 1 and 2.
ACCURACIES = {
    ("mlp", "full", "hard"): (90, 88, 89),
    ("mlp", "random", "hard"): (60, 62, 58),
    ("mlp", "random", "soft"): (66, 67, 68),
    ("mlp", "rded", "hard"): (70, 71, 66),
    ("mlp", "rded", "soft"): (67, 70, 68),
    ("plain", "full", "hard"): (92, 93, 91),
    ("plain", "random", "hard"): (50, 52, 54),
    ("plain", "random", "soft"): (55, 57, 59),
    ("plain", "rded", "hard"): (48, 52, 55),
    ("plain", "rded", "soft"): (58, 56, 60),
}


def rows(accuracies=ACCURACIES, ipc=10, shift=0, **changes):
    return [
        student(
            method,
            ipc,
            regime,
            seed + shift,
            accuracy,
            network=network,
            **{"subset": f"{method}{seed}"} | changes,
        )
        for (network, method, regime), values in accuracies.items()
        for seed, accuracy in enumerate(values)
    ]


@pytest.fixture
def board(tmp_path):
    """Writes runs and returns their entries, by (method, labels, views)."""

    def make(*runs, weight=0.5, gamma=0.5, quirks=ranking.PUBLISHED):
        call = tmp_path / str(len(list(tmp_path.iterdir())))
        folders = [
            write(call / f"r{place}", students, settings=of)
            for place, (students, of) in enumerate(runs)
        ]
        read = leaderboard.read(folders)
        found = leaderboard.entries(read, weight, gamma, quirks)
        return {(e.method, e.regime, e.setup.views): e for e in found}

    return make


def fractions(network, method, regime):
    return np.array(ACCURACIES[network, method, regime]) / 100


def test_scores_are_of_the_rows_that_they_name(board):
    found = board((rows(), PLAIN), weight=0.3, gamma=0.4)
    assert {key[2] for key in found} == {"pad 1"}  # the twin is no row of its own
    each = found["rded", "soft", "pad 1"]
    # Full data without augmentation, the set with it, both with hard labels.
    hlr = fractions("plain", "full", "hard") - fractions("mlp", "rded", "hard")
    ior = fractions("mlp", "rded", "soft") - fractions("mlp", "random", "soft")
    plain = fractions("plain", "rded", "soft") - fractions("plain", "random", "soft")
    expected = {
        "hlr": hlr,
        "ior": ior,
        "lrs": ranking.normalised(0.3 * ior - 0.7 * hlr),
        "augmented_ior": ior,
        "plain_ior": plain,
        "ars": ranking.normalised(0.4 * ior + 0.6 * plain),
    }
    assert set(each.scores) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(each.scores[name], values, atol=1e-12)
    assert each.full[0].network == "plain" and each.pairing == "paired"
    assert each.means["full"] == pytest.approx(0.92)


def test_a_random_subset_improves_nothing(board):
    found = board((rows(), PLAIN))
    for regime in ("hard", "soft"):
        each = found["random", regime, "pad 1"]
        assert (each.scores["ior"] == 0).all()
        assert (each.scores["lrs"] < 1 / (1 + np.e)).all()
        np.testing.assert_allclose(each.scores["ars"], 1 / (1 + np.e))


def test_a_table_has_means_and_intervals_and_ranks(board):
    found = board((rows(), PLAIN))
    table = leaderboard.table([*found.values()])
    assert list(table) == [column.name for column in dictionary.LEADERBOARD]
    assert list(table["rank"]) == [1, 2, 3, 4]
    assert table["lrs"].is_monotonic_decreasing
    row = table[(table["method"] == "rded") & (table["labels"] == "hard")].iloc[0]
    values = found["rded", "hard", "pad 1"].scores["ior"]
    low, high = scipy.stats.ttest_1samp(values, 0).confidence_interval()
    assert row["ior"] == pytest.approx((low + high) / 2)
    assert row["ior_ci95"] == pytest.approx((high - low) / 2)
    assert (row["n"], row["sets"], row["full_views"]) == (3, 3, NONE)


def test_the_longest_training_of_the_full_data_is_the_reference(board):
    longer = rows({("mlp", "full", "hard"): (95, 96, 97)}, ipc=50, image_passes=900)
    each = board((rows() + longer, PLAIN))["rded", "hard", "pad 1"]
    assert each.full[1:] == (50, 900.0) and each.means["full"] == pytest.approx(0.96)
    # That of another run counts as well, but not that of another network.
    other = rows({("mlp", "full", "hard"): (99, 99, 99)}, image_passes=5000)
    of_other = settings() | {"student": {"network": OTHER}}
    assert board((rows(), PLAIN), (other, of_other))["rded", "hard", "pad 1"].means[
        "full"
    ] == pytest.approx(0.92)
    each = board((rows(), PLAIN), (other, settings()))["rded", "hard", "pad 1"]
    assert each.full[0].run.label == "r1" and each.means["full"] == pytest.approx(0.99)


def test_full_data_of_other_seeds_are_independent_runs(board):
    full = {("mlp", "full", "hard"): (91, 92, 93, 94)}
    own = {key: v for key, v in ACCURACIES.items() if key[1] != "full"}
    each = board((rows(own), PLAIN), (rows(full, shift=7), settings()))[
        "rded", "hard", "pad 1"
    ]
    hlr = np.array([0.91, 0.92, 0.93]) - fractions("mlp", "rded", "hard")
    np.testing.assert_allclose(each.scores["hlr"], hlr)
    assert each.pairing == "unpaired"
    assert "HLR is not paired" in " ".join(leaderboard.remarks([each]))


def test_a_student_that_failed_drops_out_of_its_pairs(board):
    damaged = rows()
    damaged[7]["status"] = "failed"  # random, soft, seed 1
    found = board((damaged, PLAIN))
    assert len(found["rded", "soft", "pad 1"].scores["ior"]) == 2
    assert len(found["rded", "soft", "pad 1"].scores["hlr"]) == 3
    assert len(found["rded", "soft", "pad 1"].scores["lrs"]) == 2


def test_without_hard_labels_or_random_or_a_twin_scores_are_missing(board):
    soft = {k: v for k, v in ACCURACIES.items() if k[0] == "mlp" and k[2] == "soft"}
    each = board((rows(soft), settings()))["rded", "soft", "pad 1"]
    assert set(each.scores) == {"ior"}
    table = leaderboard.table([each])
    assert table["rank"].isna().all() and table["n"][0] == 3
    notes = " ".join(leaderboard.remarks([each]))
    assert "no full data with hard labels" in notes and "there is no ARS" in notes
    hard = {k: v for k, v in ACCURACIES.items() if k[1] != "random"}
    each = board((rows(hard), PLAIN))["rded", "hard", "pad 1"]
    assert set(each.scores) == {"hlr"}
    assert "so there is no IOR" in " ".join(leaderboard.remarks([each]))
    with pytest.raises(InputError, match="found no method with scores, required"):
        board((rows({("mlp", "rded", "soft"): (1, 2)}), settings()))


def test_one_set_for_all_students_is_noted(board):
    students = rows(subset="same")
    each = board((students, PLAIN))["rded", "hard", "pad 1"]
    assert each.sets == 1
    assert "one set of a method has all its" in " ".join(leaderboard.remarks([each]))


def test_percent_is_the_packages_exponential(board):
    each = board((rows(), PLAIN), quirks=Quirks(percent=True))["rded", "soft", "pad 1"]
    alpha = 50 * each.scores["ior"] - 50 * each.scores["hlr"]
    expected = (np.exp(alpha) - np.exp(-1)) / (np.exp(1) - np.exp(-1))
    np.testing.assert_allclose(each.scores["lrs"], expected)


def test_duplicates_narrow_the_interval_and_keep_the_deviation(board):
    once = board((rows(), PLAIN))
    twice = board((rows(), PLAIN), quirks=Quirks(duplicates=True))
    hard = [found["rded", "hard", "pad 1"] for found in (once, twice)]
    one, other = (each.scores["lrs"] for each in hard)
    np.testing.assert_array_equal(other, np.repeat(one, 2))
    widths = [leaderboard.table([each])["lrs_ci95"][0] for each in hard]
    assert widths[1] < widths[0]
    means = [leaderboard_page.official([each])[0] for each in hard]
    assert means[0]["label_robust_score_std"] == means[1]["label_robust_score_std"]
    soft = twice["rded", "soft", "pad 1"].scores["lrs"]
    assert len(soft) == 3  # the package's other metric appends once


def test_best_on_test_reads_curves(board):
    students = rows(test_curve=[10.0, 95.0, 20.0])
    each = board((students, PLAIN), quirks=Quirks(best_on_test=True))[
        "rded", "hard", "pad 1"
    ]
    assert each.means["synthetic"] == pytest.approx(0.95)
    with pytest.raises(InputError, match="a student without test_curve, allowed"):
        board((rows(), PLAIN), quirks=Quirks(best_on_test=True))


def test_networks_are_grouped_by_their_settings(tmp_path):
    transfer = {"plain": entry(), "wide": entry(OTHER, own=False)}
    transfer["again"] = entry(OTHER, augment=PAD)
    students = [
        student("random", 2, "hard", 0, 50.0, network=name)
        for name in ("mlp", *transfer)
    ]
    folder = write(tmp_path / "a", students, settings=settings(**transfer))
    found = setups(leaderboard.read([folder]))
    assert [(s.network, s.student, s.views) for s in found] == [
        ("mlp", "mlp", "pad 1"),
        ("plain", "mlp", "none"),
        ("wide", "wide", "pad 1"),
        ("again", "wide", "pad 1 (again)"),
    ]
    assert found[0].same == found[1].same != found[2].same
    (folder / "manifest.json").unlink()
    found = setups(leaderboard.read([folder]))
    assert {s.views for s in found} == {""} and len({s.same for s in found}) == 4


@pytest.mark.parametrize(
    ("augment", "text"),
    [
        (OFF, "none"),
        (OFF | {"dsa": ["color", "crop"]}, "dsa"),
        (PAD | {"flip": True, "cutout": 16}, "pad 1, flip, cutout 16"),
        (OFF | {"resized_crop": [0.5, 1.0]}, "resized crop 0.5/1.0"),
    ],
)
def test_views_are_named_by_their_settings(augment, text):
    assert views_text(augment) == text


def test_augmentations_have_a_table_and_rank_correlations(tmp_path):
    views = {NONE: {}, "dsa": {"dsa": ["crop"]}, "flip": {"flip": True}}
    methods = {"random": 1, "rded": 2, "herding": 3, "full": 9}
    signs = {NONE: 1, "dsa": 1, "flip": -1}
    names = {NONE: "mlp", "dsa": "two", "flip": "three"}
    accuracies = {
        (names[each], method, "hard"): [50 + signs[each] * place] * 2
        for each in views
        for method, place in methods.items()
    }
    transfer = {
        names[each]: entry(augment=OFF | views[each]) for each in ("dsa", "flip")
    }
    of = settings(OFF, **transfer, alone=entry(OTHER))
    alone = [student("random", 10, "hard", 0, 10.0, network="alone")]
    folder = write(tmp_path / "a", rows(accuracies) + alone, settings=of)
    measured = augmentations.table(setups(leaderboard.read([folder])))
    assert list(measured) == [column.name for column in dictionary.AUGMENTATIONS]
    assert len(measured) == 12 and "alone" not in {*measured["student"]}
    assert list(measured["method"].unique()) == ["random", "rded", "herding", "full"]
    row = measured[(measured["method"] == "herding") & (measured["views"] == "flip")]
    assert row["accuracy"].iloc[0] == pytest.approx(0.47)
    found = augmentations.agreement(measured).set_index(["views", "other_views"])
    assert dict(found["rho"]) == {
        ("none", "dsa"): 1.0,
        ("none", "flip"): -1.0,
        ("dsa", "flip"): -1.0,
    }
    assert set(found["n"]) == {3}  # the full data are not ranked


def test_a_submission_has_the_packages_names_and_units(board):
    found = [*board((rows(), PLAIN)).values()]
    official = leaderboard_page.official(found)
    assert [row["method_name"] for row in official] == ["RDED", "RDED"]
    row = next(row for row in official if row["labels"] == "soft")
    each = next(e for e in found if (e.method, e.regime) == ("rded", "soft"))
    assert row["hard_label_recovery_mean"] == pytest.approx(
        100 * each.scores["hlr"].mean()
    )
    assert row["improvement_over_random_std"] == pytest.approx(
        100 * each.scores["ior"].std(ddof=0), abs=1e-5
    )
    assert row["label_robust_score_mean"] == pytest.approx(
        each.scores["lrs"].mean(), abs=1e-5
    )
    assert (row["label_type"], row["num_eval"], row["quirks"]) == ("soft", 3, [])
    text = leaderboard_page.submission(found)
    assert text.count("\n- RDED, CODE LINK, [PAPER LINK; digits, IPC 10, mlp, ") == 2
    assert "Random" not in text


def test_the_command_writes_only_where_it_is_told_to(tmp_path, monkeypatch, capsys):
    source = SOURCE | {"name": "<b>&\x1b[2J"}
    run = str(write(tmp_path / "runs", rows(), source, settings=PLAIN))
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    main._leaderboard(parse(["leaderboard", run]))
    text = capsys.readouterr().out
    assert not list(here.iterdir()) and not private(text) and "\x1b" not in text
    assert "RDED" in text and "runs: mlp, hard labels, IPC 10" in text
    flags = ["--out=out", "--w=0.2", "--gamma", "1", "--quirks=percent"]
    main._leaderboard(parse(["leaderboard", run, *flags]))
    assert "w = 0.2" in capsys.readouterr().out
    names = {"leaderboard.csv", "leaderboard.html", "augmentations.csv"}
    names |= {"submission.md", "submission.json"}
    assert {path.name for path in (here / "out").iterdir()} == names
    page = (here / "out" / "leaderboard.html").read_text()
    assert "&lt;b&gt;" in page and "<b>" not in page.partition("<body>")[2]
    with open(here / "out" / "leaderboard.csv", newline="") as file:
        (first, *_) = csv.DictReader(file)
    assert (first["w"], first["gamma"], first["rank"]) == ("0.2", "1.0", "1")
    scores = json.loads((here / "out" / "submission.json").read_text())
    assert scores[0]["quirks"] == ["percent"]
    with pytest.raises(InputError, match="^--w: found 2.0, allowed is a number in"):
        main._leaderboard(parse(["leaderboard", run, "--w=2"]))
    with pytest.raises(InputError, match="^--quirks: found 'all', allowed is some of"):
        main._leaderboard(parse(["leaderboard", run, "--quirks=all"]))


def test_what_is_no_run_is_refused(tmp_path):
    run = write(tmp_path / "a", rows())
    with pytest.raises(InputError, match="leaderboard: found no run"):
        leaderboard.read([])
    with pytest.raises(InputError, match="^leaderboard: .*a is given twice"):
        leaderboard.read([run, run])
    with pytest.raises(InputError, match="b: found nothing, allowed is the folder"):
        leaderboard.read([tmp_path / "b"])
