"""SRe2L and its family: what sets each apart, and what all of them keep."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recovering

from ddjax import mesh, models
from ddjax.artifacts import Cost
from ddjax.declare import walk
from ddjax.distill import METHODS, Teacher, dwa, recovery, synthesis
from ddjax.distill.cv_dd import CvDd
from ddjax.distill.dwa import Dwa
from ddjax.distill.edc import Edc
from ddjax.distill.g_vbsm import GVbsm
from ddjax.distill.recovery import Recover
from ddjax.distill.sre2l import Cda, curriculum
from ddjax.distill.statistics import statistics_of
from ddjax.errors import InputError

NETWORK = recovering.NETWORK
STAGED = ("delt", "fadrm")  # which have tests of their own
FAMILY = [name for name, m in METHODS.items() if isinstance(m, recovery.Recovery)]
FAMILY = [name for name in FAMILY if name not in STAGED]
# Options of all methods that start from RDED's images unless they say.
MANY = {"init": "random", "batch": 3, "iterations": 24}
OWN = {
    "cv_dd": MANY,
    "edc": MANY | {"edc": Edc(flatness=1.0)},
    "g_vbsm": MANY,
    "sre2lpp": {"init": "random"},
}
TWO = ("cv_dd", "edc", "g_vbsm")  # with two teachers
LPLD_IPC = 3  # three images a batch, as the others have: one program for all


@pytest.fixture(autouse=True)
def short_segments(monkeypatch):
    monkeypatch.setattr(synthesis, "SEGMENT", 20)  # of 48 iterations or 24


def task_of(name, **changes):
    if name == "lpld":
        changes = {"ipc": LPLD_IPC} | changes
    if name in TWO:
        teachers = recovering.teacher(0, "one"), recovering.teacher(1, "two")
        changes = {"teachers": teachers} | changes
    return recovering.task(**changes)


def entry_of(name, **options):
    return recovering.entry(name, **OWN.get(name, {}) | options)


def make(name, start=None, entry=None, **changes):
    entry = entry or entry_of(name)
    return METHODS[name].synthesise(task_of(name, **changes), entry, start)


@functools.cache
def usual(name):
    """Returns the set of a method's usual entry, made once for all tests."""
    return make(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILY)
def test_every_method_gives_a_balanced_set_and_gives_it_again(name):
    found, again, other = usual(name), make(name), make(name, seed=1)
    ipc = LPLD_IPC if name == "lpld" else 2
    assert found.images.shape == (3 * ipc, 8, 8, 1) and found.images.dtype == np.uint8
    np.testing.assert_array_equal(found.labels, np.repeat(np.arange(3), ipc))
    assert found.labels.dtype == found.sources.dtype == np.int32
    np.testing.assert_array_equal(found.images, again.images)
    assert found.info == again.info
    assert np.abs(found.images.astype(int) - other.images).mean() > 5
    starts = name in ("dwa", *OWN)
    assert found.sources.shape == (3 * ipc, int(starts))
    if starts:  # real images of the class, each once
        np.testing.assert_array_equal((found.sources[:, 0] - 100) % 3, found.labels)
        assert len(set(found.sources[:, 0])) == len(found.sources)
    parts = {"g_vbsm": ["likeness"], "edc": ["flatness"]}.get(name, [])
    assert list(found.info) == ["cross_entropy", "statistics", *parts]
    segments = {len(curve) for curve in found.info.values()}
    assert segments == {2 if name in TWO else 3}


@pytest.mark.parametrize("name", FAMILY)
def test_a_set_costs_what_was_planned(name):
    ipc, through = (LPLD_IPC if name == "lpld" else 2), 1 + (name == "cv_dd")
    cost, climbs = usual(name).cost, Dwa.ascent_steps if name == "dwa" else 0
    iterations = entry_of(name).recover.iterations
    assert cost.train_passes == (iterations * through + climbs) * 3 * ipc
    assert cost.forward_passes == {"lpld": 12, "g_vbsm": 24, "edc": 24}.get(name, 0)
    assert cost.flops > cost.train_passes * 8 * 8 * 9 * 4 * 2 * 2
    assert cost.seconds > 0 and json.dumps(dataclasses.asdict(cost))
    outline = task_of(name).outline()
    planned = METHODS[name].work(outline, entry_of(name), ipc)
    expected = Cost(0, 0, cost.forward_passes, cost.train_passes, planned.flops)
    assert planned == expected
    # The plan knows the statistics of the whole, edc's of classes are beside them.
    assert planned.flops == pytest.approx(cost.flops, rel=1e-2)


