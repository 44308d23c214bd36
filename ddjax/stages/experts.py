"""Experts: students of the whole pool, whose weights are kept after every epoch.

Letters: E experts, S snapshots, P parameters, N images of the pool.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib

import jax
import numpy as np

from ddjax import artifacts, memory, mesh, models
from ddjax.artifacts import Artifact, Cost, Draft, digest
from ddjax.data.augment import Dsa, Recipe
from ddjax.declare.walk import require
from ddjax.distill.match.experts import Experts, parameters_of
from ddjax.errors import InputError, named
from ddjax.models import Network
from ddjax.problem import Problem, hparams
from ddjax.run import Run
from ddjax.settings import Optimizer
from ddjax.stages.stage import Plan, Stage, Stored, Trainings, Work
from ddjax.stages.students import Students
from ddjax.train import student
from ddjax.train.members import Members
from ddjax.train.programs import native, step_flops, variables_of
from ddjax.train.sweep import Bound

_KIND = "experts"
# Experts of an artifact; more of them add artifacts to those that are there.
_GROUP = 8
# The first expert's seed, far from those of the students that sets are evaluated with.
_SEED = 1_500_000_001
_OPTIMIZER = Optimizer("sgd", momentum=0.0, weight_decay=0.0, schedule="constant")


@dataclasses.dataclass(frozen=True, eq=False)
class Trajectories:
    """What experts went through.

    Attributes:
      weights: [E,S,P] float32, the flat parameters before training and after every
        epoch.
      address: identifies them.
      cost: of all.
    """

    weights: np.ndarray
    address: str
    cost: Cost


def experts_stage(
    problem: Problem, students: Stage, options: Experts, section: str
) -> Stage:
    """The stage of the experts of all entries with equal `options`: `Trajectories`.

    They are trained in groups, one artifact a group, with the array `weights` and in
    `info` the names and shapes of the parameters in its last axis.

    Args:
      problem: the problem; its students' network is trained.
      students: of the source's images, whose driver trains them.
      options: how they are trained.
      section: where these stand, such as "distill.mtt.experts".
    """

    def make(run: Run, students: Students) -> Trajectories:
        if options.path:
            return read_experts(problem, options.path, section)
        (stored,) = plan().stored
        what = f"{section}.count: weights of {options.count} experts"
        memory.check(int(stored.bytes), what, "train fewer, or for fewer epochs")
        return _together(
            [
                _trained(run, students, options, section, experts)
                for experts in _groups(options)
            ]
        )

    plan = functools.partial(_plan, problem, options, section)
    return Stage(f"experts, {section}", {"students": students}, make, plan)


def shape_of(problem: Problem, options: Experts, section: str) -> tuple[int, int]:
    """Returns how many trajectories there will be, and their snapshots.

    Args:
      problem, options, section: of `experts_stage`.

    Raises:
      InputError: see `read_experts`.
    """
    if not options.path:
        return options.count, options.epochs + 1
    experts, snapshots, _ = read_experts(problem, options.path, section).weights.shape
    return experts, snapshots


def read_experts(problem: Problem, path: str, section: str) -> Trajectories:
    """Reads the trajectories of experts that were trained elsewhere.

    Args:
      problem: whose source and students' network they must be of.
      path: a folder `experts-ADDRESS`, or one that holds such folders; or a file
        `replay_buffer_N.pt` of MTT's authors, or a folder of them, which do not
        describe their source.
      section: that names it, for messages.

    Returns:
      The trajectories of all folders, in the order of the experts' seeds; or of all
      files by their numbers, whose cost is not known.

    Raises:
      InputError: there are none, one is damaged, or they are of another source, split
        or network, or were trained in different ways; see `models.read_experts`.
    """
    given, place = pathlib.Path(path), f"{section}.path"
    files = [given] if given.suffix == ".pt" else given.glob("replay_buffer_*.pt")
    buffers = sorted(files, key=lambda file: (len(file.name), file.name))
    if buffers:
        return _from_buffers(problem, buffers, place)
    folders = [given] if (given / "manifest.json").exists() else []
    folders += sorted(given.glob("experts-*/"))
    if not folders:
        raise InputError(
            f"{place}: found {path}, allowed is a folder experts-ADDRESS, one that "
            "holds such folders, or files replay_buffer_N.pt"
        )
    advice = f"{place} must be the experts of another run"
    parts = [artifacts.load(folder, _KIND, advice) for folder in folders]
    parts.sort(key=lambda part: part.manifest["settings"]["seeds"])
    chosen = problem.settings.student.network
    expected = {
        "source": problem.data_digest,
        "network": _plain({"name": chosen.name, **chosen.options()}),
        "recipe": parts[0].manifest["settings"]["recipe"],
    }
    for part in parts:
        described = part.manifest["settings"]
        found = {
            "source": part.manifest["parents"]["data"],
            "network": described["network"],
            "recipe": described["recipe"],
        }
        for name, value in expected.items():
            if found[name] != value:
                raise InputError(
                    f"{place} {part.path}: its experts' {name} is {found[name]}, "
                    f"expected {value}"
                )
    return _together(parts)


def _from_buffers(
    problem: Problem, files: list[pathlib.Path], place: str
) -> Trajectories:
    """Returns the trajectories in files of MTT's authors."""
    params = variables_of(problem.student_network)["params"]
    parts = []
    for file in files:
        with named(place, params="student.network"):
            leaves = jax.tree.leaves(models.read_experts(file, params))
        rows = [leaf.reshape(*leaf.shape[:2], -1) for leaf in leaves]
        parts.append(np.concatenate(rows, axis=2))
    lengths = {part.shape[1] for part in parts}
    allowed = "files of trajectories of one length"
    require(len(lengths) == 1, place, sorted(lengths), allowed)
    weights = np.concatenate(parts)
    return Trajectories(weights, digest(weights), Cost())


