"""SRe2L and its family: what sets each apart, and what all of them keep."""

import dataclasses
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recovering

from ddjax import models
from ddjax.declare import walk
from ddjax.distill import batches, synthesis
from ddjax.distill.cda import cda, curriculum
from ddjax.distill.cv_dd import cv_dd
from ddjax.distill.dwa import ascend, dwa
from ddjax.distill.lpld import lpld
from ddjax.distill.sre2l import sre2l
from ddjax.distill.sre2lpp import sre2lpp
from ddjax.distill.statistics import statistics_of
from ddjax.distill.task import Teacher
from ddjax.errors import InputError
from ddjax.settings.recover import Recover

# The functions hide their modules.
dwa_module = sys.modules[dwa.__module__]
lpld_module = sys.modules[lpld.__module__]
NETWORK, SETTINGS = recovering.NETWORK, recovering.SETTINGS
METHODS = {
    "sre2l": sre2l,
    "cda": cda,
    "dwa": dwa,
    "lpld": lpld,
    "sre2lpp": sre2lpp,
    "cv_dd": cv_dd,
}


@pytest.fixture(autouse=True)
def short_segments(monkeypatch):
    monkeypatch.setattr(synthesis, "SEGMENT", 20)  # of 48 iterations


def make(name, settings=SETTINGS, start=None, **changes):
    if name == "lpld":
        # Three images a batch, as the others have: one program for all.
        changes = {"ipc": 3} | changes
    if name == "sre2lpp" and start is None:
        settings = dataclasses.replace(settings, init="random")
    return METHODS[name](recovering.task(**changes), settings, start)


@pytest.mark.parametrize("name", [name for name in METHODS if name != "cv_dd"])
def test_every_method_makes_a_balanced_set_and_makes_it_again(name):
    made, again, other = make(name), make(name), make(name, seed=1)
    ipc = 3 if name == "lpld" else 2
    assert made.images.shape == (3 * ipc, 8, 8, 1) and made.images.dtype == np.uint8
    np.testing.assert_array_equal(made.labels, np.repeat(np.arange(3), ipc))
    assert made.labels.dtype == made.sources.dtype == np.int32
    np.testing.assert_array_equal(made.images, again.images)
    assert made.info == again.info
    assert np.abs(made.images.astype(int) - other.images).mean() > 5
    starts = name in ("dwa", "sre2lpp")
    assert made.sources.shape == (3 * ipc, int(starts))
    if starts:  # real images of the class, each once
        np.testing.assert_array_equal((made.sources[:, 0] - 100) % 3, made.labels)
        assert len(set(made.sources[:, 0])) == len(made.sources)
    assert [len(curve) for curve in made.info.values()] == [3, 3]
    climbs = SETTINGS.ascent_steps if name == "dwa" else 0
    assert made.cost.train_passes == (48 + climbs) * 3 * ipc
    assert made.cost.forward_passes == (12 if name == "lpld" else 0)
    assert made.cost.flops > made.cost.train_passes * 8 * 8 * 9 * 4 * 2 * 2


def test_both_parts_of_the_loss_fall(monkeypatch):
    monkeypatch.setattr(synthesis, "SEGMENT", 6)
    for name, curve in make("sre2l").info.items():
        assert curve[-1] < 0.95 * curve[0], name


@pytest.mark.parametrize("name", ["dwa", "lpld"])
def test_resumed_equals_uninterrupted(name, tmp_path):
    class Stopped(Exception):
        pass

    steps = []

    def stop_at_fifth(count):
        steps.append(count)
        if len(steps) == 5:  # in the second batch, within it
            raise Stopped

    whole = make(name)
    with pytest.raises(Stopped):
        make(name, folder=tmp_path, progress=stop_at_fifth)
    resumed = make(name, folder=tmp_path, progress=steps.append)
    assert steps == [20, 20, 8, 20, 20] + [8] + [20, 20, 8] * (
        1 if name == "lpld" else 0
    )
    np.testing.assert_array_equal(resumed.images, whole.images)
    assert resumed.info == whole.info
    assert resumed.cost.train_passes == whole.cost.train_passes
    again = make(name, folder=tmp_path, progress=steps.append)
    assert sum(steps) == 48 * (3 if name == "lpld" else 2)
    np.testing.assert_array_equal(again.images, whole.images)
    with pytest.raises(InputError, match="folder: .*batch-000000 belongs to anoth"):
        make(name, dataclasses.replace(SETTINGS, beta1=0.4), folder=tmp_path)


