"""The teacher: trained with hard labels on the pool, read from a file, or loaded."""

from __future__ import annotations

import dataclasses
import math
import pathlib
import time
from typing import Any

import jax
import numpy as np

from ddjax import artifacts, keys, mesh, models, regular
from ddjax.artifacts import Artifact, Cost, Draft
from ddjax.errors import InputError, named
from ddjax.labels import teacher_logits
from ddjax.models import Network
from ddjax.problem import Problem, hparams, teacher_section
from ddjax.process import console
from ddjax.run import Run
from ddjax.stages.alignment import check_teacher_classes
from ddjax.stages.bundle import (
    WEIGHTS,
    Teacher,
    class_order,
    fit,
    open_bundle,
    read_bundle,
    reorder,
    snapshot_folder,
)
from ddjax.stages.stage import Plan, Stage, Stored, Trainings, Work
from ddjax.train import checkpoint, evaluate, student
from ddjax.train.members import Members
from ddjax.train.programs import forward_flops, native, step_flops, variable_bytes

_POINTS = 20  # of the learning curve, at most
# Settings of how a teacher is read and checked, not of its training.
_READING = ("path", "remap", "epoch", "classes", "mean", "std", "weights")
_READING += ("architecture", "accuracy")


def teacher_stage(problem: Problem, name: str) -> Stage:
    """The stage of a teacher: trained, imported from a file of weights, or loaded.

    Args:
      problem: the problem.
      name: `teacher`, or a member of the ensemble.
    """
    settings = problem.teacher_settings(name)

    def make(run: Run) -> Teacher:
        if settings.path and not settings.is_file:
            teacher = load_teacher(problem, name)
        else:
            artifact = (_imported if settings.is_file else _trained)(run, problem, name)
            section = teacher_section(name)
            teacher = open_bundle(artifact, problem.source, settings, section)
        accuracy = teacher.accuracy
        run.say(
            f"  {name}: {accuracy['validation']:.1f} % on validation, "
            f"{accuracy['test']:.1f} % on test, in "
            f"{console.shown_path(teacher.artifact.path)}"
        )
        notes = (
            *check_teacher_classes(problem, name, teacher),
            *_remarks(problem, name, teacher),
        )
        for line in notes:
            run.say(f"  warning: {line}")
        return dataclasses.replace(teacher, notes=notes)

    return Stage(name, {}, make, lambda: _plan(problem, name))


def _remarks(problem: Problem, name: str, teacher: Teacher) -> list[str]:
    """Returns remarks on a teacher's accuracy."""
    found, source = [], problem.source
    chance, accuracy = 100 / source.num_classes, teacher.accuracy["validation"]
    if accuracy < 2 * chance:
        found.append(
            f"{name}: its {accuracy:.1f} % on validation are little more than chance, "
            f"{chance:.1f} %: is its last layer trained, and are its classes in the "
            "order that its settings name?"
        )
    measured = teacher.artifact.info["source"]
    if measured["digest"] != source.digest:
        found.append(
            f"{name}: its accuracies were measured on {measured['name']}, not on this "
            "source."
        )
    return found


def _plan(problem: Problem, name: str) -> Plan:
    settings, count = problem.teacher_settings(name), len(problem.pool)
    network = planned_network(problem, name)
    row = f"{name}, {settings.network.name}"
    kept = 1 + (0 if settings.path else len(settings.snapshots))
    size = variable_bytes(network)
    holds = f"weights {{}} x [{size // 4}]"
    if settings.path:
        weights = (Stored(name, holds, kept, size),) if settings.is_file else ()
        return Plan(stored=weights)
    steps = math.ceil(settings.epochs * count / settings.batch_size)
    program = planned_program(problem, name)
    images = min(settings.epochs, _POINTS) * len(problem.validation)

    def flops() -> float:
        step = step_flops(program, problem.num_classes)
        return steps * step + images * forward_flops(network)

    training = Trainings(
        row,
        program,
        "loop",
        count=1,
        members=1,
        steps=steps,
        images=count,
        whole=1,
        held=count,
    )
    work = Work(row, images, steps * program.passes, flops)
    return Plan((work,), (training,), (Stored(name, holds, kept, size),))


def planned_network(problem: Problem, name: str) -> Network:
    """Returns a teacher's network, with the convolutions of accelerators.

    Args:
      problem: the problem.
      name: `teacher`, or a member of the ensemble.
    """
    settings, source = problem.teacher_settings(name), problem.source
    if not settings.path or settings.is_file:
        return native(problem.teacher_network(name))
    bundle = read_bundle(settings.path, teacher_section(name)).manifest["settings"]
    options = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in bundle["options"].items()
    }
    network = models.network(
        bundle["network"], source.num_classes, source.shape, **options
    )
    return native(network)


