"""How a run's context comes to be: its source is read and divided."""

import dataclasses

import numpy as np

from ddjax import data
from ddjax.data import ImageSet, Source
from ddjax.errors import InputError, named
from ddjax.settings import Settings
from ddjax.stations.context import Context

# Arguments of `data.load` -> the settings that they come from.
ARGUMENTS = {
    name: f"data.{name}" for name in ("source", "data_dir", "image_size", "stream")
}

# Arguments of `data.read_image_set` that `images_NAME` gives.
READING = ("mean", "std", "resize", "scale", "clip", "label_kind", "contradicting")


def open_context(settings: Settings) -> Context:
    """Loads the source and divides it; touches no disk but the source's."""
    chosen = settings.data
    with named("", **ARGUMENTS):
        source = data.load(
            chosen.source,
            chosen.data_dir or None,
            chosen.image_size or None,
            chosen.stream,
        )
    train = source.train
    if chosen.pool:
        train = data.thin(train, chosen.pool, seed=0)
    pool, validation = data.split_validation(train, chosen.validation, seed=0)
    images = _read_images(settings, source) if settings.images else None
    if images is not None:
        budget = (len(images.labels) // source.num_classes,)
        select = dataclasses.replace(settings.select, ipcs=budget)
        settings = dataclasses.replace(settings, select=select)
    return Context(settings, source, pool, validation, source.test, images=images)


def _read_images(settings: Settings, source: Source) -> ImageSet:
    keys = {name: f"images_{name}" for name in READING}
    with named("images", **keys):
        found = data.read_image_set(
            settings.images,
            source.classes,
            source.shape,
            settings.images_mean or None,
            settings.images_std or None,
            settings.images_resize,
            settings.images_scale,
            settings.images_clip,
            settings.images_label_kind,
            settings.images_contradicting,
        )
    if settings.images_labels and found.soft_labels is None:
        raise InputError(
            f"images_labels: found True, but {settings.images} has no soft labels"
        )
    counts = np.bincount(found.labels, minlength=source.num_classes)
    if counts.min() < counts.max():
        raise InputError(
            f"images: {settings.images} has from {counts.min()} to {counts.max()} "
            "images a class, allowed is the same number of each, which is the budget "
            "of the selections beside it"
        )
    if (found.images == found.images[:1]).all():
        raise InputError(f"images: all images of {settings.images} are the same")
    notes = data.likeness(found.images, source.mean, source.std)
    return dataclasses.replace(found, notes=found.notes + notes)
