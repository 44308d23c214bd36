"""Synthetic sets: what a distillation method synthesises of the pool at a budget."""

from __future__ import annotations

import dataclasses
import functools
import math
import pathlib
from typing import Any

import jax
import numpy as np

from ddjax import data, distill, scores
from ddjax.artifacts import Artifact, Cost, Draft, digest
from ddjax.data.mosaics import GREY, decoded
from ddjax.data.source import Examples
from ddjax.errors import named
from ddjax.problem import READING, Problem
from ddjax.run import Run, progress_bar
from ddjax.stages.alignment import check_images
from ddjax.stages.bundle import Teacher
from ddjax.stages.experts import Trajectories, shape_of
from ddjax.stages.inputs import SelectionInputs, subset_key
from ddjax.stages.requirements import (
    experts_of_set,
    requirements_of_set,
    score_of_set,
    teachers_of_set,
)
from ddjax.stages.stage import Plan, Stage, Stored, Work
from ddjax.stages.teacher import planned_network
from ddjax.train.programs import native

READ = "images"  # the name of the image set that `images` names


@dataclasses.dataclass(frozen=True, eq=False)
class SyntheticSets:
    """The synthetic sets of one entry of `distill` at one budget.

    Attributes:
      problem: with the images of all sets for a pool.
      positions: seed -> int32 positions in that pool.
      rates: seed -> the learning rate that its set learned, of sets that did.
      cost: of one set, its share of the scoring runs and the training of its teachers
        and experts included.
      notes: remarks on what they are worth.
    """

    problem: Problem
    positions: dict[int, np.ndarray]
    cost: Cost
    notes: tuple[str, ...] = ()
    rates: dict[int, float] = dataclasses.field(default_factory=dict)


def synthetic_stage(
    problem: Problem,
    name: str,
    ipc: int,
    inputs: Stage,
    teachers: dict[str, Stage],
    experts: Stage | None = None,
) -> Stage:
    """The stage of an entry's synthetic sets: `SyntheticSets`, an artifact a set.

    The artifacts have the arrays `images`, `labels`, `sources` and, where these were
    learned, `soft_labels` of `distill.SyntheticSet`.

    Args:
      problem: the problem.
      name: of the entry of `distill`.
      ipc: the budget.
      inputs: of the selections of the budget.
      teachers: by name.
      experts: whose trajectories its method reads; None: it reads none.
    """
    names = teachers_of_set(problem.settings.distill[name])

    def make(run: Run, inputs: SelectionInputs, teachers, experts) -> SyntheticSets:
        return _synthesise(run, name, inputs, teachers, experts)

    parents = {
        "inputs": inputs,
        "teachers": {who: teachers[who] for who in names},
        "experts": experts,
    }
    plan = functools.partial(_plan, problem, name, ipc)
    return Stage(f"synthetic sets, {name}, IPC {ipc}", parents, make, plan)


def number_of_sets(problem: Problem, name: str) -> int:
    """Returns how many sets an entry has at a budget: one a seed at most."""
    if name == READ:
        return 1
    return min(
        problem.settings.distill[name].sets or len(problem.seeds), len(problem.seeds)
    )


def number_of_images(problem: Problem, name: str, ipc: int) -> int:
    """Returns how many images students of an entry's sets draw from at a budget."""
    each = number_of_sets(problem, name) * ipc * problem.num_classes
    if name == READ:
        return each
    entry = problem.settings.distill[name]
    return each * distill.METHODS[entry.method].shown(entry)


def _plan(problem: Problem, name: str, ipc: int) -> Plan:
    sets, images = number_of_sets(problem, name), ipc * problem.num_classes
    shape = "x".join(map(str, problem.source.shape))
    row = f"synthetic sets, {name}, IPC {ipc}"
    each = images * math.prod(problem.source.shape)
    stored = Stored(row, f"{{}} x {images} of {shape}", sets, each)
    entry, outline = problem.settings.distill[name], outline_of(problem, name)
    cost = distill.METHODS[entry.method].work(outline, entry, ipc)
    passes = sets * cost.forward_passes, sets * cost.train_passes
    return Plan((Work(row, *passes, lambda: sets * cost.flops),), stored=(stored,))


