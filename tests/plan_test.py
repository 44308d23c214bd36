"""A run's plan, against what a run books and numbers by hand."""

import dataclasses

import numpy as np
import pytest
import tiny

from ddjax import artifacts, data, distill, models, pipeline, plan, settings
from ddjax.data.augment import Recipe
from ddjax.distill.cv_dd import CvDd
from ddjax.distill.recovery import Recover
from ddjax.errors import InputError
from ddjax.labels import Objective
from ddjax.settings import Distill, from_config
from ddjax.stages import report
from ddjax.stages.stage import Plan, Trainings, Work
from ddjax.train import programs, student

IPC = 2
PASSES = ("forward_passes", "train_passes")


def config(source, *entries, **changes):
    made = tiny.config(source, **changes)
    made.teacher.network.name = "convnet_d1"
    made.teacher.network.convnet.width = 4
    made.teacher.network.convnet.norm = "batch"
    for entry in entries:
        settings.add_distillation(made, entry)
        sections = distill.METHODS[entry].sections
        if "patches" in sections:
            made.distill[entry].patches.candidates = 6
        if "ca2d" in sections:
            made.distill[entry].ca2d.pool = 8
        if "recover" in sections:
            made.distill[entry].recover.iterations = 2
    return made


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return tiny.write(tmp_path_factory.mktemp("source") / "tiny.npz")


def planned(made):
    return plan.total(plan.open_plan(from_config(made)))


def rows_of(made):
    return {work.name: work.cost for work in planned(made).work}


def booked(made, folder):
    """What a run books, by name, without its report."""
    found = []

    def write(_, draws, *__):
        found.extend(row for row in draws[0].run.costs if not row["reused"])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "_write", write)
        pipeline.run(from_config(made), folder)
    return {name: sum(row[name] for row in found) for name in PASSES}


def expected(made):
    rows = rows_of(made).values()
    return {name: sum(getattr(row, name) for row in rows) for name in PASSES}


def test_passes_are_those_that_a_run_books(source, tmp_path):
    made = config(
        source,
        "pca",
        regimes=("hard",),
        select__methods=("random", "cad_prune", "el2n_best_window"),
    )
    assert expected(made) == booked(made, tmp_path / "run")
    kept = {each.name: each.bytes for each in planned(made).stored}
    network = programs.native(plan.open_plan(from_config(made)).student_network)
    weights = len(made.protocol.seeds) * programs.variable_bytes(network)
    assert kept["trace, hard, IPC 2"] - weights == on_disk(tmp_path, "trace")
    assert kept["subsets, IPC 2"] == on_disk(tmp_path, "subsets")
    assert kept["synthetic sets, pca, IPC 2"] == on_disk(
        tmp_path, "synthetic", "images"
    )
    students = sum(size for name, size in kept.items() if "students" in name)
    assert (
        on_disk(tmp_path, "students") <= students < 1.3 * on_disk(tmp_path, "students")
    )


def on_disk(folder, kind, *names):
    """Bytes of the arrays, or some of them, of all artifacts of a kind."""
    total = 0
    for path in (folder / "run" / "artifacts").glob(f"{kind}-*"):
        arrays = artifacts.load(path, kind, "").arrays
        total += sum(arrays[name].nbytes for name in names or arrays)
    return total


@pytest.mark.slow
def test_passes_of_all_stages_are_those_that_a_run_books(source, tmp_path):
    made = config(
        source,
        *("dwa", "lpld", "sre2lpp", "pca"),
        regimes=("hard", "soft"),
        student__learning_rates=(0.01, 0.02),
        select__methods=("random", "el2n_best_window", "grand_easy", "k_center"),
        select__runs=2,
    )
    settings.add_transfer(made, "convnet_d1", width=4, norm="batch")
    settings.add_labels(made, "stored", codec="fp16", slc=20)
    assert expected(made) == booked(made, tmp_path / "run")


def test_stored_labels_are_counted_once_for_all_codecs(source):
    made = config(source, regimes=())
    for name, codec in (("full", "fp32"), ("half", "fp16")):
        settings.add_labels(made, name, codec=codec)
    rows = rows_of(made)
    kept = {each.name: each.bytes for each in planned(made).stored}
    # Two selections, two seeds, 20 epochs of 2 images of 3 classes.
    count = 2 * 2 * 20 * IPC * 3
    assert rows["stored labels, full, IPC 2"].forward_passes == count
    assert "stored labels, half, IPC 2" not in rows  # copied from the others
    assert kept["stored labels, full, IPC 2"] == count * 3 * 4
    assert kept["stored labels, half, IPC 2"] == count * 3 * 2
    assert "labels, uncompressed, IPC 2" not in kept  # they are the full ones


def test_several_codecs_are_made_from_uncompressed_labels(source):
    made = config(source, regimes=())
    for name, codec in (("half", "fp16"), ("byte", "int8")):
        settings.add_labels(made, name, codec=codec)
    kept = [each for each in planned(made).stored if "uncompressed" in each.name]
    assert [each.bytes for each in kept] == [2 * 2 * 20 * IPC * 3 * 3 * 4]