def _together(parts: list[Artifact]) -> Trajectories:
    arrays = [part.arrays["weights"] for part in parts]
    return Trajectories(
        np.concatenate(arrays) if len(arrays) > 1 else arrays[0],
        digest([part.address for part in parts]),
        sum((part.cost for part in parts), start=Cost()),
    )


def _plain(value):
    """Returns a value as JSON gives it back."""
    return json.loads(json.dumps(value))


def snapshot_steps(options: Experts, images: int) -> tuple[int, ...]:
    """Returns after which steps an expert's epochs of `images` images end."""
    size = options.batch_size
    return tuple(-(-epoch * images // size) for epoch in range(1, options.epochs + 1))


def _groups(options: Experts) -> list[range]:
    """Returns the numbers of the experts of each artifact."""
    firsts = range(0, options.count, _GROUP)
    return [range(first, min(first + _GROUP, options.count)) for first in firsts]


def _program(problem: Problem, network: Network, options: Experts) -> student.Program:
    dsa = None
    if options.augment:
        dsa = Dsa(options.augment, problem.source.mean, problem.source.std)
    program = problem.program(network, _OPTIMIZER, options.batch_size, "hard")
    return dataclasses.replace(program, recipe=Recipe(dsa=dsa))


def _plan(problem: Problem, options: Experts, section: str) -> Plan:
    if options.path:
        return Plan()
    network, count = native(problem.student_network), len(problem.pool)
    program = _program(problem, network, options)
    program = dataclasses.replace(program, micro_batch=0)
    steps = snapshot_steps(options, count)[-1]
    groups = _groups(options)
    size = 4 * parameters_of(network)
    row = f"experts, {section}"
    each = (options.epochs + 1) * size

    def flops() -> float:
        return options.count * steps * step_flops(program, problem.num_classes)

    training = Trainings(
        row,
        program,
        "loop" if problem.settings.data.stream else problem.settings.sweep.driver,
        count=options.count,
        members=len(groups[0]),
        steps=steps,
        images=count,
        whole=options.count,
        held=count,
        recorded=len(groups[0]) * each,
        predictions=len(groups[0]) * size,
    )
    holds = f"weights {{}} x [{options.epochs + 1},{size // 4}]"
    stored = Stored(row, holds, options.count, each)
    work = Work(row, 0, options.count * steps * program.passes, flops)
    return Plan((work,), (training,), (stored,))


def _trained(
    run: Run, students: Students, options: Experts, section: str, experts: range
) -> Artifact:
    """Returns the artifact of a group of experts."""
    problem, count = students.problem, len(students.problem.pool)
    network, chosen = problem.student_network, problem.settings.student.network
    stops = snapshot_steps(options, count)
    recipe = dataclasses.asdict(options)
    del recipe["count"], recipe["path"]
    settings = {
        "network": {"name": chosen.name, **chosen.options()},
        "recipe": recipe,
        "seeds": [_SEED + expert for expert in experts],
    }
    parents = {"data": problem.data_digest}
    partial = run.workdir.partial_folder(_KIND, settings, parents)
    label = f"experts {experts.start + 1} to {experts.stop} of {options.count}"
    program = _program(problem, network, options)

    def make(folder: pathlib.Path) -> Draft:
        del folder
        runner = run.runner(problem, program, students.driver)
        seeds, rates = settings["seeds"], np.full(len(experts), options.learning_rate)
        members = Members(
            np.array(seeds, np.int32),
            [np.arange(count, dtype=np.int32)] * len(experts),
            hparams(_OPTIMIZER, stops[-1], rates, 0.0, temperature=1.0),
        )

        def measure(states, carried):
            del carried
            params = [state["variables"]["params"] for state in states]
            rows = [_flat(mesh.fetch(part)) for part in params]
            return {"weights": np.concatenate(rows)[: len(experts)]}, {}

        with run.training(label, stops[-1] * len(experts), runner) as watch:
            _, records = runner.train(
                members,
                stops[-1],
                stops=stops,
                measure=measure,
                folder=partial,
                checkpoint_seconds=problem.settings.sweep.checkpoint_seconds,
                watch=watch,
            )
        begun = jax.jit(jax.vmap(Bound(student.init_student, program)))(members.seeds)
        before = _flat(jax.device_get(begun["variables"]["params"]))
        weights = np.stack([before, *records["weights"]], axis=1)
        if not np.isfinite(weights).all():
            raise InputError(
                f"{section}.learning_rate: found {options.learning_rate}, with which "
                "experts diverged; choose a smaller one"
            )
        one = jax.tree_util.tree_leaves_with_path(begun["variables"]["params"])
        info = {
            "parameters": [
                [jax.tree_util.keystr(path, simple=True, separator="/"), leaf.shape[1:]]
                for path, leaf in one
            ],
        }
        return Draft({"weights": weights}, info, runner.take_cost())

    return run.artifact(_KIND, label, settings, parents, make)


def _flat(params) -> np.ndarray:
    """Returns the parameters of members in a row, [W,P] float32 of leaves [W,...]."""
    leaves = jax.tree.leaves(params)
    rows = [np.asarray(leaf, np.float32).reshape(len(leaf), -1) for leaf in leaves]
    return np.concatenate(rows, axis=1)
