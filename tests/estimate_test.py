"""A run's cost told beforehand, against what a run books and numbers by hand."""

import dataclasses

import numpy as np
import pytest
import tiny

from ddjax import artifacts, experiment, models, settings
from ddjax.data import facts
from ddjax.data.augment import Recipe
from ddjax.errors import InputError
from ddjax.labels import Objective
from ddjax.settings import Distill, from_config
from ddjax.settings.recover import Recover
from ddjax.stations import estimate, memory, programs, storage, sweeps
from ddjax.train import programs as train_programs
from ddjax.train import student

IPC = 2
PASSES = ("forward_passes", "train_passes")


def config(source, *entries, **changes):
    made = tiny.config(source, **changes)
    made.teacher.network.name = "convnet_d1"
    made.teacher.network.convnet.width = 4
    made.teacher.network.convnet.norm = "batch"
    for entry in entries:
        settings.add_distillation(made, entry)
        made.distill[entry].patches.candidates = 6
        made.distill[entry].patches.pool = 8
        made.distill[entry].recover.iterations = 2
    return made


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return tiny.write(tmp_path_factory.mktemp("source") / "tiny.npz")


def rows_of(made):
    context = estimate.open_plan(from_config(made))
    return {row.station: row for row in estimate.estimate(context)}


def booked(made, folder):
    """What a run books, by name, without its report."""
    found = []

    def write(context, *_):
        found.extend(row for row in context.costs if not row["reused"])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment.results, "write", write)
        experiment.run(from_config(made), folder)
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
    context = estimate.open_plan(from_config(made))
    planned = {each.name: each.bytes for each in storage.storage(context)}
    runs_of_it = len(made.protocol.seeds)
    network = train_programs.native(context.student_network)
    weights = runs_of_it * memory.variable_bytes(network)
    assert planned["trace, hard, IPC 2"] - weights == on_disk(tmp_path, "trace")
    assert planned["subsets, IPC 2"] == on_disk(tmp_path, "subsets")
    assert planned["images, pca, IPC 2"] == on_disk(tmp_path, "images", "images")
    students = sum(size for name, size in planned.items() if "students" in name)
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
def test_passes_of_all_stations_are_those_that_a_run_books(source, tmp_path):
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
    context = estimate.open_plan(from_config(made))
    rows = {row.station: row for row in estimate.estimate(context)}
    kept = {each.name: each.bytes for each in storage.storage(context)}
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
    context = estimate.open_plan(from_config(made))
    kept = [each for each in storage.storage(context) if "uncompressed" in each.name]
    assert [each.bytes for each in kept] == [2 * 2 * 20 * IPC * 3 * 3 * 4]


def test_a_teacher_from_a_bundle_costs_nothing(source, tmp_path):
    made = tiny.config(source, regimes=(), teacher__epochs=1)
    experiment.run(from_config(made), tmp_path / "run")
    bundle = next((tmp_path / "run" / "artifacts").glob("teacher-*"))
    paid = rows_of(tiny.config(source, regimes=("soft_kd",)))
    made = tiny.config(source, regimes=("soft_kd",), teacher__path=str(bundle))
    made.teacher.network.mlp.hidden = (500,)  # the bundle knows better
    free = rows_of(made)
    assert set(paid) - set(free) == {"teacher, mlp"}
    name = "students, mlp, soft_kd, IPC 2"
    assert free[name] == paid[name]


def test_operations_are_those_of_native_convolutions():
    network = train_programs.native(
        models.network("convnet_d1", 3, (8, 8, 1), width=32, norm="none")
    )
    # 3 x 3 products a pixel and channel, but for the border, and the last layer.
    products = 32 * (3 * 8 - 2) ** 2 + 16 * 32 * 3
    found = train_programs.forward_flops(network)
    assert 2 * products <= found < 2.5 * products


@pytest.mark.slow
def test_an_iteration_counts_once_and_by_image():
    network = train_programs.native(
        models.network("convnet_d1", 3, (8, 8, 1), norm="batch")
    )

    def found(method="sre2l", teachers=1, ipc=1, **changes):
        recover = Recover(**{"iterations": 2, "drawn": 0} | changes)
        entry = Distill(method, recover=recover)
        return programs.synthesis_flops(entry, (network,) * teachers, 3, ipc)

    one = found()
    assert found(iterations=500) == one
    assert 1.9 < found(ipc=2) / one < 2.1
    assert found(teachers=2) == one  # the first is asked
    assert 1.8 < found("cv_dd", teachers=2) / one < 2.1
    assert found("cv_dd", teachers=3, drawn=2) == found("cv_dd", teachers=2)
    turns = [found(name, 2) for name in ("g_vbsm", "edc")]
    assert all(one < each < 1.8 * one for each in turns)


def test_hours_are_operations_by_the_rate_that_is_kept_up():
    rows = [
        estimate.Row("a", 1, 2, 3600 * 0.35 * 989e12),
        estimate.Row("b", 10, 20, 0.0),
    ]
    table = estimate.table(rows)
    assert table["H100"].to_list() == pytest.approx([1.0, 0.0, 1.0])
    assert table["TPU v5e"].iloc[0] == pytest.approx(989 / 197)
    last = table.iloc[-1]
    assert last["station"] == "all"
    assert (last["forward_passes"], last["train_passes"]) == (11, 22)


