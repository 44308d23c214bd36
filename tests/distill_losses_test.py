"""Distillation losses of sets that nobody learned."""

import csv
import dataclasses
import json

import distill_match_test as match
import jax
import numpy as np
import pandas as pd
import pytest
import runs
import scipy.stats
import tiny

from ddjax import distill, pipeline, plan, settings
from ddjax.distill.dc import Dc, DcStep
from ddjax.distill.dm import Dm, DmStep
from ddjax.distill.match.experts import parameters_of
from ddjax.distill.match.loop import losses
from ddjax.distill.match.real import real_images
from ddjax.distill.mtt import Mtt, MttStep
from ddjax.errors import InputError
from ddjax.settings import from_config

PER_CLASS, CLASSES, DRAWS = 4, len(match.COUNTS), 3
METHODS = ("random", "el2n_easy", "el2n_hard")


def balanced_task():
    """A task whose classes have `PER_CLASS` images each, class after class."""
    task = match.task_of(ipc=PER_CLASS)
    rows = [np.flatnonzero(task.labels == c)[:PER_CLASS] for c in range(CLASSES)]
    rows = np.concatenate(rows)
    return dataclasses.replace(
        task, images=task.images[rows], labels=task.labels[rows], ids=task.ids[rows]
    )


@pytest.mark.parametrize(
    ("step", "options"),
    [(DmStep, Dm(real=PER_CLASS, augment=())), (DcStep, Dc(real=PER_CLASS))],
)
def test_the_pool_itself_has_no_loss_and_noise_has(step, options):
    task = balanced_task()
    real = real_images(task)
    made = step(match.NETWORK, options, CLASSES, PER_CLASS).probe()
    own = losses(made, real.normalised(task.images), real, jax.random.key(0), DRAWS)
    assert own.shape == (DRAWS,)
    noise = jax.random.normal(jax.random.key(1), (len(task.labels), 8, 8, 1))
    other = losses(made, noise, real, jax.random.key(0), DRAWS)
    assert np.ptp(other) > 0, "draws are alike"
    np.testing.assert_allclose(own, 0, atol=1e-3 * other.min())


def test_a_loss_does_not_depend_on_training_between_steps():
    task = balanced_task()
    real = real_images(task)
    noise = jax.random.normal(jax.random.key(1), (len(task.labels), 8, 8, 1))
    found = [
        losses(
            DcStep(
                match.NETWORK, Dc(real=2, outer=outer, inner=3), CLASSES, PER_CLASS
            ).probe(),
            noise,
            real,
            jax.random.key(0),
            DRAWS,
        )
        for outer in (1, 4)
    ]
    np.testing.assert_array_equal(*found)


def test_a_student_that_stays_misses_the_whole_way():
    options = Mtt(steps=2, span=1, max_start=2, student_rate=1e-6, augment=())
    weights = jax.random.normal(jax.random.key(2), (2, 3, parameters_of(match.NETWORK)))
    step = MttStep(match.NETWORK, options, CLASSES, PER_CLASS).probe()
    noise = jax.random.normal(jax.random.key(1), (CLASSES * PER_CLASS, 8, 8, 1))
    given = {"weights": weights}
    found = losses(step, noise, given, jax.random.key(0), DRAWS)
    np.testing.assert_allclose(found, 1, atol=1e-4)
    faster = dataclasses.replace(
        step, options=dataclasses.replace(options, student_rate=1.0)
    )
    moved = losses(faster, noise, given, jax.random.key(0), DRAWS)
    assert (np.abs(moved - 1) > 1e-3).all()


def config(source, **changes):
    made = tiny.config(source, select__methods=METHODS)
    made.regimes = ("hard",)
    for name in ("dm", "dc"):
        settings.add_distillation(made, name)
        made.distill[name][name].update(iterations=2, real=4)
    made.distill.dc.dc.update(outer=2, inner=1)
    made.distill.dm.losses = DRAWS
    made.update_from_flattened_dict(
        {name.replace("__", "."): value for name, value in changes.items()}
    )
    return made


def test_losses_of_all_sets_stand_in_dcs(tmp_path):
    chosen = from_config(config(tiny.write(tmp_path / "tiny.npz")))
    with runs.drawing():
        pipeline.run(chosen, tmp_path / "run")
    (folder,) = (tmp_path / "run" / "artifacts").glob("losses-*")
    arrays = np.load(folder / "arrays.npz")
    assert set(arrays) == {*METHODS, "dm", "dc"}
    seeds = len(chosen.protocol.seeds)
    assert {arrays[name].shape for name in arrays} == {(seeds, DRAWS)}
    members = pd.DataFrame(runs.rows_of(tmp_path / "run"))
    after = members.groupby("method")["test_loss"].mean()
    names = list(arrays)
    expected = scipy.stats.spearmanr(
        [arrays[name].mean() for name in names], after[names]
    ).statistic
    rows = list(csv.DictReader((tmp_path / "run" / "dcs.csv").read_text().splitlines()))
    (row,) = rows  # three selections are too few for the mean of their scores
    assert (row["surrogate"], row["n"]) == ("loss of dm", "5")
    assert float(row["rho"]) == pytest.approx(expected, abs=1e-3)
    cost = json.loads((folder / "manifest.json").read_text())["cost"]
    work = plan.total(plan.open_plan(chosen)).work
    (planned,) = (row.cost for row in work if row.name == "losses of dm, IPC 2")
    assert cost["forward_passes"] == planned.forward_passes > 0
    assert cost["flops"] == pytest.approx(planned.flops) and cost["flops"] > 0


def test_methods_without_a_loss_of_any_set_refuse(tmp_path):
    made = config(tiny.write(tmp_path / "tiny.npz"))
    settings.add_distillation(made, "frepo")
    made.distill.frepo.losses = 1
    with pytest.raises(InputError, match=r"distill.frepo.losses: found 1.*dm.* do"):
        from_config(made)
    assert not distill.METHODS["frepo"].measures