def planned_program(problem: Problem, name: str) -> student.Program:
    """Returns what is compiled to train a teacher on an accelerator."""
    settings, network = problem.teacher_settings(name), planned_network(problem, name)
    program = problem.program(network, settings.optimizer, settings.batch_size, "hard")
    return dataclasses.replace(program, micro_batch=0)


def check_teacher(problem: Problem, name: str) -> Network:
    """Checks a teacher that is to be trained or loaded, before any compute.

    Returns:
      Its network.

    Raises:
      InputError: see `load_teacher`, `read_weights` and `ddjax.models.create`.
    """
    settings = problem.teacher_settings(name)
    if settings.is_file:
        return read_weights(problem, name)[0]
    if settings.path:
        return load_teacher(problem, name).network
    network = problem.teacher_network(name)
    jax.eval_shape(network.init, keys.key(0))
    return network


def load_teacher(problem: Problem, name: str = "teacher") -> Teacher:
    """Returns the teacher in the bundle at its settings' `path`.

    Raises:
      InputError: it is damaged, or see `open_bundle`.
    """
    settings = problem.teacher_settings(name)
    section = teacher_section(name)
    artifact = read_bundle(settings.path, section)
    return open_bundle(artifact, problem.source, settings, section)


def _trained(run: Run, problem: Problem, name: str) -> Artifact:
    """Returns the bundle of a teacher that is trained on the pool."""
    settings, section = problem.teacher_settings(name), teacher_section(name)
    network, count = problem.teacher_network(name), len(problem.pool)
    steps = _steps(settings, count, settings.epochs)
    recipe = dataclasses.asdict(settings)
    for key in (*_READING, "network", "seed"):
        del recipe[key]
    described = {
        "network": settings.network.name,
        "options": settings.network.options(),
        "recipe": recipe | {"optimizer": settings.optimizer.used()},
        "augment": problem.recipe("hard").used(),
        "steps": steps,
        "seed": settings.seed,
    }
    parents = {"data": problem.data_digest}
    partial = run.workdir.partial_folder("teacher", described, parents)

    def make(folder: pathlib.Path) -> Draft:
        program = problem.program(
            network, settings.optimizer, settings.batch_size, "hard"
        )
        runner = run.runner(problem, program, "loop")
        members = Members(
            np.array([settings.seed], np.int32),
            [np.arange(count, dtype=np.int32)],
            hparams(
                settings.optimizer,
                steps,
                np.array([settings.learning_rate]),
                settings.label_smoothing,
                temperature=1.0,
            ),
        )
        epochs = {_steps(settings, count, e): e for e in _points(settings)}
        kept = {}  # weights of the snapshots, which a checkpoint carries along

        def measure(states: list[Any], carried: dict) -> tuple[dict, dict]:
            examples = problem.validation
            seen = runner.evaluate(
                evaluate.correct_and_loss, states, 1, examples.images, examples.labels
            )
            epoch = epochs.get(int(mesh.fetch(states[0]["step"])[0]))
            kept.update(carried)
            if epoch in settings.snapshots:
                leaves = enumerate(jax.tree.leaves(_weights(program, states[0])))
                kept.update({f"{epoch}.{row}": leaf for row, leaf in leaves})
            return {"accuracy": 100.0 * seen["correct"].mean(axis=-1)}, dict(kept)

        with run.training(name, steps, runner) as watch:
            (state,), record = runner.train(
                members,
                steps,
                stops=tuple(epochs),
                measure=measure,
                folder=partial,
                checkpoint_seconds=problem.settings.sweep.checkpoint_seconds,
                watch=watch,
            )
        variables = _weights(program, state)
        accuracies = _accuracies(problem, network, variables)
        if not np.isfinite(accuracies["validation"]):
            raise InputError(
                f"{section}.learning_rate: found {settings.learning_rate}, with which "
                "the teacher's training diverged; choose a smaller one"
            )
        checkpoint.save_tree(folder / WEIGHTS, variables)
        snapshots = {}
        for epoch in settings.snapshots:
            leaves, tree = jax.tree.flatten(variables)
            leaves = [kept[f"{epoch}.{row}"] for row in range(len(leaves))]
            weights = jax.tree.unflatten(tree, leaves)
            checkpoint.save_tree(folder / snapshot_folder(epoch), weights)
            snapshots[str(epoch)] = _accuracies(problem, network, weights)
        sums, counts = mesh.fetch(state["curve"])[0]
        with np.errstate(invalid="ignore"):
            curve = {"loss": sums / counts}
        curve["epochs"] = np.array(list(epochs.values()), np.int32)
        curve["validation"] = record["accuracy"][:, 0]
        info = _info(problem, network, problem.source.classes)
        info |= {"accuracy": accuracies, "snapshots": snapshots}
        return Draft(curve, info, runner.take_cost())

    return run.artifact("teacher", name, described, parents, make)