def outline_of(
    problem: Problem, name: str, start: distill.SyntheticSet | None = None
) -> distill.Outline:
    """Returns what is known of an entry's task before anything is trained.

    Args:
      problem: the problem.
      name: of the entry of `distill`.
      start: of `start_of`.
    """
    names = teachers_of_set(problem.settings.distill[name])
    counts = np.bincount(problem.pool.labels, minlength=problem.num_classes)
    networks = {who: planned_network(problem, who) for who in names}
    shape = problem.source.shape
    student = native(problem.student_network)
    trained = experts_of_set(problem.settings.distill[name])
    experts = trained and shape_of(problem, trained, f"distill.{name}.experts")
    return distill.Outline(
        problem.num_classes, counts, shape, networks, start, student, experts
    )


def _synthesise(
    run: Run,
    name: str,
    inputs: SelectionInputs,
    teachers: dict[str, Teacher],
    experts: Trajectories | None,
) -> SyntheticSets:
    problem = inputs.problem
    entry, seeds = problem.settings.distill[name], problem.seeds
    start = start_of(problem, name)
    made = [
        _synthetic_set(run, name, inputs, teachers, experts, row, start)
        for row in range(number_of_sets(problem, name))
    ]
    images, labels = (
        np.concatenate([artifact.arrays[key] for artifact in made])
        for key in ("images", "labels")
    )
    soft_labels = None
    if entry.own_labels and "soft_labels" in made[0].arrays:
        soft_labels = np.concatenate([each.arrays["soft_labels"] for each in made])
    factor = made[0].info.get("factor", 1)
    if factor > 1:  # students have what the stored images consist of
        images = np.asarray(decoded(images.astype(np.float32), factor, GREY))
        labels = labels.repeat(factor**2)
        if soft_labels is not None:
            soft_labels = soft_labels.repeat(factor**2, axis=0)
    pool = Examples(images, labels, np.arange(len(labels), dtype=np.int32))
    size = len(labels) // len(made)
    whole = np.arange(size, dtype=np.int32)
    positions = {
        seed: whole + size * (row % len(made)) for row, seed in enumerate(seeds)
    }
    rates = {
        seed: made[row % len(made)].info["learning_rate"]
        for row, seed in enumerate(seeds)
        if "learning_rate" in made[0].info
    }
    notes = [f"{name}: {note}" for each in made for note in each.info["notes"]]
    spent = sum((artifact.cost for artifact in made), start=Cost())
    trained = [teacher.artifact.cost.share(1) for teacher in teachers.values()]
    trained += [experts.cost.share(1)] if experts else []
    cost = spent.share(len(made)) + inputs.cost(requirements_of_set(entry))
    return SyntheticSets(
        problem.with_pool(
            pool, tuple(artifact.address for artifact in made), soft_labels
        ),
        positions,
        sum(trained, start=cost),
        tuple(notes),
        rates,
    )


def read_stage(problem: Problem, teachers: dict[str, Stage]) -> Stage:
    """The stage of the image set that `images` names, the same for every seed.

    Args:
      problem: the problem.
      teachers: by name, one of which the set's labels are compared with.
    """

    def make(run: Run, teachers: dict[str, Teacher]) -> SyntheticSets:
        warnings = check_images(problem, teachers)
        for line in warnings:
            run.say(line)
        found = problem.images
        places = np.arange(len(found.labels), dtype=np.int32)
        pool = Examples(found.images, found.labels, places)
        addresses = (digest(found.images), digest(found.labels))
        positions = dict.fromkeys(problem.seeds, places)
        own = found.soft_labels if problem.settings.images_labels else None
        notes = (
            *(f"{problem.settings.images}: {note}" for note in found.notes),
            *warnings,
        )
        own_pool = problem.with_pool(pool, addresses, own)
        return SyntheticSets(own_pool, positions, Cost(), notes)

    return Stage(READ, {"teachers": teachers}, make, counts=False)