def sweep_of(program, driver, members):
    counts = {"trainings": members, "whole": 0, "steps": 5, "images": 4, "held": 4}
    return sweeps.Sweep("students", program, driver, members=members, **counts)


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
        assert sweep_of(program, driver, 6).layout(chips) == expected
    assert sweep_of(program, "mesh", 6).layout(8, shared=4) == (4, 4, 4)


def test_a_run_s_trainings_are_its_students(source):
    made = config(source, "pca", regimes=("hard", "soft"))
    made.select.methods = ("random", "el2n_best_window")
    made.student.learning_rates = (0.01, 0.02)
    made.sweep.members = 4
    settings.add_transfer(made, "convnet_d1", width=4, norm="batch")
    context = estimate.open_plan(from_config(made))
    teacher, scoring, hard, other, soft, _ = sweeps.sweeps(context)
    assert (teacher.trainings, teacher.images, scoring.trainings) == (1, 96, 2)
    # Two rates, random and full; two windows; four kinds with two seeds.
    assert hard.trainings == soft.trainings == 2 * 2 + 2 + 4 * 2
    assert other.trainings == 2 * 2 + 4 * 2  # no search
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
    network = train_programs.native(models.network(name, 3, shape, **options))
    program = student.Program(network, Objective("hard"), Recipe(), batch_size=16)
    step = train_programs.training_step(program, 3)
    found = step.function.lower(*step.arguments).compile().memory_analysis()
    # Gradients, and what the backward pass waits for.
    told = memory.variable_bytes(network) + 16 * train_programs.activation_bytes(
        network
    )
    assert 0.5 < told / found.temp_size_in_bytes < 2
    assert memory.state_bytes(program) == pytest.approx(found.output_size_in_bytes, 0.1)


def test_weights_are_no_activations():
    network = models.network("mlp", 3, (8, 8, 1), hidden=(1000,))
    pixels, found = 4 * 64, train_programs.activation_bytes(network)
    # The image, and the layer's output once and at most twice again for its ReLU.
    assert pixels + 4 * 1000 <= found < pixels + 3 * 4 * 1000
    assert memory.variable_bytes(network) > 10 * found


def test_memory_of_a_device(source):
    made = config(source, regimes=("soft",))
    context = estimate.open_plan(from_config(made))
    (sweep,) = (s for s in sweeps.sweeps(context) if s.name.startswith("students"))
    found = memory.per_device(context, sweep, 1)
    pixels, numbers = 8 * 8, 8 * 8 * 8 + 8 + 8 * 3 + 3
    assert (found.images, found.labels) == (96 * pixels, 4 * 96 * 3)
    # Loop: six members are held, one has gradients; the curve, step, seed and count.
    assert found.weights == 6 * (3 * 4 * numbers + 4 * 103) + 4 * numbers
    divided = memory.per_device(context, sweep, 2)
    assert divided.images == found.images / 2
    assert divided.activations == found.activations / 2


def test_the_plan_fits_a_page(source):
    made = config(source, "pca", regimes=("hard", "soft"))
    context = estimate.open_plan(from_config(made))
    table = estimate.table(estimate.estimate(context))
    found = estimate.text(context, table)
    heads = [part.split()[0].strip(":,") for part in found.split("\n\n")]
    assert heads == ["PROGRAMS", "WORK", "DISK", "MEMORY"]
    assert max(map(len, found.splitlines())) <= 120
    assert "all, on 64 chips" in found and "to decode" not in found


def test_known_sources_need_no_data():
    made = settings.defaults()
    made.data.source = "tfds:imagenet2012:5.1.0"
    made.data.image_size = 224
    made.data.validation = 0.02
    context = estimate.open_plan(from_config(made))
    assert len(context.pool) + len(context.validation) == 1_281_167
    assert context.pool.images.shape[1:] == context.source.shape == (224, 224, 3)
    # Classes of 1281 and 1282 images give 26 each.
    assert len(context.validation) == 26_000 and len(context.test) == 50_000
    assert context.pool.images.strides == (0, 0, 0, 0)
    assert context.recipe("hard").dsa is None and context.source.mean == (0.5,) * 3
    thinned = from_config(made)
    thinned = dataclasses.replace(
        thinned, data=dataclasses.replace(thinned.data, pool=5000)
    )
    context = estimate.open_plan(thinned)
    assert len(context.pool) + len(context.validation) == 5000


def test_facts_are_found_by_name():
    assert facts.known("folder:/somewhere/tiny_imagenet").classes == 200
    assert facts.known("tfds:cifar10:3.0.2") == facts.known("tfds:cifar10")
    assert facts.known("npz:cifar10") is None
    labels = facts.stand_in("tfds:imagenette/full-size-v2", 32).train.labels
    assert np.ptp(np.bincount(labels)) <= 1 and len(labels) == 9469
    with pytest.raises(InputError, match="image_size: found None"):
        facts.stand_in("tfds:imagenet2012")
    with pytest.raises(InputError, match="found 'digits', known are fashion_mnist"):
        facts.stand_in("digits")


def test_what_is_not_there_and_not_known_is_refused():
    made = settings.defaults()
    made.data.source = "folder:nowhere"
    with pytest.raises(InputError, match="there is no folder nowhere"):
        estimate.open_plan(from_config(made))
    made.data.source, made.select.methods = "tfds:cifar10", ("best",)
    with pytest.raises(InputError, match="select.methods: found 'best'"):
        estimate.open_plan(from_config(made))
