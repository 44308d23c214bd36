"""What a stage leaves on disk: arrays and a manifest, atomic, addressed by content.

An artifact is a folder `KIND-ADDRESS` with `manifest.json`, `arrays.npz` and any files
that its stage adds. It is written under a temporary name, synced and renamed, so it is
there whole or not at all. The address is a digest of the stage's settings and its
parents' addresses: the same command finds earlier artifacts, and a changed setting
recomputes only what depends on it. Of several processes the first one writes; all
see the same folder.

The manifest has the checksums of all files and one of itself, so that no flipped bit is
read: what is damaged is refused by name. It may have taken days to make, and its owner
may have a copy, so ddjax never deletes or replaces it by itself.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ddjax.errors import DAMAGED, InputError

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 4
MISSING = "not installed"  # the version of a package that is not there
_CHECKSUM = "digest"  # the key of a sealed JSON object
_followers: list[Callable[[pathlib.Path, bytes], None]] = []  # see `following`
_PACKAGES = ("ddjax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


@dataclasses.dataclass
class Cost:
    """What a stage spent.

    Attributes:
      seconds: wall time without compilation.
      compile_seconds: wall time of compilation.
      forward_passes: images through a forward pass only.
      train_passes: images through a forward and a backward pass.
      flops: floating-point operations by XLA's cost analysis of one step and of one
        image's forward pass, times how often they ran.
      bytes: size on disk, set when the artifact is written.
    """

    seconds: float = 0.0
    compile_seconds: float = 0.0
    forward_passes: int = 0
    train_passes: int = 0
    flops: float = 0.0
    bytes: int = 0

    def share(self, parts: int) -> Cost:
        """Returns what one of several equal users of it pays, compilation left out."""
        return Cost(
            seconds=self.seconds / parts,
            forward_passes=self.forward_passes // parts,
            train_passes=self.train_passes // parts,
            flops=self.flops / parts,
        )

    def __add__(self, other: Cost) -> Cost:
        values = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return Cost(*(a + b for a, b in values))


@dataclasses.dataclass(frozen=True, eq=False)
class Artifact:
    """A stage's result: read-only arrays, its manifest, and where it lies.

    Attributes:
      path: the folder.
      manifest: the parsed `manifest.json`.
      arrays: name -> array.
      reused: whether it was found on disk instead of computed by this process.
    """

    path: pathlib.Path
    manifest: dict[str, Any]
    arrays: dict[str, np.ndarray]
    reused: bool

    @property
    def address(self) -> str:
        return self.manifest["address"]

    @property
    def info(self) -> dict[str, Any]:
        return self.manifest["info"]

    @property
    def cost(self) -> Cost:
        return Cost(**self.manifest["cost"])


@dataclasses.dataclass
class Draft:
    """What a stage computed, to be written as an artifact.

    Attributes:
      arrays: name -> array; arrays keyed by example have the example as last axis
        unless their stage documents another.
      info: small JSON values: accuracies, class names, choices.
      cost: what was spent.
    """

    arrays: dict[str, np.ndarray]
    info: dict[str, Any]
    cost: Cost


def digest(value: Any) -> str:
    """Returns 16 hex digits that identify a JSON value, array, bytes or a stream.

    Args:
      value: what to identify; images that stay in their files by their `identity`,
        without reading them.
    """
    value = getattr(value, "identity", value)
    if isinstance(value, np.ndarray):
        head = f"{value.dtype.str}{value.shape}".encode()
        value = head + np.ascontiguousarray(value).tobytes()
    if not isinstance(value, bytes):
        value = json.dumps(value, sort_keys=True).encode()
    return hashlib.sha256(value).hexdigest()[:16]


def seal(value: dict[str, Any]) -> dict[str, Any]:
    """Returns a JSON object with a checksum of itself, which `unseal` checks."""
    plain = json.loads(json.dumps(value))
    return plain | {_CHECKSUM: digest(plain)}


def unseal(value: Any) -> dict[str, Any]:
    """Returns what was given to `seal`.

    Raises:
      ValueError: it was changed since then, or never sealed.
    """
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    plain = {name: entry for name, entry in value.items() if name != _CHECKSUM}
    if value.get(_CHECKSUM) != digest(plain):
        raise ValueError("does not match its checksum")
    return plain


@functools.cache
def versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = MISSING
    return found


def load(
    path: pathlib.Path, kind: str, advice: str, address: str | None = None
) -> Artifact:
    """Reads an artifact and checks that it is whole.

    Args:
      path: the artifact's folder.
      kind: what it must be.
      advice: what to do where it is not, the end of a message.
      address: what its address must be; None: any.

    Returns:
      The artifact.

    Raises:
      InputError: a file is missing or damaged, or it is another kind of artifact.
    """
    expected = {"schema": SCHEMA, "kind": kind}
    if address is not None:
        expected["address"] = address
    manifest = _manifest(path / "manifest.json", expected, advice)
    _check_head(path, manifest, advice)
    try:
        for name, entry in manifest["files"].items():
            _check_inside(path, name, advice)
            found = hashlib.sha256((path / name).read_bytes()).hexdigest()
            if found != entry["sha256"]:
                raise InputError(
                    f"{path / name}: sha256 is {found[:12]}..., expected "
                    f"{entry['sha256'][:12]}...: the file is damaged; {advice}"
                )
        with np.load(path / "arrays.npz", allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{error.filename}: is missing; {advice}") from error
    except DAMAGED as error:
        raise InputError(f"{path}: is damaged ({error!r}); {advice}") from error
    for array in arrays.values():
        array.flags.writeable = False
    return Artifact(path, manifest, arrays, reused=True)


def _manifest(path: pathlib.Path, expected: dict[str, Any], advice: str) -> dict:
    """Reads a manifest with some expected values; see `load`."""
    try:
        sealed = json.loads(path.read_text())
        # Of another schema it is not damaged, but older or newer.
        other = isinstance(sealed, dict) and sealed.get("schema") != SCHEMA
        manifest = sealed if other else unseal(sealed)
        for key, value in expected.items():
            found = manifest.get(key)
            if found != value:
                raise InputError(
                    f"{path}: {key} is {found!r:.80}, expected {value!r}; {advice}"
                )
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{path}: is missing; {advice}") from error
    except DAMAGED as error:
        raise InputError(f"{path}: is damaged ({error}); {advice}") from error
    return manifest


def _check_head(path: pathlib.Path, manifest: Any, advice: str) -> None:
    """Refuses a manifest without what every artifact's has."""
    kinds = {"schema": int, "kind": str, "address": str}
    kinds |= {"info": dict, "cost": dict, "files": dict}
    if not isinstance(manifest, dict):
        raise InputError(
            f"{path}/manifest.json: found {type(manifest).__name__}, expected a "
            f"mapping; {advice}"
        )
    for key, kind in kinds.items():
        if not isinstance(manifest.get(key), kind):
            raise InputError(
                f"{path}/manifest.json: {key} is {manifest.get(key)!r:.80}, expected "
                f"{'a mapping' if kind is dict else 'a value'} of type "
                f"{kind.__name__}; {advice}"
            )
    names = {field.name for field in dataclasses.fields(Cost)}
    cost, files = manifest["cost"], manifest["files"]
    if cost.keys() != names or not all(
        isinstance(value, int | float) for value in cost.values()
    ):
        raise InputError(
            f"{path}/manifest.json: cost is {cost!r:.80}, expected numbers for "
            f"{', '.join(sorted(names))}; {advice}"
        )
    if "arrays.npz" not in files or not all(
        isinstance(entry, dict) and isinstance(entry.get("sha256"), str)
        for entry in files.values()
    ):
        raise InputError(
            f"{path}/manifest.json: files is {files!r:.80}, expected a sha256 for "
            f"arrays.npz and every other file; {advice}"
        )