def test_a_teacher_from_a_bundle_costs_nothing(source, tmp_path):
    made = tiny.config(source, regimes=(), teacher__epochs=1)
    pipeline.run(from_config(made), tmp_path / "run")
    bundle = next((tmp_path / "run" / "artifacts").glob("teacher-*"))
    paid = rows_of(tiny.config(source, regimes=("soft_kd",)))
    made = tiny.config(source, regimes=("soft_kd",), teacher__path=str(bundle))
    made.teacher.network.mlp.hidden = (500,)  # the bundle knows better
    free = rows_of(made)
    assert set(paid) - set(free) == {"teacher, mlp"}
    name = "students, mlp, soft_kd, IPC 2"
    assert free[name] == paid[name]


def test_operations_are_those_of_native_convolutions():
    network = programs.native(
        models.network("convnet_d1", 3, (8, 8, 1), width=32, norm="none")
    )
    # 3 x 3 products a pixel and channel, but for the border, and the last layer.
    products = 32 * (3 * 8 - 2) ** 2 + 16 * 32 * 3
    found = programs.forward_flops(network)
    assert 2 * products <= found < 2.5 * products


@pytest.mark.slow
def test_an_iteration_counts_once_and_by_image():
    network = programs.native(models.network("convnet_d1", 3, (8, 8, 1), norm="batch"))

    def found(method="sre2l", teachers=1, ipc=1, drawn=0, iterations=2):
        recover = Recover(iterations=iterations, init="noise")
        entry = Distill(method, recover=recover, cv_dd=CvDd(drawn=drawn))
        networks = {str(name): network for name in range(teachers)}
        outline = distill.Outline(3, np.zeros(3, int), (8, 8, 1), networks)
        work = distill.METHODS[method].work(outline, entry, ipc)
        return work.flops / iterations

    one = found()
    assert found(iterations=500) == one
    assert 1.9 < found(ipc=2) / one < 2.1
    assert found(teachers=2) == one  # the first is asked
    assert 1.8 < found("cv_dd", teachers=2) / one < 2.1
    assert found("cv_dd", teachers=3, drawn=2) == found("cv_dd", teachers=2)
    turns = [found(name, 2) for name in ("g_vbsm", "edc")]
    assert all(one < each < 1.8 * one for each in turns)


def test_hours_are_operations_by_the_rate_that_is_kept_up():
    work = Work("a", 1, 2, lambda: 3600 * 0.35 * 989e12), Work("b", 10, 20)
    table = plan.table(Plan(work))
    assert table["H100"].to_list() == pytest.approx([1.0, 0.0, 1.0])
    assert table["TPU v5e"].iloc[0] == pytest.approx(989 / 197)
    last = table.iloc[-1]
    assert last["stage"] == "all"
    assert (last["forward_passes"], last["train_passes"]) == (11, 22)


def group_of(program, driver, members):
    counts = {"count": members, "whole": 0, "steps": 5, "images": 4, "held": 4}
    return Trainings("students", program, driver, members=members, **counts)


def test_groups_lie_on_chips_as_they_will():
    network = models.network("mlp", 3, (4, 4, 1))
    program = student.Program(network, Objective("hard"), Recipe(), batch_size=12)
    # Chips that share a batch, members at once, members held.
    layouts = {
        ("loop", 1): (1, 1, 6),
        ("loop", 8): (4, 1, 6),
        ("vmap", 1): (1, 8, 8),
        ("vmap", 8): (4, 8, 8),
        ("mesh", 1): (1, 8, 8),
        ("mesh", 4): (1, 2, 2),
        ("auto", 8): (1, 1, 1),
    }
    for (driver, chips), expected in layouts.items():
        assert group_of(program, driver, 6).layout(chips) == expected
    assert group_of(program, "mesh", 6).layout(8, shared=4) == (4, 4, 4)


def test_a_run_s_trainings_are_its_students(source):
    made = config(source, "pca", regimes=("hard", "soft"))
    made.select.methods = ("random", "el2n_best_window")
    made.student.learning_rates = (0.01, 0.02)
    made.sweep.members = 4
    settings.add_transfer(made, "convnet_d1", width=4, norm="batch")
    found = {each.name.partition(",")[0]: [] for each in planned(made).trainings}
    for each in planned(made).trainings:
        found[each.name.partition(",")[0]].append(each)
    (teacher,), (scoring,) = found["teacher"], found["scoring runs"]
    hard, soft, other, _ = found["students"]
    assert (teacher.count, teacher.images, scoring.count) == (1, 96, 2)
    # Two rates, random and full; two windows; four kinds with two seeds.
    assert hard.count == soft.count == 2 * 2 + 2 + 4 * 2
    assert other.count == 2 * 2 + 4 * 2  # no search
    # The six selected and full ones are trained in threes, the rates in one four.
    assert (hard.members, hard.whole, hard.steps, hard.images) == (4, 2 + 2, 20, 6)


