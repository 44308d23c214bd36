"""The inputs of the selections of a budget, and their cost."""

from __future__ import annotations

import dataclasses

import jax

from ddjax import keys, select
from ddjax.artifacts import Artifact, Cost
from ddjax.problem import Problem
from ddjax.run import Run
from ddjax.scores import LastLayer
from ddjax.stages.features import features_stage, grand_stage, last_layer_stage
from ddjax.stages.imports import file_digests, imported_features, read_imported
from ddjax.stages.requirements import requirements, scoring_regimes
from ddjax.stages.stage import Stage
from ddjax.stages.trace import trace_of, trace_stage


@dataclasses.dataclass(frozen=True, eq=False)
class SelectionInputs:
    """What the selections of a budget may read: never the test split.

    Attributes:
      problem: the problem.
      ipc: the budget.
      found: a key of `scores.REQUIREMENTS` -> the artifact that holds it.
      causes: a key of `scores.REQUIREMENTS` -> the artifacts that it requires, each
        with the number of subsets that share it.
    """

    problem: Problem
    ipc: int
    found: dict[str, Artifact]
    causes: dict[str, list[tuple[Artifact, int]]]

    @property
    def parents(self) -> dict[str, str]:
        """Returns what selections depend on: addresses, and digests of files."""
        addresses = {name: artifact.address for name, artifact in self.found.items()}
        return addresses | file_digests(self.problem, self.ipc)

    def cost(self, required: tuple[str, ...]) -> Cost:
        """Returns one subset's share of the cost of some inputs, shared parts once."""
        causes = {
            artifact.address: (artifact.cost, users)
            for name in required
            for artifact, users in self.causes.get(name, [])
        }
        return sum((cost.share(users) for cost, users in causes.values()), start=Cost())

    def inputs(self, row: int) -> select.Inputs:
        """Returns the inputs of the selections of one seed.

        Args:
          row: position of the seed in `protocol.seeds`.
        """
        problem, settings = self.problem, self.problem.settings
        seed, found = settings.protocol.seeds[row], {}
        for name in ("traces", "soft_traces"):
            if name in self.found:
                runs = range(
                    row * settings.select.runs, (row + 1) * settings.select.runs
                )
                found[name] = tuple(trace_of(self.found[name], run) for run in runs)
        if "gradients" in self.found:
            arrays = self.found["gradients"].arrays
            for name, prefix, labels in (
                ("gradients", "", problem.pool.labels),
                ("held_out", "held_out_", problem.validation.labels),
            ):
                logits = arrays[f"{prefix}logits"][row]
                features = arrays[f"{prefix}features"][row]
                found[name] = LastLayer.from_logits(logits, labels, features)
            found["held_out_labels"] = problem.validation.labels
        if "features" in self.found:
            features = self.found["features"].arrays["features"]
            found["features"] = features[row if len(features) > 1 else 0]
        elif settings.select.features.endswith(".npy"):
            found["features"] = imported_features(problem)
        if "grand" in self.found:
            found["grand"] = self.found["grand"].arrays["grand"][row]
        return select.Inputs(
            key=subset_key(seed, self.ipc),
            labels=problem.pool.labels,
            imported={
                name: read_imported(problem, name, self.ipc, seed)
                for name in settings.select.methods
                if name in settings.select.imported
            },
            options=settings.select.options(),
            **found,
        )


def subset_key(seed: int, ipc: int) -> jax.Array:
    """Returns the key of a seed's selections at a budget."""
    return jax.random.fold_in(keys.key(seed), ipc)


def inputs_stages(
    problem: Problem,
    students: Stage,
    teachers: dict[str, Stage],
    tunings: dict[str, Stage],
    fixed_labels: Stage | None,
    ipc: int,
) -> list[Stage]:
    """The stages of what a budget's selections require; the last one gathers it.

    Args:
      problem: the problem.
      students: what trains the scoring runs.
      teachers: by name.
      tunings: regime -> learning rates of the budget.
      fixed_labels: of the pool, None where nothing requires them.
      ipc: the budget.
    """
    settings, required = problem.settings.select, requirements(problem)
    seeds, found = len(problem.seeds), {}
    # What is required -> stages that it costs, each with the subsets that share it.
    causes: dict[str, tuple[tuple[Stage, int], ...]] = {}
    for regime in scoring_regimes(problem):
        stage = trace_stage(problem, students, tunings[regime], regime, ipc)
        found["traces" if regime == "hard" else "soft_traces"] = stage
    trace = found.get("traces")
    if trace is not None:
        causes["traces"] = ((trace, seeds),)
    if "soft_traces" in found:
        labelled = ((teachers["teacher"], 1), (fixed_labels, 1))
        causes["soft_traces"] = ((found["soft_traces"], seeds), *labelled)
    usual = settings.features == "trace" and not settings.layer
    features = "features" in required
    if "gradients" in required or (features and usual):
        last = found["gradients"] = last_layer_stage(problem, ipc, trace)
        causes["gradients"] = ((trace, seeds), (last, seeds))
    if features and usual:
        found["features"], causes["features"] = last, causes["gradients"]
    elif features and settings.features == "teacher":
        teacher = teachers["teacher"]
        stage = found["features"] = features_stage(problem, ipc, None, teacher)
        causes["features"] = ((teacher, 1), (stage, 1))
    elif features and settings.features == "trace":
        stage = found["features"] = features_stage(problem, ipc, trace, None)
        causes["features"] = ((trace, seeds), (stage, seeds))
    if "grand" in required:
        grand = found["grand"] = grand_stage(problem, ipc, trace)
        causes["grand"] = ((trace, seeds), (grand, seeds))

    users = {name: [count for _, count in of] for name, of in causes.items()}

    def make(run: Run, found: dict, causes: dict) -> SelectionInputs:
        del run
        shared = {
            # A teacher has an artifact, the others are artifacts.
            name: [
                (getattr(cause, "artifact", cause), count)
                for cause, count in zip(of, users[name], strict=True)
            ]
            for name, of in causes.items()
        }
        return SelectionInputs(problem, ipc, found, shared)

    of = {name: [stage for stage, _ in each] for name, each in causes.items()}
    parents = {"found": found, "causes": of}
    gathered = Stage(f"inputs, IPC {ipc}", parents, make, counts=False)
    return [*dict.fromkeys(found.values()), gathered]
