"""Evidence: what the selections of a budget may look at, and what it cost to have."""

import dataclasses

import jax

from ddjax import keys, select
from ddjax.artifacts import Artifact, Cost
from ddjax.scores import LastLayer
from ddjax.stations.context import Context
from ddjax.stations.features import (
    features_station,
    grand_station,
    last_layer_station,
)
from ddjax.stations.imports import file_digests, imported_features, read_imported
from ddjax.stations.needs import needs_of, scoring_regimes
from ddjax.stations.students import Students
from ddjax.stations.trace import trace_of, trace_station


@dataclasses.dataclass(frozen=True, eq=False)
class Evidence:
    """What the selections of a budget may look at.

    Attributes:
      context: the run.
      ipc: the budget.
      found: a key of `scores.REQUIREMENTS` -> the artifact that holds it.
      made_from: a key of `scores.REQUIREMENTS` -> the artifacts that had to be made for
        it, each with the number of subsets that share it.
    """

    context: Context
    ipc: int
    found: dict[str, Artifact]
    made_from: dict[str, list[tuple[Artifact, int]]]

    @property
    def parents(self) -> dict[str, str]:
        """Returns what selections hang on: addresses, and digests of files."""
        addresses = {need: artifact.address for need, artifact in self.found.items()}
        return addresses | file_digests(self.context, self.ipc)

    def cost(self, needs: tuple[str, ...]) -> Cost:
        """Returns one subset's share of what some needs cost, shared parts once."""
        made = {
            artifact.address: (artifact.cost, users)
            for need in needs
            for artifact, users in self.made_from.get(need, [])
        }
        return sum((cost.share(users) for cost, users in made.values()), start=Cost())

    def inputs(self, row: int) -> select.Inputs:
        """Returns what the selections of one seed look at.

        Args:
          row: position of the seed in `protocol.seeds`.
        """
        context, settings = self.context, self.context.settings
        seed, found = settings.protocol.seeds[row], {}
        for need in ("traces", "soft_traces"):
            if need in self.found:
                runs = range(
                    row * settings.select.runs, (row + 1) * settings.select.runs
                )
                found[need] = tuple(trace_of(self.found[need], run) for run in runs)
        if "gradients" in self.found:
            arrays = self.found["gradients"].arrays
            for name, prefix, labels in (
                ("gradients", "", context.pool.labels),
                ("held_out", "held_out_", context.validation.labels),
            ):
                logits = arrays[f"{prefix}logits"][row]
                features = arrays[f"{prefix}features"][row]
                found[name] = LastLayer.from_logits(logits, labels, features)
            found["held_out_labels"] = context.validation.labels
        if "features" in self.found:
            features = self.found["features"].arrays["features"]
            found["features"] = features[row if len(features) > 1 else 0]
        elif settings.select.features.endswith(".npy"):
            found["features"] = imported_features(context)
        if "grand" in self.found:
            found["grand"] = self.found["grand"].arrays["grand"][row]
        return select.Inputs(
            key=subset_key(seed, self.ipc),
            labels=context.pool.labels,
            imported={
                name: read_imported(context, name, self.ipc, seed)
                for name in settings.select.methods
                if name in settings.select.imported
            },
            options=settings.select.options(),
            **found,
        )


def subset_key(seed: int, ipc: int) -> jax.Array:
    """Returns the key of a seed's selections at a budget."""
    return jax.random.fold_in(keys.key(seed), ipc)


def gather(
    context: Context, students: Students, ipc: int, rates: dict[str, float]
) -> Evidence:
    """Returns what the selections of a budget need, made now or earlier.

    Args:
      context: the run.
      students: what trains the scoring runs.
      ipc: the budget.
      rates: label regime -> learning rate of its scoring runs.
    """
    needs, settings = needs_of(context), context.settings.select
    seeds = len(context.settings.protocol.seeds)
    found, made_from = {}, {}
    regimes = scoring_regimes(context)
    if "hard" in regimes:
        trace = trace_station(context, students, ipc, rates["hard"], "hard")
        found["traces"], made_from["traces"] = trace, [(trace, seeds)]
    if "soft" in regimes:
        soft = trace_station(context, students, ipc, rates["soft"], "soft")
        labelled = students.teachers["teacher"].artifact, students.fixed_labels
        found["soft_traces"] = soft
        made_from["soft_traces"] = [(soft, seeds), *((a, 1) for a in labelled)]
    usual = settings.features == "trace" and not settings.layer
    if "gradients" in needs or ("features" in needs and usual):
        last = last_layer_station(context, ipc, trace)
        found["gradients"] = last
        made_from["gradients"] = [(trace, seeds), (last, seeds)]
    if "features" in needs and usual:
        found["features"], made_from["features"] = last, made_from["gradients"]
    elif "features" in needs and settings.features == "teacher":
        teacher = students.teachers["teacher"]
        features = features_station(context, ipc, None, teacher)
        found["features"] = features
        made_from["features"] = [(teacher.artifact, 1), (features, 1)]
    elif "features" in needs and settings.features == "trace":
        features = features_station(context, ipc, trace, None)
        found["features"] = features
        made_from["features"] = [(trace, seeds), (features, seeds)]
    if "grand" in needs:
        grand = grand_station(context, ipc, trace)
        found["grand"], made_from["grand"] = grand, [(trace, seeds), (grand, seeds)]
    return Evidence(context, ipc, found, made_from)
