"""A run's folder: its artifacts, and what is kept of unfinished ones.

Of several processes the first one writes; all of them see the same folder.
"""

import dataclasses
import fcntl
import json
import os
import pathlib
import shutil
import time
from collections.abc import Callable
from typing import Any, TextIO

import jax

from ddjax import mesh
from ddjax.artifacts import (
    SCHEMA,
    Artifact,
    Draft,
    digest,
    load,
    seal,
    sync,
    unseal,
    write,
    write_json,
)
from ddjax.declare import walk
from ddjax.errors import InputError, system_error

_WAIT, _PAUSE = 5.0, 0.05  # seconds, until a folder is gone, and between tries
# What is there before `run.json`, where a run was killed that early.
_BEFORE_MARKER = {".lock", ".tmp-run.json"}
_FILES = {
    "README.md",
    "architectures.csv",
    "dcs.csv",
    "manifest.json",
    "members.jsonl",
    "metrics.jsonl",
    "report.html",
    "run.json",
    "stages.csv",
    "subset.csv",
    "summary.csv",
    "verdicts.json",
}
_FOLDERS = {
    "artifacts",
    "figures",
    "images",
    "partial",
    "profile",
    "scores",
    "subsets",
    "tensorboard",
}


class Workdir:
    """A run's folder: one run at a time, one experiment on one source."""

    def __init__(self, path: str | os.PathLike, identity: dict[str, str]):
        """Opens or creates the folder.

        Args:
          path: the folder; empty, absent, or of an earlier run.
          identity: what every run in this folder must share, such as the experiment's
            name and the source's digest.

        Raises:
          InputError: the folder cannot be written, holds other things or another
            experiment's artifacts, or is used by another process.
        """
        self.path = pathlib.Path(path)
        self.identity = identity
        self.artifacts = self.path / "artifacts"
        self.partial = self.path / "partial"
        self._lock_file: TextIO | None = None
        mesh.first(self._open)
        if not (self.path / "run.json").exists():
            raise InputError(
                f"--workdir {self.path.absolute()}: process {jax.process_index()} does "
                "not see what the first one wrote there; choose a folder that all "
                "processes share"
            )

    def _open(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            entries = {e.name: e.is_dir() for e in self.path.iterdir()}
        except OSError as error:
            raise InputError(
                f"--workdir {self.path}: cannot be made a folder ({error.strerror})"
            ) from error
        others = sorted(entries.keys() - _BEFORE_MARKER)
        if others and "run.json" not in entries:
            raise InputError(
                f"--workdir {self.path}: holds {others[0]!r} but no run.json, "
                "so it is not a ddjax workdir; choose an empty or a new folder"
            )
        for name, is_folder in entries.items():
            if name in (_FILES if is_folder else _FOLDERS):
                found, wanted = ("folder", "file") if is_folder else ("file", "folder")
                raise InputError(
                    f"--workdir {self.path}: {name} is a {found}, allowed is a "
                    f"{wanted}, which a run writes there; move it away"
                )
        self._lock()
        try:
            self._begin(self.path / "run.json")
        except OSError as error:
            self.close()
            raise InputError(
                f"--workdir {self.path}: cannot be written ({error.strerror})"
            ) from error
        except InputError:
            self.close()
            raise

    def _begin(self, marker: pathlib.Path) -> None:
        """Checks whose folder it is, and clears what a killed run left."""
        if marker.exists():
            self._check_identity(marker)
        else:
            write_json(marker, seal(self._expected()))
        for folder in (self.artifacts, self.partial):
            folder.mkdir(exist_ok=True)
        for leftover in self.artifacts.glob(".tmp-*"):
            shutil.rmtree(leftover)

    def _lock(self) -> None:
        try:
            file = open(self.path / ".lock", "w")
        except OSError as error:
            raise InputError(
                f"--workdir {self.path}: cannot be written ({error.strerror})"
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise InputError(
                f"--workdir {self.path}: another process is running there; "
                "wait for it or choose another folder"
            ) from None
        except OSError as error:  # a file system without locks
            file.close()
            raise InputError(
                f"--workdir {self.path}: cannot be locked ({error.strerror}); choose a "
                "folder on another file system"
            ) from error
        self._lock_file = file

    def close(self) -> None:
        """Releases the folder for other runs."""
        if self._lock_file is not None:
            self._lock_file.close()

    def __enter__(self) -> "Workdir":
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def _expected(self) -> dict[str, Any]:
        return {"schema": SCHEMA, **self.identity}

    def _check_identity(self, marker: pathlib.Path) -> None:
        try:
            sealed = json.loads(marker.read_text(encoding="utf-8"))
            older = isinstance(sealed, dict) and sealed.get("schema") != SCHEMA
            found = sealed if older else unseal(sealed)
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"{marker}: is damaged ({error}); choose another --workdir"
            ) from error
        expected = self._expected()
        for key in (*expected, *(key for key in found if key not in expected)):
            if found.get(key) != expected.get(key):
                raise InputError(
                    f"--workdir {self.path}: holds a run with {key} "
                    f"{walk.shown(found.get(key))}, this one has "
                    f"{walk.shown(expected.get(key))}; choose another --workdir"
                )

    def artifact(
        self,
        kind: str,
        settings: dict[str, Any],
        parents: dict[str, str],
        make: Callable[[pathlib.Path], Draft],
    ) -> Artifact:
        """Returns an artifact, from disk if it is there, else by making it.

        Args:
          kind: of the artifact.
          settings: JSON values that determine the result.
          parents: name -> address (or digest) of what it is computed from.
          make: writes extra files into the folder it is given, with `mesh.first` or
            what knows of several processes itself, and returns the rest.

        Returns:
          The artifact, checked.

        Raises:
          InputError: what is on disk is damaged.
        """
        key = {"schema": SCHEMA, "kind": kind, "settings": settings, "parents": parents}
        address = digest(key)
        path = self.artifacts / f"{kind}-{address}"
        advice = f"delete the folder {path} to compute it again"
        unfinished = self.partial / path.name
        if mesh.first(path.exists):
            mesh.first(lambda: shutil.rmtree(unfinished, ignore_errors=True))
            return load(path, kind, advice, address)
        temporary = self.artifacts / f".tmp-{kind}-{address}"

        def begin():
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()

        def finish():
            write(temporary, key | {"address": address}, draft)
            os.rename(temporary, path)
            sync(self.artifacts)
            shutil.rmtree(unfinished, ignore_errors=True)

        try:
            mesh.first(begin)
            draft = make(temporary)
            mesh.first(finish)
        except Exception as error:
            refused = system_error(error, self.path)
            if refused is None:
                raise
            # Such as a full disk: halves would only take more room.
            _remove(temporary)
            raise refused from error
        return dataclasses.replace(load(path, kind, advice, address), reused=False)

    def partial_folder(
        self, kind: str, settings: dict[str, Any], parents: dict[str, str]
    ) -> pathlib.Path:
        """Returns where an unfinished artifact keeps its checkpoints."""
        key = {"schema": SCHEMA, "kind": kind, "settings": settings, "parents": parents}
        return self.partial / f"{kind}-{digest(key)}"


def _remove(folder: pathlib.Path) -> None:
    """Removes a folder into which threads of a failed save may still write."""
    end = time.monotonic() + _WAIT
    while folder.exists() and time.monotonic() < end:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(_PAUSE)
