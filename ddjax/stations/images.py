"""Image sets: what a distillation method makes of the pool at a budget."""

import dataclasses
import pathlib

import jax
import numpy as np

from ddjax import data, distill, select
from ddjax.artifacts import Artifact, Cost, Draft, digest
from ddjax.data.source import Examples
from ddjax.errors import named
from ddjax.stations.bundle import Teacher
from ddjax.stations.context import Context
from ddjax.stations.evidence import Evidence, subset_key
from ddjax.stations.needs import needs_of_set, score_of_set, teachers_of_set
from ddjax.stations.opening import READING
from ddjax.stations.watching import progress_bar

READ = "images"  # what the image set is called that `images` names


@dataclasses.dataclass(frozen=True, eq=False)
class ImageSets:
    """The image sets of one entry of `distill` at one budget.

    Attributes:
      context: the run with the made images, all sets of them, for a pool.
      positions: seed -> int32 positions in that pool.
      cost: what one set cost to make, its share of the scoring runs and the training of
        its teachers included.
    """

    context: Context
    positions: dict[int, np.ndarray]
    cost: Cost


def make_image_sets(
    context: Context, name: str, evidence: Evidence, teachers: dict[str, Teacher]
) -> ImageSets:
    """Returns the image sets of an entry of `distill`, made now or earlier.

    Args:
      context: the run.
      name: of the entry.
      evidence: what selections of the budget look at.
      teachers: by name.
    """
    entry, seeds = context.settings.distill[name], context.settings.protocol.seeds
    rows = range(min(entry.sets or len(seeds), len(seeds)))
    start = start_of(context, name)
    made = [
        images_station(context, name, evidence, teachers, row, start) for row in rows
    ]
    images, labels = (
        np.concatenate([artifact.arrays[key] for artifact in made])
        for key in ("images", "labels")
    )
    pool = Examples(images, labels, np.arange(len(labels), dtype=np.int32))
    size = len(labels) // len(made)
    whole = np.arange(size, dtype=np.int32)
    positions = {
        seed: whole + size * (row % len(made)) for row, seed in enumerate(seeds)
    }
    spent = sum((artifact.cost for artifact in made), start=Cost())
    asked = (teachers[who].artifact.cost.share(1) for who in teachers_of_set(entry))
    cost = spent.share(len(made)) + evidence.cost(needs_of_set(entry))
    cost = sum(asked, start=cost)
    return ImageSets(
        context.with_pool(pool, tuple(artifact.address for artifact in made)),
        positions,
        cost,
    )


def read_image_sets(context: Context) -> ImageSets:
    """Returns the image set that `images` names, the same for every seed."""
    found = context.images
    places = np.arange(len(found.labels), dtype=np.int32)
    pool = Examples(found.images, found.labels, places)
    made = (digest(found.images), digest(found.labels))
    positions = dict.fromkeys(context.settings.protocol.seeds, places)
    own = found.soft_labels if context.settings.images_labels else None
    return ImageSets(context.with_pool(pool, made, own), positions, Cost())


def images_station(
    context: Context,
    name: str,
    evidence: Evidence,
    teachers: dict[str, Teacher],
    row: int,
    start: distill.SyntheticSet | None,
) -> Artifact:
    """Returns one set: arrays `images`, `labels` and `sources`, see `SyntheticSet`.

    Args:
      context: the run.
      name: of the entry of `distill`.
      evidence: what selections of the budget look at.
      teachers: by name.
      row: position in `protocol.seeds` of the seed that draws the set.
      start: of `start_of`.
    """
    entry, ipc = context.settings.distill[name], evidence.ipc
    method = distill.METHODS[entry.method]
    seed = context.settings.protocol.seeds[row]
    score = score_of_set(entry)
    settings = {
        "method": entry.method,
        "difficulty": score,
        "ipc": ipc,
        "seed": int(seed),
    }
    for section, options in method.options(entry).items():
        settings[section] = dataclasses.asdict(options)
    asked = teachers_of_set(entry)
    parents = {"data": context.data_digest}
    parents |= {who: teachers[who].address for who in asked}
    parents |= {need: evidence.found[need].address for need in needs_of_set(entry)}
    if start is not None:
        settings["start"] = digest(start.images)
    partial = context.workdir.partial_folder("images", settings, parents)
    label = f"images, {name}, IPC {ipc}, seed {seed}"

    def make(folder: pathlib.Path) -> Draft:
        del folder
        with progress_bar(label, 0) as bar:
            task = distill.Task(
                images=context.pool.images,
                labels=context.pool.labels,
                ids=context.pool.ids,
                num_classes=context.source.num_classes,
                mean=np.asarray(context.mean),
                std=np.asarray(context.std),
                teachers=tuple(
                    distill.Teacher(
                        who,
                        teachers[who].network,
                        jax.tree.map(np.asarray, teachers[who].variables),
                    )
                    for who in asked
                ),
                ipc=ipc,
                key=subset_key(seed, ipc),
                difficulty=(
                    select.SCORES[score].of(evidence.inputs(row)) if score else None
                ),
                folder=partial,
                progress=bar.update,
                say=lambda line: context.say(f"{label}: {line}"),
            )
            done = method.synthesise(task, entry, start)
        arrays = {"images": done.images, "labels": done.labels, "sources": done.sources}
        return Draft(arrays, {"name": name, **done.info}, done.cost)

    return context.station("images", label, settings, parents, make)


def start_of(context: Context, name: str) -> distill.SyntheticSet | None:
    """Returns the images that an entry of `distill` reads to start from, if it does.

    Raises:
      InputError: they cannot be read, see `read_image_set`.
    """
    entry, source = context.settings.distill[name], context.source
    asked = distill.METHODS[entry.method].start(entry)
    if asked is None:
        return None
    key, path = asked
    with named(f"distill.{name}.{key}", **dict.fromkeys(READING, "")):
        found = data.read_image_set(path, source.classes, source.shape, None, None)
    nothing = np.zeros((len(found.labels), 0), np.int32)
    return distill.SyntheticSet(found.images, found.labels, nothing)