def test_batches_across_and_within_classes():
    across = batches.across_classes(5, 3, 3)
    assert [b.labels.tolist() for b in across] == [[0, 1, 2], [3, 4]] * 3
    assert [b.slots.tolist() for b in across[:2]] == [[0, 3, 6], [9, 12]]
    within = batches.within_classes(5, 3, 2)
    assert [b.labels.tolist() for b in within[:4]] == [[0, 0], [0], [1, 1], [1]]
    for every in (across, within):
        slots = np.concatenate([batch.slots for batch in every])
        np.testing.assert_array_equal(np.sort(slots), np.arange(15))


def test_curriculum_of_cda():
    def found(**changes):
        return curriculum(Recover(iterations=8, area=0.08, **changes))

    t = np.arange(8)
    expected = 0.08 + 0.92 * (1 + np.cos(np.pi * t / 8)) / 2
    np.testing.assert_allclose(found(), expected)
    linear = [1.0, 0.77, 0.54, 0.31, 0.08, 0.08, 0.08, 0.08]
    np.testing.assert_allclose(found(curriculum="linear", milestone=0.5), linear)
    step = [1, 1, 1, 1, 1, 1, 0.08, 0.08]
    np.testing.assert_allclose(found(curriculum="step", milestone=0.75), step)
    cosine = found(milestone=0.5)
    np.testing.assert_allclose(cosine[[0, 2, 4, 7]], [1, 0.54, 0.08, 0.08])


def test_cda_that_never_crops_is_sre2l_that_does_not():
    step = make("cda", dataclasses.replace(SETTINGS, curriculum="step"))
    # A crop of 0.9999 of the area is the whole image, in whole pixels.
    whole = make("sre2l", dataclasses.replace(SETTINGS, area=0.9999))
    np.testing.assert_array_equal(step.images, whole.images)
    cropped = make("sre2l").images - whole.images.astype(int)
    assert np.mean(np.abs(cropped) > 1) > 0.5


def normalised():
    pool, labels = recovering.images()
    shown = ((pool / 255 - recovering.MEAN) / recovering.STD).astype(np.float32)
    return shown, labels


def climb(rho, steps):
    """Returns what a teacher becomes, and how far it went as one vector."""
    teacher = recovering.teacher()
    shown, labels = normalised()
    moved = ascend(NETWORK, teacher.variables, shown[:3], labels[:3], rho, steps)
    old, new = teacher.variables, moved
    jax.tree.map(np.testing.assert_array_equal, old["batch_stats"], new["batch_stats"])
    leaves = (jax.tree.leaves(variables["params"]) for variables in (old, new))
    pairs = zip(*leaves, strict=True)
    return moved, np.concatenate([np.ravel(np.float64(b) - a) for a, b in pairs])


def test_dwa_climbs_in_steps_of_equal_length():
    # Small ways are straight: K steps in one direction make rho.
    once, often = climb(1e-2, 1)[1], climb(1e-2, 4)[1]
    np.testing.assert_allclose(np.linalg.norm(once), 1e-2, rtol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(often), 1e-2, rtol=2e-2)
    assert once @ often > 0.95 * 1e-4
    # Long ones are bent.
    assert np.linalg.norm(climb(5.0, 12)[1]) < 4.9


def test_dwa_climbs_up():
    shown, labels = normalised()

    @jax.jit
    def loss(variables):
        logits, _ = NETWORK.apply(variables, shown[:3])
        return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(3), labels[:3]])

    assert loss(climb(0.5, 5)[0]) > 1.1 * loss(recovering.teacher().variables)


def test_dwa_climbs_from_the_teacher_in_every_batch(monkeypatch):
    calls = []

    def recorded(network, variables, *arguments):
        calls.append((variables, arguments))
        return ascend(network, variables, *arguments)

    monkeypatch.setattr(dwa_module, "ascend", recorded)
    make("dwa")
    assert len(calls) == 2
    for variables, (shown, labels, rho, steps) in calls:
        jax.tree.map(
            np.testing.assert_array_equal, variables, recovering.teacher().variables
        )
        assert shown.shape == (3, 8, 8, 1) and labels.tolist() == [0, 1, 2]
        assert (rho, steps) == (SETTINGS.rho, SETTINGS.ascent_steps)


def test_dwa_that_does_not_climb_is_sre2l_from_real_images():
    still = dataclasses.replace(SETTINGS, rho=0.0, var_weight=1.0)
    plain = dataclasses.replace(SETTINGS, init="random")
    expected = make("sre2l", plain)
    np.testing.assert_array_equal(make("dwa", still).images, expected.images)
    assert np.any(make("dwa").images != expected.images)


