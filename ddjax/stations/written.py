"""Which files a run wrote for its reader, so that the next one leaves no old ones.

The list stands in the run's `manifest.json`, each file with the digest of its content.
A file that somebody changed or added is theirs, and is kept. Until a run has written
all, its list grows in `.written.jsonl`: a kill loses nothing of it.
"""

import collections
import contextlib
import json
import pathlib
from collections.abc import Iterator

from ddjax import artifacts, mesh
from ddjax.stations.context import Context

_MANIFEST = "manifest.json"
_GROWING = ".written.jsonl"
# Where reports go; "": beside the manifest.
_PLACES = ("", "figures", "images", "scores", "subsets")


@contextlib.contextmanager
def replacing(context: Context) -> Iterator[None]:
    """Surrounds a run that writes its report.

    Behind it, files are gone that an earlier run wrote and this one did not, and the
    manifest has the list of what there is. A run that fails removes nothing.

    Args:
      context: the run, its folder opened.
    """
    folder = context.workdir.path
    if not mesh.primary():
        yield
        return
    earlier = _earlier(context, folder)
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
        _remove(context, folder, name, earlier[name])
    try:
        manifest = json.loads((folder / _MANIFEST).read_text())
    except (OSError, ValueError):
        return  # the report said that it could not be written; the list goes on growing
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


def _earlier(context: Context, folder: pathlib.Path) -> dict[str, set[str]]:
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
                context.say(
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


def _remove(
    context: Context, folder: pathlib.Path, name: str, digests: set[str]
) -> None:
    """Deletes a file that a run wrote, and folders that it leaves empty."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
        return
    if artifacts.digest(path.read_bytes()) not in digests:
        context.say(f"{path}: was changed since ddjax wrote it, and is kept")
        return
    path.unlink()
    for parent in path.relative_to(folder).parents[:-1]:
        with contextlib.suppress(OSError):  # others' files are in it
            (folder / parent).rmdir()