def _check_inside(path: pathlib.Path, name: str, advice: str) -> None:
    """Refuses to read a file that a manifest names but its artifact does not hold."""
    root, place = path.resolve(), (path / name).resolve()
    if not place.is_relative_to(root) or pathlib.PurePath(name).is_absolute():
        raise InputError(
            f"{path}/manifest.json: files names {name!r:.80}, which lies outside of "
            f"the folder; {advice}"
        )
    if place.exists() and not place.is_file():
        raise InputError(f"{path / name}: is no regular file; {advice}")


def write(folder: pathlib.Path, head: dict[str, Any], draft: Draft) -> None:
    """Completes an artifact: its arrays, and a manifest that begins with `head`."""
    with open(folder / "arrays.npz", "wb") as file:
        np.savez(file, allow_pickle=False, **draft.arrays)
    files: dict[str, dict[str, Any]] = {}
    for path in sorted(_files(folder)):
        content = path.read_bytes()
        files[str(path.relative_to(folder))] = {
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
        }
        sync(path)
    cost = dataclasses.replace(
        draft.cost, bytes=sum(entry["bytes"] for entry in files.values())
    )
    manifest = head | {
        "info": draft.info,
        "cost": dataclasses.asdict(cost),
        "arrays": {
            name: {"shape": list(array.shape), "dtype": str(array.dtype)}
            for name, array in draft.arrays.items()
        },
        "files": files,
        "versions": versions(),
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    write_json(folder / "manifest.json", seal(manifest))


def _files(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def write_file(path: str | os.PathLike, data: bytes) -> None:
    """Writes a file that is there whole or not at all; the first process does.

    Args:
      path: file to create or replace; its folder must exist.
      data: the content.
    """
    from ddjax import mesh  # here, since who reads data need not wait for JAX

    if not mesh.primary():
        return
    path = pathlib.Path(path)
    tell(path, data)
    temporary = path.with_name(f".tmp-{path.name}")
    try:
        temporary.write_bytes(data)
        sync(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync(path.parent)


def tell(path: pathlib.Path, data: bytes) -> None:
    """Calls the functions of `following` before a file is written."""
    for follower in _followers:
        follower(path, data)


@contextlib.contextmanager
def following(follower: Callable[[pathlib.Path, bytes], None]) -> Iterator[None]:
    """Calls a function before every file that `write_file` writes.

    Args:
      follower: called with its path and content, in the process that writes.
    """
    _followers.append(follower)
    try:
        yield
    finally:
        _followers.remove(follower)


def write_json(path: pathlib.Path, value: Any) -> None:
    """Writes a JSON value with `write_file`, indented."""
    write_file(path, (json.dumps(value, indent=2) + "\n").encode())


def csv_bytes(table: pd.DataFrame, float_format: str | None = None) -> bytes:
    """Returns a table as CSV that Python's csv and pandas read back as it is.

    Args:
      table: written without its index; bytes of a text that are none are escaped.
      float_format: of numbers, such as "%.6g"; None: all digits.
    """
    text = table.to_csv(index=False, lineterminator="\n", float_format=float_format)
    if "\r" in text:  # which is not quoted by itself, and would end a row
        text = table.to_csv(
            index=False,
            lineterminator="\n",
            float_format=float_format,
            quoting=csv.QUOTE_NONNUMERIC,
        )
    return text.encode(errors="backslashreplace")


def sync(path: pathlib.Path) -> None:
    """Brings a file, or the names in a folder, safely to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
