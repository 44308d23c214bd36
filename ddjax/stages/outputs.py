"""The files that a run writes for its reader, and what is missing of them.

Their list stands in the run's `manifest.json`, each file with the digest of its
content, so that the next run leaves no old ones. A file that a user changed or added is
theirs, and is kept. Until a run has written all, its list grows in `.written.jsonl`:
a kill loses nothing of it.
"""

import collections
import contextlib
import json
import pathlib
from collections.abc import Iterator

from ddjax import artifacts, mesh
from ddjax.process.ending import Preempted
from ddjax.run import Run

_NAMED = 3  # parts that a sentence names
_MANIFEST = "manifest.json"
_GROWING = ".written.jsonl"
# Where reports go; "": beside the manifest.
_PLACES = ("", "figures", "images", "scores", "subsets")


class Parts:
    """The parts of a report: where one fails, the others are written."""

    def __init__(self) -> None:
        self._failed: dict[str, list[str]] = {}  # why -> which

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Surrounds the writing of a part; all that was computed is there already.

        Args:
          name: what to call it, such as "figures/dcs.png".
        """
        try:
            yield
        except Preempted:
            raise
        # Whatever it is: a library that stumbles over a name, a full disk.
        except Exception as error:
            self._failed.setdefault(_reason(error), []).append(name)

    @property
    def missing(self) -> list[str]:
        """A sentence for every reason why parts are missing."""
        return [
            f"Missing in the report: {_listed(names)}; {reason}. The same command "
            "writes what is missing."
            for reason, names in self._failed.items()
        ]


def _reason(error: BaseException) -> str:
    if isinstance(error.__cause__, OSError):
        error = error.__cause__
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    reason = str(error).strip().partition("\n")[0].rstrip(".")
    return f"{reason or 'it failed'} ({type(error).__name__})"


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMED
    shown = ", ".join(names[:_NAMED])
    return f"{shown} and {more} more" if more > 0 else shown


@contextlib.contextmanager
def replacing(run: Run) -> Iterator[None]:
    """Surrounds a run that writes its report.

    Behind it, files are gone that an earlier run wrote and this one did not, and the
    manifest has the list of what there is. A run that fails removes nothing.

    Args:
      run: the run.
    """
    folder = run.folder
    if not mesh.primary():
        yield
        return
    earlier = _earlier(run, folder)
    written: dict[str, str] = {}
    known = [[name, digest] for name in earlier for digest in sorted(earlier[name])]
    lines = "".join(json.dumps(pair) + "\n" for pair in known)
    artifacts.write_file(folder / _GROWING, lines.encode())

    with open(folder / _GROWING, "a") as growing:

        def note(path: pathlib.Path, data: bytes) -> None:
            name = _name(folder, path)
            if name is not None:
                written[name] = artifacts.digest(bytes(data))
                growing.write(json.dumps([name, written[name]]) + "\n")
                growing.flush()

        with artifacts.following(note):
            yield
    if not written:  # no report that replaces one
        return
    for name in sorted(earlier.keys() - written.keys()):
        _remove(run, folder, name, earlier[name])
    try:
        manifest = json.loads((folder / _MANIFEST).read_text())
    except (OSError, ValueError):
        return  # noted as missing in the report; the list goes on growing
    sealed = artifacts.seal(manifest | {"files": dict(sorted(written.items()))})
    artifacts.write_json(folder / _MANIFEST, sealed)
    (folder / _GROWING).unlink()


def _name(folder: pathlib.Path, path: pathlib.Path) -> str | None:
    """Returns a report's file relative to the run's folder, None of other files."""
    if not path.is_relative_to(folder):
        return None
    name = path.relative_to(folder)
    place = name.parts[0] if len(name.parts) > 1 else ""
    known = place in _PLACES and str(name) not in (_MANIFEST, "run.json")
    return name.as_posix() if known else None


def _earlier(run: Run, folder: pathlib.Path) -> dict[str, set[str]]:
    """Returns what earlier runs wrote: name -> digests of its contents."""
    found = collections.defaultdict(set)
    path = folder / _MANIFEST
    if path.exists():
        try:
            manifest = artifacts.unseal(json.loads(path.read_text()))
            for name, digest in manifest["files"].items():
                found[name].add(digest)
        except (OSError, ValueError, KeyError) as error:
            # A run that was killed between the two writes of it has a list all the
            # same; without one, nothing is removed.
            if not (folder / _GROWING).exists():
                run.say(
                    f"{path}: is damaged ({error}); files of earlier reports are kept"
                )
    if (folder / _GROWING).exists():
        for line in (folder / _GROWING).read_text(errors="replace").splitlines():
            with contextlib.suppress(
                ValueError, TypeError
            ):  # a line that a kill left unfinished
                name, digest = json.loads(line)
                found[name].add(digest)
    return found


def _remove(run: Run, folder: pathlib.Path, name: str, digests: set[str]) -> None:
    """Deletes a file that a run wrote, and folders that it leaves empty."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
        return
    if artifacts.digest(path.read_bytes()) not in digests:
        run.say(f"{path}: was changed since ddjax wrote it, and is kept")
        return
    path.unlink()
    for parent in path.relative_to(folder).parents[:-1]:
        with contextlib.suppress(OSError):  # others' files are in it
            (folder / parent).rmdir()
