"""The folder of a label store, local or remote, as a key-value store of TensorStore.

`gs://bucket/folder` works as a local path does.
"""

import os
from typing import Any

from ddjax.errors import InputError

# The cache, and few threads: the allocator keeps memory for each, so that with one for
# every core a reader of random labels grows far beyond the cache.
_LIMITS = {
    "cache_pool": {"total_bytes_limit": 64 << 20},
    "data_copy_concurrency": {"limit": 2},
    "file_io_concurrency": {"limit": 2},
}


class Files:
    """A store's folder.

    Attributes:
      path: as the user gave it.
      context: TensorStore's, with one cache for all that is opened here.
    """

    def __init__(self, path: str | os.PathLike):
        """Names the folder; nothing is read yet.

        Args:
          path: a local path or a URL that TensorStore knows, such as
            `gs://bucket/folder`.

        Raises:
          InputError: the URL is not one.
        """
        import tensorstore as ts

        self.path = os.fspath(path).rstrip("/")
        spec: Any = f"{self.path}/"
        if "://" not in self.path:
            spec = {"driver": "file", "path": f"{os.path.abspath(self.path)}/"}
        self.context = ts.Context(_LIMITS)
        try:
            self._root = ts.KvStore.open(spec, context=self.context).result()
        except ValueError as error:
            raise InputError(
                f"{self.path}: cannot be opened ({cause(error)})"
            ) from None

    def spec(self, folder: str = "") -> dict[str, Any]:
        """Returns the specification, as TensorStore's JSON, of a folder in this one."""
        return (self._root / folder).spec().to_json()

    def get(self, name: str, last_bytes: int | None = None) -> bytes | None:
        """Returns a file's content or its last bytes, None where there is no file."""
        part = None if last_bytes is None else slice(-last_bytes, None)
        try:
            found = self._root.read(name, byte_range=part).result()
        except ValueError as error:
            raise InputError(f"{self.path}/{name}: {cause(error)}") from None
        return None if found.state == "missing" else found.value

    def put_new(self, name: str, content: bytes) -> None:
        """Writes a file, durably, unless one of that name is there."""
        try:
            self._root.write(name, content, if_equal=b"").result()
        except ValueError as error:
            raise self.not_written(error) from None

    def delete(self, name: str) -> None:
        """Deletes a file that may be there."""
        try:
            self._root.write(name, None).result()
        except ValueError as error:
            raise InputError(f"{self.path}/{name}: {cause(error)}") from None

    def names(self) -> list[str]:
        """Returns the names of all files, with their folders."""
        try:
            return sorted(key.decode() for key in self._root.list().result())
        except ValueError as error:
            raise InputError(f"{self.path}: {cause(error)}") from None

    def not_written(self, error: Exception) -> InputError:
        """Returns what to raise where a write failed."""
        return InputError(
            f"{self.path}: cannot be written ({cause(error)}); the store keeps what is "
            "complete, and the same command resumes"
        )


def cause(error: Exception) -> str:
    """Returns TensorStore's message, without the specification that it adds."""
    return str(error).split(" [", 1)[0]
