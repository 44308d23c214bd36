"""Selections from files, and the files that runs write: they fit each other."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import runs
import tiny

from ddjax import data, pipeline
from ddjax.errors import InputError
from ddjax.problem import open_problem
from ddjax.report.statistics import FULL
from ddjax.settings import add_selection, from_config
from ddjax.stages.checks import check, check_names
from ddjax.stages.exports import write_exports
from ddjax.stages.findings import Findings
from ddjax.stages.imports import file_digests, imported_path, remarks
from ddjax.stages.inputs import inputs_stages
from ddjax.stages.outputs import Parts
from ddjax.stages.rates import Rates
from ddjax.stages.subsets import scores_of, subset_of

METHODS = ("random", "el2n_best_window", "cad_prune")
IPC, RATE = 2, 0.01


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return tiny.write(tmp_path_factory.mktemp("source") / "tiny.npz")


def open_run(source, selections=None, **changes):
    changes = {"regimes": ("hard",)} | changes
    config = tiny.config(source, **changes)
    for name, fields in (selections or {}).items():
        add_selection(config, name, **fields)
    return open_problem(from_config(config))


def inputs_of(run, problem):
    tunings = {"hard": runs.known(Rates({FULL: RATE}))}
    students = runs.students_of(problem)
    *_, last = inputs_stages(problem, students, {}, tunings, None, IPC)
    return runs.result(run, last)


def subsets_of(problem, folder):
    with runs.running(folder) as run:
        return runs.subsets_of(run, problem, IPC, inputs_of(run, problem))


@pytest.fixture(scope="module")
def exported(source, tmp_path_factory):
    """The folder of a run, with the files it wrote, its problem and its subsets."""
    folder = tmp_path_factory.mktemp("run")
    regimes = ("hard", "soft", "soft_kd")
    problem = open_run(source, select__methods=METHODS)
    subsets = subsets_of(problem, folder)
    columns = ["method", "regime", "ipc", "seed", "window_start"]
    windows = {"hard": 0.0, "soft": 0.5, "soft_kd": 0.5}
    members = pd.DataFrame(
        [("el2n_best_window", regime, IPC, 0, at) for regime, at in windows.items()],
        columns=columns,
    )
    every = dataclasses.replace(problem.settings, regimes=regimes)
    problem = dataclasses.replace(problem, settings=every)
    with runs.running(folder) as run:
        write_exports(
            Findings(
                *(run, problem, Parts(), {}, members, members, members),
                *({IPC: subsets}, {}, {}, {}),
            )
        )
    return folder, problem, subsets


def test_exports_are_all_there_and_hold_ids(exported):
    folder, problem, subsets = exported
    names = {path.name for path in (folder / "subsets").iterdir()}
    stems = ["random", "cad_prune"]
    stems += [f"el2n_best_window_{regime}" for regime in ("hard", "soft", "soft_kd")]
    assert names == {f"{s}_ipc2_seed{seed}.csv" for s in stems for seed in (0, 1)}
    for regime, start in (("hard", 0.0), ("soft", 0.5)):
        path = folder / "subsets" / f"el2n_best_window_{regime}_ipc2_seed1.csv"
        ids = pd.read_csv(path)["id"]
        expected = subset_of(subsets, "el2n_best_window", 1, start)
        np.testing.assert_array_equal(ids, np.sort(problem.pool.ids[expected]))
    table = pd.read_csv(folder / "scores" / "ipc2_seed1.csv")
    assert list(table) == ["id", "class", "digest", "el2n", "cad"]
    np.testing.assert_array_equal(table["id"], problem.pool.ids)
    np.testing.assert_allclose(table["cad"], scores_of(subsets, 1)["cad"], rtol=1e-6)


def test_a_later_run_reads_what_an_earlier_one_wrote(exported, source, tmp_path):
    folder, _, subsets = exported
    scores = str(folder / "scores" / "ipc{ipc}_seed{seed}.csv")
    chosen = str(folder / "subsets" / "random_ipc{ipc}_seed{seed}.csv")
    problem = open_run(
        source,
        {
            "cad_again": {"scores": scores, "column": "cad"},
            "el2n_low": {"scores": scores, "column": "el2n", "keep": "lowest"},
            "same": {"subset": chosen},
        },
        select__methods=("random",),
    )
    check_names(problem.settings)
    check(problem)
    found = subsets_of(problem, tmp_path / "run")
    for row in (0, 1):
        for name, expected in (
            ("cad_again", subset_of(subsets, "cad_prune", row, None)),
            ("el2n_low", subset_of(subsets, "el2n_best_window", row, 0.0)),
            ("same", subset_of(subsets, "random", row, None)),
        ):
            again = subset_of(found, name, row, None)
            np.testing.assert_array_equal(again, expected, err_msg=name)
    # Nothing had to be trained for them.
    assert not list((tmp_path / "run" / "artifacts").glob("trace-*"))


def test_features_from_a_file_are_those_of_the_pool(source, tmp_path):
    path = tmp_path / "features.npy"
    features = np.random.default_rng(0).normal(size=(3 * tiny.TRAIN, 4))
    np.save(path, features)
    problem = open_run(
        source, select__methods=("random", "herding"), select__features=str(path)
    )
    check(problem)
    with runs.running(tmp_path / "run") as run:
        inputs = inputs_of(run, problem)
        found = inputs.inputs(1).features
    np.testing.assert_allclose(found, features[problem.pool.ids], rtol=1e-6)
    assert not inputs.found and inputs.cost(("features",)).train_passes == 0


def test_subsets_hang_on_the_content_of_their_files(source, tmp_path):
    path = tmp_path / "scores.npy"
    problem = open_run(
        source, {"theirs": {"scores": str(path)}}, select__methods=("random",)
    )
    np.save(path, np.arange(3.0 * tiny.TRAIN))
    before = file_digests(problem, IPC)
    assert set(before) == {"theirs, seed 0", "theirs, seed 1"}
    assert file_digests(problem, IPC) == before
    np.save(path, -np.arange(3.0 * tiny.TRAIN))
    assert file_digests(problem, IPC) != before


def refuse(problem, message):
    with pytest.raises(InputError, match=message):
        check_names(problem.settings)
        check(problem)


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            {"select__methods": ("random", "herding"), "select__layer": "conv7"},
            "select.layer: found 'conv7', allowed is one of fc_1, fc_2",
        ),
        (
            {"select__methods": ("random", "d2"), "select__d2__neighbors": 40},
            "select.d2.neighbors: found 40, allowed is less than the",
        ),
        (
            {
                "select__methods": ("random", "d2"),
                "select__ipcs": (3,),
                "select__d2__neighbors": 1,
                "select__d2__drop_hardest": 0.95,
            },
            "select.d2.drop_hardest: found 0.95, .* leaves the 3 images .* leaves 2",
        ),
        (
            {
                "select__methods": ("random", "el2n_sl_easy"),
                "labels__soft__regime": "soft_kd",
            },
            "labels.soft: found Labels.regime='soft_kd'.* allowed is the plain regime",
        ),
        (
            {"select__methods": ("random", "tdsd")},
            "select.methods: found 'tdsd', allowed is one of random, el2n_easy",
        ),
        (
            {"select__methods": ("random", "k_center"), "select__features": "no.npy"},
            "no.npy: cannot be read: No such file",
        ),
        (
            # Nothing reads it, but what is named must be there.
            {"select__methods": ("random",), "select__features": "no.npy"},
            "no.npy: cannot be read: No such file",
        ),
    ],
)
def test_selections_that_cannot_be_are_refused(source, changes, message):
    refuse(open_run(source, **changes), message)


@pytest.mark.parametrize(
    "path",
    [
        "{ipc.__class__}.csv",
        "{seed!r}.csv",
        "{ipc:>1000000000}.csv",
        "{0}.csv",
        "{}.csv",
        "{{ipc}}.csv",
        "a{.csv",
        "{IPC}.csv",
        "{ipc[0]}.csv",
    ],
)
def test_braces_hold_two_names_and_nothing_else(source, path):
    problem = open_run(source, {"theirs": {"subset": path}})
    with pytest.raises(InputError, match="theirs.subset: found .*allowed in braces"):
        imported_path(problem, "theirs", 5, 3)


def test_braces_are_filled(source):
    path = "{seed}/ipc{ipc}_{seed}.csv"
    problem = open_run(source, {"theirs": {"scores": path}})
    assert imported_path(problem, "theirs", 5, 3) == "3/ipc5_3.csv"


def test_files_in_another_order_are_refused_by_a_run(exported, source, tmp_path):
    folder, problem, _ = exported
    for kind, stem in (("scores", "ipc2_seed0"), ("subset", "random_ipc2_seed0")):
        place = "scores" if kind == "scores" else "subsets"
        table = pd.read_csv(folder / place / f"{stem}.csv")
        assert (table["class"] == np.array(tiny.CLASSES)[table["id"] % 3]).all()
        table["id"] = table["id"].to_numpy()[::-1]
        table.to_csv(tmp_path / "theirs.csv", index=False)
        fields = {kind: str(tmp_path / "theirs.csv")}
        fields |= {"column": "cad"} if kind == "scores" else {}
        refuse(
            open_run(source, {"theirs": fields}, select__methods=("random",)),
            "theirs.csv: has the (class|digest) .* in another order",
        )


def test_files_that_say_nothing_of_their_examples_are_said_to(source, tmp_path):
    np.save(tmp_path / "a.npy", np.arange(3.0 * tiny.TRAIN))
    problem = open_run(
        source,
        {"theirs": {"scores": str(tmp_path / "a.npy")}},
        select__methods=("random",),
    )
    (remark,) = remarks(problem)
    assert remark == (
        f"select.imported.theirs: {tmp_path / 'a.npy'} does not describe its examples: "
        f"they are taken in the order of npz:{source}'s training set"
    )
    assert remark in pipeline.describe(problem)


def test_features_of_another_source_are_refused(source, tmp_path):
    path = tmp_path / "features.npy"
    np.save(path, np.zeros((50, 3)))
    problem = open_run(
        source, select__methods=("random", "herding"), select__features=str(path)
    )
    refuse(problem, "features of 50 examples, but the source's training set has 120")


def test_files_that_do_not_fit_are_refused(source, tmp_path):
    path = tmp_path / "theirs.csv"

    def against(text, message, **fields):
        path.write_text(text)
        fields = fields or {"scores": str(path)}
        problem = open_run(source, {"theirs": fields}, select__methods=("random",))
        refuse(problem, message)

    problem = open_run(source)
    rows = "".join(f"{i},1.0\n" for i in range(120))
    against("id,score\n" + rows + "7,2.0\n", "has id 7 more than once")
    against("id,score\n" + rows + "120,2.0\n", r"has id 120, expected 0..119")
    against("id,score\n0,nan\n", "have no number or NaN")
    pool, validation = problem.pool.ids, problem.validation.ids
    members = [pool[problem.pool.labels == c][:2] for c in range(3)]
    good = [int(i) for ids in members for i in ids]
    subset = {"subset": str(path)}
    text = "id\n" + "\n".join(map(str, good[:-1]))
    against(text, "has 1 images of class 'right', expected 2 of every", **subset)
    text = "id\n" + "\n".join(map(str, [*good[:-1], validation[0]]))
    against(text, "1 of 6 ids are not among the run's 96 training", **subset)
    braces = {"scores": str(tmp_path / "{budget}.npy")}
    against("", r"theirs.scores: found .*allowed in braces are \{ipc\}", **braces)


@pytest.mark.parametrize("name", ["random", "full", "ids", "their/scores", ""])
def test_a_name_that_cannot_be_is_refused(source, name):
    config = tiny.config(source, select__methods=())
    add_selection(config, name, scores="a.npy")
    with pytest.raises(InputError, match=f"select.imported.{name}: found .*allowed"):
        check_names(from_config(config))


def test_read_scores_of_the_package_is_what_runs_use(exported):
    folder, problem, subsets = exported
    path = folder / "scores" / "ipc2_seed0.csv"
    found = data.read_scores(path, problem.pool.ids, len(problem.source.train), "cad")
    np.testing.assert_array_equal(found, scores_of(subsets, 0)["cad"])
