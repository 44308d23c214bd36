"""Transfer: subsets chosen with the first network, evaluated with others."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import tiny
from runs import created, rows_of

from ddjax import pipeline, settings
from ddjax.data.augment import Recipe
from ddjax.errors import InputError
from ddjax.problem import open_problem
from ddjax.report.statistics import FULL
from ddjax.settings import from_config
from ddjax.stages import tuning

REGIMES, RATES = ("hard",), (0.003, 0.03)
CHANGES = {
    "regimes": REGIMES,
    "select__methods": ("random",),
    "student__learning_rates": RATES,
}
NETWORKS = ("mlp", "linear", "patient")
SAME = ["method", "regime", "ipc", "seed"]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return tiny.write(tmp_path_factory.mktemp("source") / "tiny.npz")


def two_more(source, **changes):
    """A config with two more networks, one of them with a recipe of its own."""
    config = tiny.config(source, **CHANGES | changes)
    scores = source.with_name("scores.npy")
    np.save(scores, np.arange(3.0 * tiny.TRAIN))
    settings.add_selection(config, "theirs", scores=str(scores))
    settings.add_transfer(config, "linear", name="mlp", hidden=())
    settings.add_transfer(config, "patient", name="mlp", hidden=())
    patient = config.transfer.patient
    patient.batch_size, patient.zeta, patient.learning_rates = 3, 2.0, (0.02,)
    return config


@pytest.fixture(scope="module")
def folder(source, tmp_path_factory):
    """The folder of a run that is evaluated with three networks."""
    folder = tmp_path_factory.mktemp("transfer") / "run"
    pipeline.run(from_config(two_more(source)), folder)
    return folder


@pytest.fixture(scope="module")
def rows(folder):
    return pd.DataFrame(rows_of(folder))


def of(rows, network):
    """The rows of a network, by what they were trained on."""
    return rows[rows["network"] == network].set_index(SAME).sort_index()


def test_every_network_evaluates_every_selection(folder, rows):
    assert list(dict.fromkeys(rows["network"])) == list(NETWORKS)
    table = pd.read_csv(folder / "architectures.csv")
    methods = ["random", "theirs", FULL]
    assert table[["network", "regime", "method"]].values.tolist() == [
        [network, regime, method]
        for network in NETWORKS
        for regime in REGIMES
        for method in methods
    ]
    assert (table["n"] == 2).all() and (table["failed"] == 0).all()
    picture = folder / "figures" / "architectures.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "Every network" in (folder / "report.html").read_text()


def test_the_first_networks_rows_are_the_summarys(folder):
    table = pd.read_csv(folder / "architectures.csv")
    summary = pd.read_csv(folder / "summary.csv")
    first = table[table["network"] == "mlp"].drop(columns=["network"])
    students = summary[summary["method"] != "selection_gain"]
    common = [name for name in students if name in first]
    assert {"accuracy", "ci95", "gap", "learning_rate", "n"} < set(common)
    pd.testing.assert_frame_equal(
        first[common].reset_index(drop=True),
        students[common].reset_index(drop=True),
        check_dtype=False,
    )
    assert first["rank_correlation"].isna().all()


def test_accuracies_are_the_means_of_each_networks_students(folder, rows):
    table = pd.read_csv(folder / "architectures.csv")
    key = ["network", "regime", "ipc", "method"]
    means = rows.groupby(key)["accuracy"].mean()
    for row in table.itertuples():
        expected = means[row.network, row.regime, row.ipc, row.method]
        assert row.accuracy == pytest.approx(expected, abs=1e-3)


def test_all_networks_have_the_same_subsets_and_passes(rows):
    first = of(rows, "mlp")
    for name in NETWORKS[1:]:
        other = of(rows, name)
        assert other.index.equals(first.index)
        for column in ("subset", "images", "image_passes", "window_start"):
            pd.testing.assert_series_equal(other[column], first[column])
        assert (other["find_passes"] == first["find_passes"]).all()
        assert (other["accuracy"] != first["accuracy"]).any()
    assert first["subset"].nunique() == 2 + 1 + 1  # random by seed, theirs, full


def test_a_networks_own_recipe_is_used(rows):
    patient, linear, first = (of(rows, name) for name in ("patient", "linear", "mlp"))
    assert (patient["learning_rate"] == 0.02).all()
    assert (patient["steps"] == 2 * first["steps"]).all()  # batches half as large
    assert (linear["steps"] == first["steps"]).all()
    assert set(linear["learning_rate"]) <= set(RATES)


def test_learning_rates_are_chosen_by_each_network(source, tmp_path, monkeypatch):
    seen, tune = [], tuning._tune

    def remember(run, students, regime, ipc):
        student = students.problem.settings.student
        found = tune(run, students, regime, ipc)
        seen.append((student.network.mlp.hidden, student.learning_rates, regime, found))
        return found

    monkeypatch.setattr(tuning, "_tune", remember)
    folder = tmp_path / "run"
    config = two_more(source, regimes=("soft_kd",))
    with config.unlocked():
        del config.transfer["patient"]
    pipeline.run(from_config(config), folder)
    assert [(hidden, rates) for hidden, rates, _, _ in seen] == [
        ((8,), RATES),
        ((), RATES),
    ]
    rows = pd.DataFrame(rows_of(folder))
    for name, (_, _, _, found) in zip(NETWORKS[:2], seen, strict=True):
        for method, rate in found.by_method.items():
            own = rows[(rows["network"] == name) & (rows["method"] == method)]
            assert (own["learning_rate"] == rate).all()


def test_a_transfer_student_is_the_student_of_its_network(
    source, folder, rows, tmp_path
):
    # Random subsets do not depend on the network, so that a run with that network
    # trains the same students.
    config = tiny.config(source, **CHANGES)
    config.student.network.mlp.hidden = ()
    pipeline.run(from_config(config), tmp_path / "run")
    direct = of(pd.DataFrame(rows_of(tmp_path / "run")), "mlp")
    transferred = of(rows, "linear").loc[direct.index]
    for column in ("accuracy", "val_accuracy", "learning_rate", "subset", "steps"):
        pd.testing.assert_series_equal(transferred[column], direct[column])
    assert transferred["curve"].tolist() == direct["curve"].tolist()


def test_zeta_bends_the_schedule_of_its_network_alone(source):
    problem = open_problem(from_config(two_more(source)))
    patient, linear = problem.with_student("patient"), problem.with_student("linear")
    assert patient.settings.student.optimizer.zeta == 2.0
    assert linear.settings.student.optimizer.zeta == 1.0
    # Nothing but the students is another's.
    own = dataclasses.replace(patient.settings, student=problem.settings.student)
    assert own == problem.settings
    assert patient.pool is problem.pool


def with_network(source, **changes):
    """A config with the other `shuffled`, whose views are its own."""
    config = tiny.config(source, **CHANGES | changes)
    settings.add_transfer(config, "shuffled", name="mlp", hidden=(8,))
    config.transfer.shuffled.own_augment = True
    config.transfer.shuffled.augment.patch_shuffle = 2
    return config


def test_a_networks_own_views_take_the_place_of_the_runs(source):
    changes = {"augment__flip": True, "regimes": ("hard", "soft_kd")}
    problem = open_problem(from_config(with_network(source, **changes)))
    other = problem.with_student("shuffled")
    assert other.recipe("soft_kd") == Recipe(patch_shuffle=2)
    assert other.recipe("hard") == Recipe()
    assert problem.recipe("soft_kd") == Recipe(flip=True)
    # Nothing but the students is another's.
    own = dataclasses.replace(
        other.settings,
        student=problem.settings.student,
        augment=problem.settings.augment,
    )
    assert own == problem.settings


def test_networks_with_the_same_views_share_stores_and_others_do_not(source, tmp_path):
    config = with_network(source, regimes=())
    settings.add_labels(config, "stored", codec="fp16", pool_epochs=2)
    settings.add_transfer(config, "linear", name="mlp", hidden=())
    config.student.learning_rates = (0.01,)
    frame = pipeline.run(from_config(config), tmp_path / "run")
    assert (frame["failed"] == 0).all()
    manifests = [
        json.loads(path.read_text())
        for path in (tmp_path / "run").glob("artifacts/*/manifest.json")
    ]
    stores = [found for found in manifests if found["kind"] == "store"]
    shuffles = [s["settings"]["views"]["recipe"].get("patch_shuffle") for s in stores]
    # One a seed of the two networks with the run's views, one a seed of the third.
    assert sorted(shuffles, key=str) == [2, 2, None, None]
    # The teacher saw the run's views, whichever network.
    (teacher,) = (found for found in manifests if found["kind"] == "teacher")
    assert "patch_shuffle" not in teacher["settings"]["augment"]
    rows = pd.DataFrame(rows_of(tmp_path / "run"))
    accuracy = {name: of(rows, name)["loss"] for name in ("mlp", "shuffled")}
    assert (accuracy["mlp"] != accuracy["shuffled"]).all()


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            {"transfer__shuffled__augment__patch_shuffle": 9},
            "transfer.shuffled.augment.patch_shuffle: found 9, allowed is at most",
        ),
        (
            {"transfer__shuffled__own_augment": False},
            "transfer.shuffled.own_augment: found False",
        ),
        (
            {"transfer__shuffled__augment__lighting": 0.1},
            "transfer.shuffled.augment.lighting: found 0.1 with images of 1 channels",
        ),
    ],
)
def test_views_that_cannot_be_are_refused_before_compute(
    source, tmp_path, changes, message
):
    config = with_network(source, regimes=("soft_kd",))
    config.update_from_flattened_dict(
        {name.replace("__", "."): value for name, value in changes.items()}
    )
    with pytest.raises(InputError, match=message):
        pipeline.run(from_config(config), tmp_path / "w")
    assert not (tmp_path / "w").exists()


def test_a_network_left_out_leaves_the_others_as_they_were(source, folder, rows):
    before, config = created(folder), two_more(source)
    with config.unlocked():
        del config.transfer["linear"]
    pipeline.run(from_config(config), folder)
    assert created(folder) == before
    again = pd.DataFrame(rows_of(folder))
    assert list(dict.fromkeys(again["network"])) == ["mlp", "patient"]
    for name in ("mlp", "patient"):
        assert of(again, name)["accuracy"].equals(of(rows, name)["accuracy"])


@pytest.mark.parametrize(
    "entry, network, changes, message",
    [
        (
            "other",
            {"name": "vgg99"},
            {},
            "transfer.other.network.name: found 'vgg99', allowed is one of alexnet",
        ),
        ("mlp", {}, {}, "transfer.mlp: found the name of the students' network"),
        (
            "other",
            {"name": "mlp"},
            {"batch_size": 7},
            "transfer.other.batch_size: found 7, allowed is at most the 6 images",
        ),
        (
            "other",
            {"name": "mlp"},
            {"zeta": -1.0},
            "transfer.other.zeta: found -1.0, allowed is 0.0 or a number in",
        ),
        (
            "other",
            {"name": "mlp"},
            {"learning_rates": (0.1, 0.0)},
            "transfer.other.learning_rates: found 0.0, allowed is a tuple of 0 to 100",
        ),
        (
            "other",
            {"name": "convnet_d6"},
            {},
            "data.image_size: found 8, .*transfer.other.network.name is convnet_d6",
        ),
        (
            "other",
            {"name": "convnet_d1", "norm": "layer"},
            {},
            "transfer.other.network.convnet.norm: found 'layer', allowed is one of",
        ),
    ],
)
def test_transfer_that_cannot_be_is_refused_before_compute(
    source, tmp_path, entry, network, changes, message
):
    config = tiny.config(source, regimes=("hard",), select__methods=("random",))
    settings.add_transfer(config, entry, **network)
    for name, value in changes.items():
        config.transfer[entry][name] = value
    with pytest.raises(InputError, match=message):
        pipeline.run(from_config(config), tmp_path / "w")
    assert not (tmp_path / "w").exists()