@pytest.mark.parametrize("chunk", [12, 5])
def test_class_statistics_are_those_of_all_images_together(chunk):
    teacher = recovering.teacher()
    pool, shown = recovering.images()[0], normalised()[0]
    run = jax.jit(
        lambda x: teacher.network.inspect(
            teacher.variables, x, {"norm": models.moments}
        )
    )
    found = statistics_of(
        teacher.network,
        teacher.variables,
        pool,
        recovering.MEAN,
        recovering.STD,
        chunk=chunk,
    )
    expected = run(shown)[1]
    assert found.keys() == expected.keys()
    for layer, pair in expected.items():
        for a, b in zip(found[layer], pair, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_lpld_matches_the_class_of_each_batch(monkeypatch):
    seen = []

    def recorded(task, settings, looks, *rest):
        def kept(batch, views):
            networks, found = looks(batch, views)
            seen.append((batch, found))
            return networks, found

        return synthesis.synthesise(task, settings, kept, *rest)

    monkeypatch.setattr(lpld_module, "synthesise", recorded)
    make("lpld")
    pool, labels = recovering.images()
    teacher = recovering.teacher()
    assert [batch.labels.tolist() for batch, _ in seen] == [[c] * 3 for c in range(3)]
    for label, (_, (look,)) in enumerate(seen):
        expected = statistics_of(
            teacher.network,
            teacher.variables,
            pool[labels == label],
            recovering.MEAN,
            recovering.STD,
            chunk=4,
        )
        jax.tree.map(np.testing.assert_array_equal, look.statistics, (expected,))


def test_a_committee_weighs_teachers_by_their_prior():
    start = make("sre2l")
    one, two = recovering.teacher(0, "one"), recovering.teacher(1, "two")

    def made(prior, *teachers):
        settings = dataclasses.replace(SETTINGS, prior=prior, drawn=0)
        return make("cv_dd", settings, start, teachers=teachers).info

    alone = made((), one), made((), two)
    twins = made((), one, one)
    far, even = made((0.0, 100.0), one, two), made((), one, two)
    for name in alone[0]:
        # A teacher twice is that teacher, and weights of 0 and 1 leave one.
        np.testing.assert_allclose(twins[name][0], alone[0][name][0], rtol=1e-3)
        np.testing.assert_allclose(far[name], alone[1][name], rtol=1e-2)
        assert abs(even[name][0] - alone[1][name][0]) > 1e-3


def test_what_cannot_be_made_is_refused():
    flat = models.network("mlp", 3, (8, 8, 1), hidden=(4,))
    teacher = Teacher("flat", flat, flat.init(jax.random.key(0)))
    with pytest.raises(InputError, match="teachers: 'flat' has no batch norm"):
        make("sre2l", teachers=(teacher,))
    with pytest.raises(InputError, match="recover.area: found 1.0, .* cda .* below 1"):
        make("cda", dataclasses.replace(SETTINGS, area=1.0))
    with pytest.raises(InputError, match="recover.init: found 'rded' and no start"):
        sre2lpp(recovering.task(), SETTINGS)
    with pytest.raises(InputError, match="ipc: found 5, but class 0 has only 4 real"):
        make("dwa", ipc=5)
    prior = dataclasses.replace(SETTINGS, prior=(50.0, 60.0), drawn=1)
    with pytest.raises(InputError, match="recover.prior: found .* each of 1 teachers"):
        make("cv_dd", prior)
    with pytest.raises(InputError, match="recover.drawn: found 2, .* the 1 teachers"):
        make("cv_dd")
    with pytest.raises(
        InputError, match="start: found 9 images, allowed are 2 of each"
    ):
        make("sre2l", start=make("lpld"))
    lonely = {"labels": np.zeros(12, np.int32)}
    with pytest.raises(InputError, match="images: found none of class 1"):
        make("lpld", **lonely)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("iterations", 0),
        ("learning_rate", 0.0),
        ("batch", 0),
        ("beta1", 1.0),
        ("beta2", -0.1),
        ("bn_weight", -1.0),
        ("first_bn", float("nan")),
        ("area", 0.0),
        ("jitter", -1),
        ("curriculum", "sine"),
        ("milestone", 1.5),
        ("var_weight", float("inf")),
        ("rho", -0.1),
        ("ascent_steps", 0),
        ("prior", (101.0,)),
    ],
)
def test_settings_name_the_key_that_is_wrong(key, value):
    walk.check(Recover(), "recover")
    with pytest.raises(InputError, match=f"^recover.{key}: found .* allowed is"):
        walk.check(dataclasses.replace(Recover(), **{key: value}), "recover")