@pytest.mark.parametrize(
    "name, shape, options",
    [
        ("convnet_d1", (16, 16, 1), {"width": 8, "norm": "instance"}),
        ("convnet_d2", (16, 16, 1), {"width": 8, "norm": "batch"}),
        pytest.param(
            "resnet18",
            (32, 32, 3),
            {"width": 4, "stem": "large"},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_memory_is_within_a_factor_of_two_of_the_compiler_s(name, shape, options):
    network = programs.native(models.network(name, 3, shape, **options))
    program = student.Program(network, Objective("hard"), Recipe(), batch_size=16)
    step = programs.training_step(program, 3)
    found = step.function.lower(*step.arguments).compile().memory_analysis()
    # Gradients, and what the backward pass waits for.
    told = programs.variable_bytes(network) + 16 * programs.activation_bytes(network)
    assert 0.5 < told / found.temp_size_in_bytes < 2
    assert programs.state_bytes(program) == pytest.approx(
        found.output_size_in_bytes, 0.1
    )


def test_weights_are_no_activations():
    network = models.network("mlp", 3, (8, 8, 1), hidden=(1000,))
    pixels, found = 4 * 64, programs.activation_bytes(network)
    # The image, and the layer's output once and at most twice again for its ReLU.
    assert pixels + 4 * 1000 <= found < pixels + 3 * 4 * 1000
    assert programs.variable_bytes(network) > 10 * found


def test_memory_of_a_device(source):
    made = config(source, regimes=("soft",))
    problem = plan.open_plan(from_config(made))
    (sweep,) = (t for t in planned(made).trainings if t.name.startswith("students"))
    found = plan.per_device(problem, sweep, 1)
    pixels, numbers = 8 * 8, 8 * 8 * 8 + 8 + 8 * 3 + 3
    assert (found.images, found.labels) == (96 * pixels, 4 * 96 * 3)
    # Loop: six members are held, one has gradients; the curve, step, seed and count.
    assert found.weights == 6 * (3 * 4 * numbers + 4 * 103) + 4 * numbers
    divided = plan.per_device(problem, sweep, 2)
    assert divided.images == found.images / 2
    assert divided.activations == found.activations / 2


def test_the_plan_fits_a_page(source):
    made = config(source, "pca", regimes=("hard", "soft"))
    problem, total = plan.open_plan(from_config(made)), planned(made)
    found = plan.text(problem, total, plan.table(total))
    heads = [part.split()[0].strip(":,") for part in found.split("\n\n")]
    assert heads == ["PROGRAMS", "WORK", "DISK", "MEMORY"]
    assert max(map(len, found.splitlines())) <= 120
    assert "all, on 64 chips" in found and "to decode" not in found


def test_known_sources_need_no_data():
    made = settings.defaults()
    made.data.source = "tfds:imagenet2012:5.1.0"
    made.data.image_size = 224
    made.data.validation = 0.02
    problem = plan.open_plan(from_config(made))
    assert len(problem.pool) + len(problem.validation) == 1_281_167
    assert problem.pool.images.shape[1:] == problem.source.shape == (224, 224, 3)
    # Classes of 1281 and 1282 images give 26 each.
    assert len(problem.validation) == 26_000 and len(problem.test) == 50_000
    assert problem.pool.images.strides == (0, 0, 0, 0)
    assert problem.recipe("hard").dsa is None and problem.source.mean == (0.5,) * 3
    thinned = from_config(made)
    thinned = dataclasses.replace(
        thinned, data=dataclasses.replace(thinned.data, pool=5000)
    )
    problem = plan.open_plan(thinned)
    assert len(problem.pool) + len(problem.validation) == 5000


def test_facts_are_found_by_name():
    assert data.facts("folder:/somewhere/tiny_imagenet").classes == 200
    assert data.facts("tfds:cifar10:3.0.2") == data.facts("tfds:cifar10")
    assert data.facts("npz:cifar10") is None
    labels = data.facts("tfds:imagenette/full-size-v2").stand_in("x", 32).train.labels
    assert np.ptp(np.bincount(labels)) <= 1 and len(labels) == 9469
    with pytest.raises(InputError, match="image_size: found None"):
        data.facts("tfds:imagenet2012").stand_in("x")
    assert data.facts("digits") is data.facts("nothing:cifar10") is None


def test_what_is_not_there_and_not_known_is_refused():
    made = settings.defaults()
    made.data.source = "folder:nowhere"
    with pytest.raises(InputError, match="there is no folder nowhere"):
        plan.open_plan(from_config(made))
    made.data.source, made.select.methods = "tfds:cifar10", ("best",)
    with pytest.raises(InputError, match="select.methods: found 'best'"):
        plan.open_plan(from_config(made))