def test_sre2lpp_starts_from_the_patches_that_rded_stitches():
    entry = recovering.entry("sre2lpp")
    found, start = make("sre2lpp", entry=entry), make("rded", entry=entry)
    np.testing.assert_array_equal(found.sources, start.sources)
    given = make("sre2l", start)
    np.testing.assert_array_equal(found.images, given.images)
    # All four images of three classes are cropped.
    assert found.cost.forward_passes == start.cost.forward_passes == 12 * 5
    planned = METHODS["sre2lpp"].work(recovering.task().outline(), entry, 2)
    assert planned.forward_passes == 12 * 5
    assert planned.flops == pytest.approx(found.cost.flops)


def test_options_are_those_that_determine_a_set():
    def names(method, **options):
        return [*METHODS[method].options(recovering.entry(method, **options))]

    assert names("sre2l") == ["recover"]
    assert names("sre2l", init="rded") == names("sre2lpp") == ["recover", "patches"]
    assert names("dwa") == ["recover", "dwa"]
    assert names("edc", init="noise") == ["recover", "edc"]
    assert names("ca2d") == ["patches", "ca2d"]
    path = recovering.entry("sre2lpp", init="folder")
    assert METHODS["sre2lpp"].start(path) == ("recover.init", "folder")
    assert METHODS["sre2lpp"].start(recovering.entry("sre2lpp")) is None


def test_both_parts_of_the_loss_fall(monkeypatch):
    monkeypatch.setattr(synthesis, "SEGMENT", 6)
    for name, curve in make("sre2l").info.items():
        assert curve[-1] < 0.95 * curve[0], name


@pytest.mark.parametrize("name", ["dwa", "lpld", "g_vbsm", "edc"])
def test_resumed_equals_uninterrupted(name, tmp_path):
    class Stopped(Exception):
        pass

    steps = []

    def stop_at_fifth(count):
        steps.append(count)
        if len(steps) == 5:  # within the second batch or the third
            raise Stopped

    whole = usual(name)
    with pytest.raises(Stopped):
        make(name, folder=tmp_path, progress=stop_at_fifth)
    resumed = make(name, folder=tmp_path, progress=steps.append)
    batches = 2 if name == "dwa" else 3  # of images across classes, or of classes
    segments = [20, 4] if name in TWO else [20, 20, 8]
    assert steps == segments * batches
    np.testing.assert_array_equal(resumed.images, whole.images)
    assert resumed.info == whole.info
    assert resumed.cost.train_passes == whole.cost.train_passes
    assert resumed.cost.flops == whole.cost.flops > 0
    again = make(name, folder=tmp_path, progress=steps.append)
    assert steps == segments * batches
    np.testing.assert_array_equal(again.images, whole.images)
    other = entry_of(name, beta1=0.4)
    with pytest.raises(InputError, match="folder: .*batch-000000 belongs to anoth"):
        make(name, entry=other, folder=tmp_path)


def test_batches_of_images():
    across = recovery.across_classes(5, 3, 3)
    assert [b.labels.tolist() for b in across] == [[0, 1, 2], [3, 4]] * 3
    assert [b.slots.tolist() for b in across[:2]] == [[0, 3, 6], [9, 12]]
    within = recovery.within_classes(5, 3, 2)
    assert [b.labels.tolist() for b in within[:4]] == [[0, 0], [0], [1, 1], [1]]
    whole = recovery.whole_classes(5, 3, 7)
    assert [b.labels.tolist() for b in whole] == [
        [0] * 3 + [1] * 3,
        [2] * 3 + [3] * 3,
        [4] * 3,
    ]
    for every in (across, within, whole):
        slots = np.concatenate([batch.slots for batch in every])
        np.testing.assert_array_equal(np.sort(slots), np.arange(15))
    small = recovery.whole_classes(5, 3, 2)
    assert [b.labels.tolist() for b in small[:3]] == [[0, 0], [0], [1, 1]]


def test_curriculum_of_cda():
    def found(**changes):
        options = {"iterations": 8, "area": 0.08, "cda": Cda(**changes)}
        return curriculum(recovering.entry("cda", **options))

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
    step = make("cda", entry=recovering.entry("cda", cda=Cda("step")))
    # A crop of 0.9999 of the area is the whole image, in whole pixels.
    whole = make("sre2l", entry=recovering.entry(area=0.9999))
    np.testing.assert_array_equal(step.images, whole.images)
    cropped = usual("sre2l").images - whole.images.astype(int)
    assert np.mean(np.abs(cropped) > 1) > 0.5


def normalised():
    pool, labels = recovering.images()
    return ((pool / 255 - recovering.MEAN) / recovering.STD).astype(np.float32), labels