def _steps(settings, count: int, epochs: int) -> int:
    """Steps of a number of epochs, rounded up."""
    return -(-epochs * count // settings.batch_size)


def _points(settings) -> list[int]:
    """Epochs after which validation accuracy is measured; the last is one."""
    count = min(settings.epochs, _POINTS)
    even = np.linspace(0, settings.epochs, count + 1).round().astype(int)[1:]
    return sorted({*even.tolist(), *settings.snapshots})


def _weights(program: student.Program, state: dict[str, Any]) -> Any:
    """Returns the variables of the only member of a part, on the host."""
    trained = mesh.fetch(student.evaluated_variables(program, state))
    return jax.tree.map(lambda a: a[0], trained)


def _accuracies(problem: Problem, network: Network, variables: Any) -> dict[str, float]:
    """Returns split -> accuracy in percent, NaN where a logit is not finite."""
    return {
        split: float(
            evaluate.accuracy(
                teacher_logits(
                    network, variables, examples.images, problem.mean, problem.std
                ),
                examples.labels,
            )
        )
        for split, examples in (
            ("validation", problem.validation),
            ("test", problem.test),
        )
    }


def _info(problem: Problem, network: Network, classes) -> dict[str, Any]:
    """Returns the entry of a bundle's manifest on its weights."""
    shapes = jax.eval_shape(network.init, keys.key(0))["params"]
    source = problem.source
    return {
        "classes": list(classes),
        "image_shape": list(network.image_shape),
        "mean": list(source.mean),
        "std": list(source.std),
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(shapes)),
        "source": {"name": source.name, "digest": source.digest},
    }


def read_weights(
    problem: Problem, name: str
) -> tuple[Network, Any, list[str], dict[str, list[float]]]:
    """Reads the file of PyTorch weights at a teacher's `path`, before any compute.

    Returns:
      (network, variables, classes in the file's order, {"mean": ..., "std": ...})

    Raises:
      InputError: a file is missing or damaged, its weights are not those of the
        network, or its classes do not fit the source's.
    """
    settings, section = problem.teacher_settings(name), teacher_section(name)
    path, source = pathlib.Path(settings.path), problem.source
    try:
        lines = regular.read(settings.classes).decode().splitlines()
    except (InputError, UnicodeDecodeError) as error:
        raise InputError(
            f"{section}.classes: cannot read {settings.classes!r} as text ({error})"
        ) from error
    classes = [line.strip() for line in lines if line.strip()]
    class_order(classes, source.classes, settings.remap, section, path)
    pixels = {}
    for key in ("mean", "std"):
        pixels[key] = list(getattr(settings, key) or getattr(source, key))
        if len(pixels[key]) != source.shape[2]:
            raise InputError(
                f"{section}.{key}: found {pixels[key]}, allowed is one number for each "
                f"of the {source.shape[2]} channels"
            )
    shape, options = source.shape, settings.network.arguments()
    network = models.network(settings.network.name, len(classes), shape, **options)
    flags = {name: f"{section}.{name}" for name in ("weights", "architecture")}
    with named("", **flags):
        variables = models.from_torch(
            settings.network.name,
            path,
            len(classes),
            shape[0],
            weights=settings.weights,
            architecture=settings.architecture,
            **options,
        )
    wanted = jax.eval_shape(network.init, keys.key(0))
    if jax.tree.map(np.shape, variables) != jax.tree.map(np.shape, wanted):
        raise InputError(
            f"{section}.path {path}: its weights are for images of another number of "
            f"channels than the source's {shape[2]}"
        )
    return network, variables, classes, pixels


def _imported(run: Run, problem: Problem, name: str) -> Artifact:
    """Returns the bundle of a teacher whose weights are in a file of PyTorch."""
    settings = problem.teacher_settings(name)
    network, variables, classes, pixels = read_weights(problem, name)
    described = {
        "network": settings.network.name,
        "options": settings.network.options(),
        "weights": artifacts.digest(pathlib.Path(settings.path).read_bytes()),
        "classes": classes,
        **pixels,
        "remap": settings.remap,
    }
    if settings.weights:
        described["set"] = settings.weights

    def make(folder: pathlib.Path) -> Draft:
        start = time.perf_counter()
        checkpoint.save_tree(folder / WEIGHTS, variables)
        info = _info(problem, network, classes) | pixels
        fitted, order = fit(
            network, info, problem.source, settings.remap, teacher_section(name), folder
        )
        ordered = variables
        if order is not None:
            ordered = reorder(variables, network.head, order)
        info["accuracy"] = _accuracies(problem, fitted, ordered)
        images = len(problem.validation) + len(problem.test)
        seconds = time.perf_counter() - start
        return Draft({}, info, Cost(seconds=seconds, forward_passes=images))

    parents = {"data": problem.data_digest}
    return run.artifact("teacher", name, described, parents, make)
