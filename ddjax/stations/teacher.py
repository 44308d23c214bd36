"""The teacher: trained with hard labels on the pool, or loaded."""

import dataclasses
import pathlib
import time
from typing import Any

import jax
import numpy as np

from ddjax import artifacts, models
from ddjax.artifacts import Artifact, Draft
from ddjax.errors import InputError
from ddjax.labels import teacher_logits
from ddjax.models import Network
from ddjax.stations.context import Context, hparams, progress_bar
from ddjax.train import checkpoint, evaluate, student, sweep
from ddjax.train.members import Members

_WEIGHTS = "weights"


@dataclasses.dataclass(frozen=True, eq=False)
class Teacher:
    """A trained teacher.

    Attributes:
      network: its network.
      variables: its weights.
      artifact: its folder and manifest: class order, recipe, seed, accuracies.
    """

    network: Network
    variables: Any
    artifact: Artifact


def teacher_station(context: Context, name: str = "teacher") -> Teacher:
    """Returns a teacher, trained now or earlier, or loaded.

    Args:
      context: the run.
      name: `teacher`, or a member of the settings' `committee`.
    """
    settings = context.teacher_settings(name)
    if settings.path:
        return load_teacher(context, name)
    section = "teacher" if name == "teacher" else f"committee.{name}"
    network = context.teacher_network(name)
    steps = -(-settings.epochs * len(context.pool) // settings.batch_size)
    described = {
        "network": settings.network.name,
        "options": settings.network.options(),
        "recipe": {
            name: value
            for name, value in dataclasses.asdict(settings).items()
            if name not in ("path", "network", "optimizer")
        }
        | {"optimizer": settings.optimizer.used()},
        "augment": dataclasses.asdict(context.recipe("hard")),
        "steps": steps,
        "seed": 0,
    }

    def make(folder: pathlib.Path) -> Draft:
        program = context.program(
            network, settings.optimizer, settings.batch_size, "hard"
        )
        runner = sweep.Runner(program, context.device_pool(), "loop", context.compiled)
        members = Members(
            np.zeros(1, np.int32),
            [np.arange(len(context.pool), dtype=np.int32)],
            hparams(
                settings.optimizer,
                steps,
                np.array([settings.learning_rate]),
                settings.label_smoothing,
                temperature=1.0,
            ),
        )
        with progress_bar(name, steps) as bar:
            (state,), _ = runner.train(members, steps, progress=bar.update)
        trained = student.evaluated_variables(program, state)
        variables = jax.tree.map(lambda a: np.asarray(a[0]), trained)
        accuracies = {
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
        if not np.isfinite(accuracies["validation"]):
            raise InputError(
                f"{section}.learning_rate: found {settings.learning_rate}, with which "
                "the teacher's training diverged; choose a smaller one"
            )
        checkpoint.save_tree(folder / _WEIGHTS, variables)
        return Draft(
            arrays={},
            info={
                "classes": list(context.source.classes),
                "image_shape": list(network.image_shape),
                "mean": list(context.source.mean),
                "std": list(context.source.std),
                "accuracy": accuracies,
            },
            cost=runner.take_cost(),
        )

    artifact = context.station(
        "teacher", name, described, {"data": context.data_digest}, make
    )
    return Teacher(network, _load_weights(artifact, network), artifact)


def load_teacher(context: Context, name: str = "teacher") -> Teacher:
    """Returns the teacher at its settings' `path`, checked against the source.

    Raises:
      InputError: it is damaged, or its classes, their order or its image size differ
        from the source's.
    """
    path = pathlib.Path(context.teacher_settings(name).path)
    key = "teacher" if name == "teacher" else f"committee.{name}"
    artifact = artifacts.load(path, "teacher")
    source = context.source
    for what, found, expected in (
        ("classes", artifact.info["classes"], list(source.classes)),
        ("image shape", artifact.info["image_shape"], list(source.shape)),
        ("channel means", artifact.info["mean"], list(source.mean)),
        ("channel deviations", artifact.info["std"], list(source.std)),
    ):
        if found != expected:
            raise InputError(
                f"{key}.path {path}: the teacher's {what} are {found}, "
                f"the source's are {expected}"
            )
    described = artifact.manifest["settings"]
    network = models.network(
        described["network"],
        source.num_classes,
        source.shape,
        **{
            name: tuple(value) if isinstance(value, list) else value
            for name, value in described["options"].items()
        },
    )
    return Teacher(network, _load_weights(artifact, network), artifact)


def _load_weights(artifact: Artifact, network: Network) -> Any:
    like = jax.eval_shape(network.init, jax.random.key(0))
    return checkpoint.load_tree(artifact.path / _WEIGHTS, like)


def labels_station(context: Context, teacher: Teacher) -> Artifact:
    """Returns the fixed labels of the pool: array `logits` [N,C] float32."""

    def make(folder: pathlib.Path) -> Draft:
        del folder
        start = time.perf_counter()
        logits = teacher_logits(
            teacher.network,
            teacher.variables,
            context.pool_images,
            context.mean,
            context.std,
        )
        return Draft(
            arrays={"logits": np.asarray(logits), "ids": context.pool.ids},
            info={"classes": list(context.source.classes), "precision": "highest"},
            cost=artifacts.Cost(
                seconds=time.perf_counter() - start, forward_passes=len(context.pool)
            ),
        )

    parents = {"data": context.data_digest, "teacher": teacher.artifact.address}
    return context.station("labels", "fixed labels", {}, parents, make)