def climb(rho, steps):
    """Returns what a teacher becomes, and how far it went as one vector."""
    teacher = recovering.teacher()
    images, labels = normalised()
    moved = dwa.ascend(NETWORK, teacher.variables, images[:3], labels[:3], rho, steps)
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
    images, labels = normalised()

    @jax.jit
    def loss(variables):
        logits, _ = NETWORK.apply(variables, images[:3])
        return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(3), labels[:3]])

    assert loss(climb(0.5, 5)[0]) > 1.1 * loss(recovering.teacher().variables)


def test_dwa_climbs_from_the_teacher_in_every_batch(monkeypatch):
    calls = []

    def recorded(network, variables, *arguments):
        calls.append((variables, arguments))
        return ascend(network, variables, *arguments)

    ascend = dwa.ascend
    monkeypatch.setattr(dwa, "ascend", recorded)
    make("dwa")
    assert len(calls) == 2
    for variables, (images, labels, rho, steps) in calls:
        jax.tree.map(
            np.testing.assert_array_equal, variables, recovering.teacher().variables
        )
        assert images.shape == (3, 8, 8, 1) and labels.tolist() == [0, 1, 2]
        assert (rho, steps) == (Dwa.rho, Dwa.ascent_steps)


def test_dwa_that_does_not_climb_is_sre2l_from_real_images():
    still = recovering.entry("dwa", dwa=Dwa(rho=0.0, var_weight=1.0))
    expected = make("sre2l", entry=recovering.entry(init="random"))
    np.testing.assert_array_equal(make("dwa", entry=still).images, expected.images)
    assert np.any(usual("dwa").images != expected.images)


def targets(name, entry=None, **changes):
    """Returns the batches of a set, each with the targets of its teachers."""
    method, task = METHODS[name], task_of(name, **changes)
    entry = entry or entry_of(name)
    targets_of = method.function(task, entry)
    batches = method.batches(task.num_classes, task.ipc, entry.recover.batch)
    return [
        (batch, [target for _, target in targets_of(batch, None)]) for batch in batches
    ]


def statistics(rows, patch=0):
    teacher, pool = recovering.teacher(), recovering.images()[0][rows]
    numbers = recovering.MEAN, recovering.STD
    return statistics_of(teacher.network, teacher.variables, pool, *numbers, patch)


def test_lpld_matches_the_class_of_each_batch():
    labels, found = recovering.images()[1], targets("lpld")
    assert [batch.labels.tolist() for batch, _ in found] == [[c] * 3 for c in range(3)]
    for label, (_, (target,)) in enumerate(found):
        close(statistics(np.flatnonzero(labels == label)), target.statistics[0])


