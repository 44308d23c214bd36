"""What a label store is: its manifest, its small files, and whether two agree."""

import importlib.metadata
import io
import json
from typing import Any

import numpy as np

from ddjax.artifacts import digest, versions
from ddjax.errors import InputError
from ddjax.labels.store.files import Files

SCHEMA = 1
KIND = "label-store"
MANIFEST = "manifest.json"
IDS = "example_ids.npy"
DECODER = "codec.npz"
ENCODER = "encoder.npz"
_CREATED = "written/zarr.json"  # the last file of a new store
_AGREE = ("epochs", "examples", "num_classes", "codec", "example_ids")


class _Absent:
    """Stands for a key that is not there."""

    def __repr__(self) -> str:
        return "nothing"


def create(
    files: Files,
    epochs: int,
    example_ids: np.ndarray,
    num_classes: int,
    codec: Any,
    identity: dict[str, Any],
) -> dict[str, Any]:
    """Makes a store's manifest and small files, unless an equal store is there.

    The manifest is written first, and only if there is none: of several processes that
    create the same store, one decides and the others agree or are refused.

    Args:
      files: the store's folder.
      epochs, example_ids, num_classes, codec, identity: as for `LabelStore.create`.

    Returns:
      The manifest on disk.

    Raises:
      InputError: the folder holds something else, or a store that differs.
    """
    expected = {
        "schema": SCHEMA,
        "kind": KIND,
        "epochs": epochs,
        "examples": example_ids.size,
        "example_ids": digest(example_ids),
        "num_classes": num_classes,
        "codec": codec.spec,
        "identity": json.loads(json.dumps(identity)),
    }
    if created(files):
        return _agreed(files, expected)
    span = map(np.min_scalar_type, (example_ids.min(), example_ids.max()))
    small_ids = example_ids.astype(np.result_type(*span))
    parts = {IDS: _bytes(np.save, small_ids), DECODER: _npz(codec.state())}
    encoder = codec.state(encoder=True)
    if encoder.keys() != codec.state().keys():
        parts[ENCODER] = _npz(encoder)
    if files.get(MANIFEST) is None:
        names = files.names()
        if names and files.get(MANIFEST) is None:
            raise InputError(
                f"{files.path}: holds {names[0]!r} but no {MANIFEST}, so it is not a "
                "label store; choose an empty or a new folder"
            )
        manifest = expected | {
            "files": {name: digest(content) for name, content in parts.items()},
            "versions": versions()
            | {"tensorstore": importlib.metadata.version("tensorstore")},
        }
        sealed = manifest | {"digest": digest(manifest)}
        files.put_new(MANIFEST, (json.dumps(sealed, indent=2) + "\n").encode())
    found = _agreed(files, expected)
    for name, content in parts.items():
        if files.get(name) is None:
            _agree(files.path, name, found["files"][name], digest(content))
            files.put_new(name, content)
    return found


def created(files: Files) -> bool:
    """Returns whether a store was created to its end."""
    return files.get(_CREATED) is not None


def load(files: Files) -> dict[str, Any]:
    """Reads a store's manifest and checks that it is one.

    Raises:
      InputError: it is missing, damaged, or of another kind or schema.
    """
    name = f"{files.path}/{MANIFEST}"
    content = files.get(MANIFEST)
    if content is None:
        raise InputError(f"{name}: is missing, so this is not a label store")
    try:
        manifest = json.loads(content)
        seal = manifest.pop("digest")
        kind, schema = manifest["kind"], manifest["schema"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{name}: is damaged ({error!r})") from None
    if (kind, schema) != (KIND, SCHEMA):
        raise InputError(
            f"{name}: is {kind!r} of schema {schema!r}, this version of ddjax reads "
            f"{KIND!r} of schema {SCHEMA}"
        )
    if seal != digest(manifest):
        raise InputError(f"{name}: is damaged (it does not match its checksum)")
    return manifest


def check_identity(
    files: Files, manifest: dict[str, Any], expected: dict[str, Any]
) -> None:
    """Raises InputError where a key of `expected` differs in the manifest."""
    for key, value in json.loads(json.dumps(expected)).items():
        _agree(files.path, key, manifest["identity"].get(key, _Absent()), value)


def part(files: Files, manifest: dict[str, Any], name: str) -> Any:
    """Reads a small file, checked: an array, or name -> array.

    Raises:
      InputError: it is missing or damaged.
    """
    content = files.get(name)
    if content is None or digest(content) != manifest["files"][name]:
        what = "is missing" if content is None else "does not match its checksum"
        raise InputError(
            f"{files.path}/{name}: {what}; delete the store and write it again"
        )
    loaded = np.load(io.BytesIO(content), allow_pickle=False)
    return loaded if isinstance(loaded, np.ndarray) else dict(loaded)


def _agreed(files: Files, expected: dict[str, Any]) -> dict[str, Any]:
    """The manifest on disk, if it is the expected one."""
    found = load(files)
    for key in _AGREE:
        _agree(files.path, key, found[key], expected[key])
    _agree(files.path, "", found["identity"], expected["identity"])
    return found


def _agree(path: str, key: str, found: Any, expected: Any) -> None:
    """Raises InputError at the first key, dotted, where two JSON values differ."""
    if isinstance(found, dict) and isinstance(expected, dict):
        for name in sorted(found.keys() | expected.keys()):
            old, new = (each.get(name, _Absent()) for each in (found, expected))
            _agree(path, f"{key}.{name}".lstrip("."), old, new)
    elif isinstance(found, list) and isinstance(expected, list):
        _agree(path, f"{key}.length", len(found), len(expected))
        for place, (old, new) in enumerate(zip(found, expected, strict=True)):
            _agree(path, f"{key}.{place}", old, new)
    elif found != expected:
        raise InputError(
            f"{path}: {key} is {found!r} in the label store, expected {expected!r}; "
            "choose another path or the settings it was written with"
        )


def _bytes(save, *arrays, **named) -> bytes:
    buffer = io.BytesIO()
    save(buffer, *arrays, **named)
    return buffer.getvalue()


def _npz(arrays: dict[str, np.ndarray]) -> bytes:
    return _bytes(np.savez, **{name: np.asarray(a) for name, a in arrays.items()})
