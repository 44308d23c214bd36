"""Teacher bundles: weights, and what must be known to use them on a source.

A bundle is the folder of a teacher's artifact. Its manifest says which network with
which options, the image shape, mean and deviation, the classes in the order of the
logits, the training recipe, seed, accuracies and the digest of the data.
"""

import dataclasses
import functools
import pathlib
from typing import Any

import jax
import numpy as np

from ddjax import artifacts, keys, models
from ddjax.artifacts import Artifact
from ddjax.data.source import Source
from ddjax.errors import InputError
from ddjax.models import Network
from ddjax.settings import Teacher as TeacherSettings
from ddjax.stations.bundle_manifest import check_listed, check_manifest, check_weights
from ddjax.train import checkpoint

WEIGHTS = "weights"


@dataclasses.dataclass(frozen=True, eq=False)
class Teacher:
    """A teacher whose logits are in the order of the source's classes.

    Attributes:
      network: its network.
      variables: its weights.
      artifact: its folder and manifest.
      accuracy: split -> percent; as it was measured when the bundle was made.
      address: identifies its logits: the artifact's address, and the snapshot and the
        order of classes where they are not the bundle's own.
    """

    network: Network
    variables: Any
    artifact: Artifact
    accuracy: dict[str, float]
    address: str


def section_of(name: str) -> str:
    """Returns the settings' section of `teacher` or of a member of the committee."""
    return name if name == "teacher" else f"committee.{name}"


def read_bundle(path: str, section: str) -> Artifact:
    """Returns the bundle in a folder.

    Args:
      path: the folder.
      section: of the settings that name it, for messages.

    Raises:
      InputError: there is none, it is damaged, or its manifest is none of a teacher.
    """
    advice = f"{section}.path must be the folder of a teacher, or a file of weights"
    found = artifacts.load(pathlib.Path(path), "teacher", advice)
    check_manifest(found)
    return found


def open_bundle(
    artifact: Artifact, source: Source, settings: TeacherSettings, section: str
) -> Teacher:
    """Returns the teacher in a bundle, checked against the source.

    Args:
      artifact: the bundle.
      source: whose images it will be asked about.
      settings: `epoch` and `remap` count.
      section: of the settings, for messages.

    Raises:
      InputError: its image shape differs from the source's, its classes differ or have
        another order and `remap` is not set, there is no such snapshot, or its weights
        are not those of the network that its manifest describes.
    """
    info, described = artifact.info, artifact.manifest["settings"]
    if info["image_shape"] != list(source.shape):
        raise InputError(
            f"{section}.path {artifact.path}: the teacher's image shape is "
            f"{info['image_shape']}, the source's is {list(source.shape)}"
        )
    network = _network(artifact)
    folder, accuracy, address = WEIGHTS, info["accuracy"], artifact.address
    last = described.get("recipe", {}).get("epochs", 0)
    if settings.epoch not in (0, last):
        snapshots = info.get("snapshots", {})
        accuracy = snapshots.get(str(settings.epoch))
        if accuracy is None:
            known = ", ".join((*snapshots, str(last)))
            raise InputError(
                f"{section}.epoch: found {settings.epoch}, allowed is 0 or a snapshot "
                f"of {artifact.path}: {known}"
            )
        folder = snapshot_folder(settings.epoch)
        address = f"{artifact.address}@{settings.epoch}"
    fitted, order = fit(network, info, source, settings.remap, section, artifact.path)
    check_listed(artifact, folder)
    variables = _variables(artifact.path / folder, network)
    if order is not None:
        variables = reorder(variables, network.head, order)
        address += f"/{artifacts.digest(order)}"
    return Teacher(fitted, variables, artifact, accuracy, address)


def _network(artifact: Artifact) -> Network:
    """Returns the network that a bundle's manifest describes."""
    info, described = artifact.info, artifact.manifest["settings"]
    options = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in described["options"].items()
    }
    try:
        network = models.network(
            described["network"],
            len(info["classes"]),
            tuple(info["image_shape"]),
            **options,
        )
        jax.eval_shape(network.init, keys.key(0))
    except (InputError, TypeError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{artifact.path / 'manifest.json'}: settings.options: {reason}"
        ) from error
    return network


