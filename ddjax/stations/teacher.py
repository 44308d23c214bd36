"""The teacher: trained with hard labels on the pool, read from a file, or loaded."""

import dataclasses
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
from ddjax.stations.bundle import (
    WEIGHTS,
    Teacher,
    class_order,
    fit,
    open_bundle,
    read_bundle,
    reorder,
    section_of,
    snapshot_folder,
)
from ddjax.stations.context import Context, hparams
from ddjax.stations.watching import watching
from ddjax.train import checkpoint, evaluate, student
from ddjax.train.members import Members

_POINTS = 20  # of the learning curve, at most
# Settings that say how a teacher is read and judged, not how it is trained.
_READING = ("path", "remap", "epoch", "classes", "mean", "std", "weights")
_READING += ("architecture", "accuracy")


def teacher_station(context: Context, name: str = "teacher") -> Teacher:
    """Returns a teacher, trained now or earlier, or loaded.

    Args:
      context: the run.
      name: `teacher`, or a member of the settings' `committee`.
    """
    settings = context.teacher_settings(name)
    if settings.path and not settings.is_file:
        return load_teacher(context, name)
    artifact = (_imported if settings.is_file else _trained)(context, name)
    return open_bundle(artifact, context.source, settings, section_of(name))


def check_teacher(context: Context, name: str) -> Network:
    """Checks a teacher that is to be trained or loaded, before any compute.

    Returns:
      Its network.

    Raises:
      InputError: see `load_teacher`, `read_weights` and `ddjax.models.create`.
    """
    settings = context.teacher_settings(name)
    if settings.is_file:
        return read_weights(context, name)[0]
    if settings.path:
        return load_teacher(context, name).network
    network = context.teacher_network(name)
    jax.eval_shape(network.init, keys.key(0))
    return network


def load_teacher(context: Context, name: str = "teacher") -> Teacher:
    """Returns the teacher in the bundle at its settings' `path`.

    Raises:
      InputError: it is damaged, or see `open_bundle`.
    """
    settings = context.teacher_settings(name)
    section = section_of(name)
    artifact = read_bundle(settings.path, section)
    return open_bundle(artifact, context.source, settings, section)


def _trained(context: Context, name: str) -> Artifact:
    """Returns the bundle of a teacher that is trained on the pool."""
    settings, section = context.teacher_settings(name), section_of(name)
    network, count = context.teacher_network(name), len(context.pool)
    steps = _steps(settings, count, settings.epochs)
    recipe = dataclasses.asdict(settings)
    for key in (*_READING, "network", "seed"):
        del recipe[key]
    described = {
        "network": settings.network.name,
        "options": settings.network.options(),
        "recipe": recipe | {"optimizer": settings.optimizer.used()},
        "augment": context.recipe("hard").used(),
        "steps": steps,
        "seed": settings.seed,
    }
    parents = {"data": context.data_digest}
    partial = context.workdir.partial_folder("teacher", described, parents)

    def make(folder: pathlib.Path) -> Draft:
        program = context.program(
            network, settings.optimizer, settings.batch_size, "hard"
        )
        runner = context.runner(program, "loop")
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
            examples = context.validation
            seen = runner.ask(
                evaluate.judge, states, 1, examples.images, examples.labels
            )
            epoch = epochs.get(int(mesh.fetch(states[0]["step"])[0]))
            kept.update(carried)
            if epoch in settings.snapshots:
                leaves = enumerate(jax.tree.leaves(_weights(program, states[0])))
                kept.update({f"{epoch}.{row}": leaf for row, leaf in leaves})
            return {"accuracy": 100.0 * seen["correct"].mean(axis=-1)}, dict(kept)

        with watching(context, name, steps, runner) as watch:
            (state,), record = runner.train(
                members,
                steps,
                stops=tuple(epochs),
                measure=measure,
                folder=partial,
                checkpoint_seconds=context.settings.sweep.checkpoint_seconds,
                watch=watch,
            )
        variables = _weights(program, state)
        accuracies = _accuracies(context, network, variables)
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
            snapshots[str(epoch)] = _accuracies(context, network, weights)
        sums, counts = mesh.fetch(state["curve"])[0]
        with np.errstate(invalid="ignore"):
            curve = {"loss": sums / counts}
        curve["epochs"] = np.array(list(epochs.values()), np.int32)
        curve["validation"] = record["accuracy"][:, 0]
        info = _info(context, network, context.source.classes)
        info |= {"accuracy": accuracies, "snapshots": snapshots}
        return Draft(curve, info, runner.take_cost())

    return context.station("teacher", name, described, parents, make)


def _steps(settings, count: int, epochs: int) -> int:
    """Steps of a number of epochs, rounded up."""
    return -(-epochs * count // settings.batch_size)


def _points(settings) -> list[int]:
    """Epochs after which the validation split is looked at; the last is one."""
    count = min(settings.epochs, _POINTS)
    even = np.linspace(0, settings.epochs, count + 1).round().astype(int)[1:]
    return sorted({*even.tolist(), *settings.snapshots})


def _weights(program: student.Program, state: dict[str, Any]) -> Any:
    """Returns the variables of the only member of a part, on the host."""
    trained = mesh.fetch(student.evaluated_variables(program, state))
    return jax.tree.map(lambda a: a[0], trained)


def _accuracies(context: Context, network: Network, variables: Any) -> dict[str, float]:
    """Returns split -> accuracy in percent, NaN where a logit is not finite."""
    return {
        split: float(
            evaluate.accuracy(
                teacher_logits(
                    network, variables, examples.images, context.mean, context.std
                ),
                examples.labels,
            )
        )
        for split, examples in (
            ("validation", context.validation),
            ("test", context.test),
        )
    }


def _info(context: Context, network: Network, classes) -> dict[str, Any]:
    """Returns what a bundle's manifest says about its weights."""
    shapes = jax.eval_shape(network.init, keys.key(0))["params"]
    source = context.source
    return {
        "classes": list(classes),
        "image_shape": list(network.image_shape),
        "mean": list(source.mean),
        "std": list(source.std),
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(shapes)),
        "source": {"name": source.name, "digest": source.digest},
    }


def read_weights(
    context: Context, name: str
) -> tuple[Network, Any, list[str], dict[str, list[float]]]:
    """Reads the file of PyTorch weights at a teacher's `path`, before any compute.

    Returns:
      (network, variables, classes in the file's order, {"mean": ..., "std": ...})

    Raises:
      InputError: a file is missing or damaged, its weights are not those of the
        network, or its classes do not fit the source's.
    """
    settings, section = context.teacher_settings(name), section_of(name)
    path, source = pathlib.Path(settings.path), context.source
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


def _imported(context: Context, name: str) -> Artifact:
    """Returns the bundle of a teacher whose weights are in a file of PyTorch."""
    settings = context.teacher_settings(name)
    network, variables, classes, pixels = read_weights(context, name)
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
        info = _info(context, network, classes) | pixels
        fitted, order = fit(
            network, info, context.source, settings.remap, section_of(name), folder
        )
        ordered = variables
        if order is not None:
            ordered = reorder(variables, network.head, order)
        info["accuracy"] = _accuracies(context, fitted, ordered)
        images = len(context.validation) + len(context.test)
        seconds = time.perf_counter() - start
        return Draft({}, info, Cost(seconds=seconds, forward_passes=images))

    parents = {"data": context.data_digest}
    return context.station("teacher", name, described, parents, make)