def close(expected, found):
    assert found.keys() == expected.keys()
    for layer, rows in expected.items():
        for a, b in zip(found[layer], rows, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_edc_matches_the_classes_of_each_batch():
    teacher = recovering.teacher()
    found = targets("edc", entry_of("edc", batch=4), teachers=(teacher,))
    (first, (target,)), (last, (last_target,)) = found
    assert [b.labels.tolist() for b in (first, last)] == [[0, 0, 1, 1], [2, 2]]
    running = models.running_moments(teacher.variables)
    classes = np.arange(12) % 3
    for each, rows in ((target, classes < 2), (last_target, classes == 2)):
        whole, part = each.statistics
        close(statistics(np.arange(12), patch=4) | running, whole)
        close(statistics(np.flatnonzero(rows), patch=4), part)


def test_g_vbsm_matches_the_pool_where_nothing_is_remembered():
    (_, (target, _)), *_ = targets("g_vbsm")
    running = models.running_moments(recovering.teacher().variables)
    close(statistics(np.arange(12), patch=4) | running, target.statistics[0])


def test_cv_dd_draws_other_teachers_for_each_image_index():
    def name(statistics):
        return float(statistics["features.1"][0][0])

    teachers = tuple(recovering.teacher(seed, str(seed)) for seed in range(3))
    own = [name(models.running_moments(teacher.variables)) for teacher in teachers]
    entry = entry_of("cv_dd", cv_dd=CvDd(prior=(50.0, 55.0, 60.0)))
    pairs = []
    for batch, found in targets("cv_dd", entry, teachers=teachers, ipc=4):
        assert np.ptp(batch.slots % 4) == 0
        first, second = (own.index(name(target.statistics[0])) for target in found)
        assert first < second
        pairs.append((first, second))
        ratio = float(found[1].weight / found[0].weight)
        np.testing.assert_allclose(ratio, np.exp(second - first), rtol=1e-4)
    assert len(pairs) == 4 and len(set(pairs)) > 1


def test_an_ensemble_weighs_teachers_by_their_prior():
    start = usual("sre2l")
    one, two = recovering.teacher(0, "one"), recovering.teacher(1, "two")
    twin = dataclasses.replace(one, name="twin")

    def found(prior, *teachers):
        entry = recovering.entry("cv_dd", cv_dd=CvDd(prior, drawn=0))
        return make("cv_dd", start, entry, teachers=teachers).info

    alone = found((), one), found((), two)
    twins = found((), one, twin)
    far, even = found((0.0, 100.0), one, two), found((), one, two)
    for name in alone[0]:
        # A teacher twice is that teacher, and weights of 0 and 1 leave one.
        np.testing.assert_allclose(twins[name][0], alone[0][name][0], rtol=1e-3)
        np.testing.assert_allclose(far[name], alone[1][name], rtol=1e-2)
        assert abs(even[name][0] - alone[1][name][0]) > 1e-3


def refuse(name, message, start=None, *, entry=None, **changes):
    with pytest.raises(InputError, match=message):
        make(name, start, entry, **changes)


def test_what_cannot_be_synthesised_is_refused():
    flat = models.network("mlp", 3, (8, 8, 1), hidden=(4,))
    teacher = Teacher("flat", flat, flat.init(jax.random.key(0)))
    no_norm = "teachers: found 'flat', allowed is teachers with batch norm"
    refuse("sre2l", no_norm, teachers=(teacher,))
    with pytest.raises(InputError, match="teachers: 'flat' has no batch norm"):
        synthesis.target_of(teacher)
    whole = recovering.entry("cda", area=1.0)
    refuse("cda", "recover.area: found 1.0, .* below 1", entry=whole)
    path = recovering.entry("sre2lpp", init="folder")
    refuse("sre2lpp", "recover.init: found 'folder', .* no image set", entry=path)
    refuse("dwa", "init: found 'random', .* at most the 4 real images .* not 5", ipc=5)
    one = recovering.teacher()
    prior = entry_of("cv_dd", cv_dd=CvDd((50.0, 60.0), 1))
    says = "cv_dd.prior: found .* each of 1 teachers"
    refuse("cv_dd", says, entry=prior, teachers=(one,))
    says = "cv_dd.drawn: found 2, .* the 1 teachers"
    refuse("cv_dd", says, entry=entry_of("cv_dd"), teachers=(one,))
    start = usual("sre2l")
    for images, labels, says in (
        (start.images, np.repeat(np.arange(3), 2)[::-1], "2 images .* it has 2 to 2"),
        (start.images[:3], np.arange(3), "a set of 2 images of .* it has 1 to 1"),
        (start.images[:, :7], start.labels, r"\(8, 8, 1\); it has \(7, 8, 1\)"),
    ):
        changed = dataclasses.replace(start, images=images, labels=labels)
        refuse("sre2l", f"recover.init: .*{says}", changed)
    lonely = {"labels": np.zeros(12, np.int32)}
    for name in ("lpld", "edc"):
        entry = entry_of(name, init="noise")
        refuse(name, "images: found none of class 1", entry=entry, **lonely)


@pytest.mark.slow
def test_several_devices_give_the_images_of_one(monkeypatch):
    entry = entry_of("cv_dd", iterations=4)
    alone = make("cv_dd", entry=entry)
    # Three of a CPU's devices share a batch of three, as accelerators do.
    onto = mesh.mesh_of(1, 3, jax.devices()[:3])
    monkeypatch.setattr(mesh, "grid", lambda batch: onto)
    spread = make("cv_dd", entry=entry)
    # But for rounding, to which Adam's first steps answer where a gradient is nothing.
    off = np.abs(spread.images.astype(int) - alone.images)
    assert np.mean(off > 1) < 0.02
    for name, curve in spread.info.items():
        np.testing.assert_allclose(curve, alone.info[name], rtol=1e-3)


WRONG = (
    (Recover, {"iterations": 0, "learning_rate": 0.0, "batch": 0, "beta1": 1.0}),
    (Recover, {"beta2": -0.1, "bn_weight": -1.0, "first_bn": float("nan")}),
    (Recover, {"area": 0.0, "jitter": -1}),
    (Cda, {"curriculum": "sine", "milestone": 1.5}),
    (Dwa, {"var_weight": float("inf"), "rho": -0.1, "ascent_steps": 0}),
    (CvDd, {"prior": (101.0,), "drawn": -1}),
    (GVbsm, {"momentum": 1.0, "patch": 0, "drop_rate": 1.0, "likeness": -1.0}),
    (Edc, {"flatness": -1.0, "flatness_momentum": 1.0}),
)


@pytest.mark.parametrize("kind, wrong", WRONG)
def test_options_name_the_key_that_is_wrong(kind, wrong):
    walk.check(kind(), "options")
    for key, value in wrong.items():
        with pytest.raises(InputError, match=f"^options.{key}: found .* allowed is"):
            walk.check(kind(**{key: value}), "options")