def _variables(path: pathlib.Path, network: Network) -> Any:
    """Returns the weights in a bundle, which are checked against the network."""
    like = jax.eval_shape(network.init, keys.key(0))
    try:
        found = checkpoint.read_shapes(path)
        check_weights(path, found, checkpoint.shapes_of(like))
        variables = checkpoint.load_tree(path, like)
    except InputError:
        raise
    except Exception as error:  # Of many kinds, depending on where the damage is.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}: cannot be read as weights ({reason})") from error
    for name, leaf in zip(found, jax.tree.leaves(variables), strict=True):
        if not np.isfinite(leaf).all():
            raise InputError(
                f"{path}: {name}: found NaN or infinite numbers, allowed are finite"
            )
    return variables


def fit(
    network: Network,
    info: dict[str, Any],
    source: Source,
    remap: bool,
    section: str,
    path: pathlib.Path,
) -> tuple[Network, list[int] | None]:
    """Returns the network for a source's pixels and classes, and see `class_order`.

    Args:
      network: of a teacher.
      info: its `classes`, `mean` and `std`.
      source: whose images it will be asked about.
      remap, section, path: see `class_order`.
    """
    order = class_order(info["classes"], source.classes, remap, section, path)
    module = network.module.clone(num_classes=source.num_classes)
    rescale = _rescale(source, info["mean"], info["std"])
    return dataclasses.replace(network, module=module, rescale=rescale), order


def snapshot_folder(epoch: int) -> str:
    """Returns where a bundle keeps the weights after an epoch."""
    return f"{WEIGHTS}_epoch_{epoch}"


def class_order(
    found: list[str],
    wanted: tuple[str, ...],
    remap: bool,
    section: str,
    path: pathlib.Path,
) -> list[int] | None:
    """Returns which logit each class of the source reads, None if all are in place.

    Args:
      found: the teacher's classes in the order of its logits.
      wanted: the source's classes in order.
      remap: whether another order, or more classes, may be mended by name.
      section, path: of the teacher, for messages.

    Raises:
      InputError: the classes differ, or they may not be reordered.
    """
    if list(found) == list(wanted):
        return None
    missing = [name for name in wanted if name not in found]
    unique = len(set(found)) == len(found)
    if missing or not unique:
        what = f"lacks {missing}" if missing else "has a name twice"
        advice = "they cannot be matched by name"
    elif len(found) > len(wanted):
        what = f"has {len(found)} classes, the source's {len(wanted)} among them"
        advice = f"--{section}.remap=True reads those only"
    else:
        what = "has the same classes in another order"
        advice = f"--{section}.remap=True reorders its logits by name"
    if missing or not unique or not remap:
        raise InputError(
            f"{section}.path {path}: {what}: the teacher's classes are "
            f"{_shown(found)}, the source's are {_shown(wanted)}; {advice}"
        )
    return [found.index(name) for name in wanted]


def _shown(names) -> str:
    names, more = list(names)[:20], len(names) - 20
    return f"{names} and {more} more" if more > 0 else f"{names}"


def reorder(variables: Any, head: str, order: list[int]) -> Any:
    """Returns variables whose logits are those of `order`, in that order.

    Args:
      variables: of a network.
      head: its last dense layer, see `Network.head`.
      order: which logits are wanted.
    """
    *modules, last = head.split("/")
    params = dict(variables["params"])
    place = functools.reduce(_copied, modules, params)
    place[last] = {name: leaf[..., order] for name, leaf in place[last].items()}
    return {**variables, "params": params}


def _copied(parent: dict, name: str) -> dict:
    """Returns a child that can be changed without changing the original tree."""
    parent[name] = dict(parent[name])
    return parent[name]


def _rescale(source: Source, mean: list[float], std: list[float]):
    """What turns the source's normalised pixels into the teacher's; None: nothing."""
    if list(mean) == list(source.mean) and list(std) == list(source.std):
        return None
    factors = [ours / theirs for ours, theirs in zip(source.std, std, strict=True)]
    offsets = [
        (ours - theirs) / deviation
        for ours, theirs, deviation in zip(source.mean, mean, std, strict=True)
    ]
    return tuple(factors), tuple(offsets)
