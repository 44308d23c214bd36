"""Files that `torch.save` writes, read and written without PyTorch."""

from ddjax.torch_files.reading import read
from ddjax.torch_files.writing import write

__all__ = ["read", "write"]


def __dir__() -> list[str]:
    return __all__