def _synthetic_set(
    run: Run,
    name: str,
    inputs: SelectionInputs,
    teachers: dict[str, Teacher],
    experts: Trajectories | None,
    row: int,
    start: distill.SyntheticSet | None,
) -> Artifact:
    """Returns the set that the seed in a row of `protocol.seeds` draws."""
    problem, ipc = inputs.problem, inputs.ipc
    entry = problem.settings.distill[name]
    method = distill.METHODS[entry.method]
    seed = problem.seeds[row]
    score = score_of_set(entry)
    settings = {
        "method": entry.method,
        "difficulty": score,
        "ipc": ipc,
        "seed": int(seed),
    }
    for section, options in method.options(entry).items():
        if options is not experts_of_set(entry):  # which its parent stands for
            settings[section] = dataclasses.asdict(options)
    parents = {"data": problem.data_digest}
    parents |= {who: teacher.address for who, teacher in teachers.items()}
    parents |= {each: inputs.found[each].address for each in requirements_of_set(entry)}
    if experts is not None:
        parents["experts"] = experts.address
    if start is not None:
        settings["start"] = digest(start.images)
    partial = run.workdir.partial_folder("synthetic", settings, parents)
    label = f"synthetic set, {name}, IPC {ipc}, seed {seed}"

    def make(folder: pathlib.Path) -> Draft:
        del folder
        with progress_bar(label, 0) as bar:
            task = task_of(
                problem,
                ipc,
                subset_key(seed, ipc),
                teachers=tuple(
                    distill.Teacher(
                        who,
                        teacher.network,
                        jax.tree.map(np.asarray, teacher.variables),
                    )
                    for who, teacher in teachers.items()
                ),
                difficulty=(
                    scores.SCORES[score].of(inputs.inputs(row)) if score else None
                ),
                experts=experts and experts.weights,
                folder=partial,
                progress=bar.update,
                say=lambda line: run.say(f"{label}: {line}"),
            )
            done = method.synthesise(task, entry, start)
        arrays = {"images": done.images, "labels": done.labels, "sources": done.sources}
        if done.soft_labels is not None:
            arrays["soft_labels"] = done.soft_labels
        notes = [*done.notes]
        if done.images.dtype != np.uint8:
            lost = data.rounding(done.images)
            notes.append(
                f"its images are floats; as PNG they change by {lost.mean:.2f} of 255 "
                f"levels on average, at most {lost.largest:.0f}; {lost.clipped:.1%} "
                "of the numbers are cut off"
            )
        info = {"name": name, "notes": notes, **done.info}
        if done.learning_rate is not None:
            info["learning_rate"] = done.learning_rate
        if done.factor > 1:
            info["factor"] = done.factor
        return Draft(arrays, info, done.cost)

    return run.artifact("synthetic", label, settings, parents, make)


def task_of(problem: Problem, ipc: int, key: jax.Array, **more: Any) -> distill.Task:
    """Returns the task of distilling a problem's pool for its students' network.

    Args:
      problem: the problem.
      ipc: the budget.
      key: a typed PRNG key.
      **more: other attributes of `distill.Task`; no teacher is known without them.
    """
    known = {"teachers": ()} | more
    return distill.Task(
        images=problem.pool.images,
        labels=problem.pool.labels,
        ids=problem.pool.ids,
        num_classes=problem.num_classes,
        mean=np.asarray(problem.mean),
        std=np.asarray(problem.std),
        ipc=ipc,
        key=key,
        student=problem.student_network,
        **known,
    )


def start_of(problem: Problem, name: str) -> distill.SyntheticSet | None:
    """Returns the images that an entry of `distill` starts from, None without any.

    Raises:
      InputError: they cannot be read, see `read_image_set`.
    """
    entry, source = problem.settings.distill[name], problem.source
    start = distill.METHODS[entry.method].start(entry)
    if start is None:
        return None
    key, path = start
    with named(f"distill.{name}.{key}", **dict.fromkeys(READING, "")):
        found = data.read_image_set(
            path, source.classes, source.shape, None, None, source=source
        )
    nothing = np.zeros((len(found.labels), 0), np.int32)
    return distill.SyntheticSet(found.images, found.labels, nothing)
