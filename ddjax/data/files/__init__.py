"""File formats and layouts of data sets, each read without trusting what it says."""

__all__: list[str] = []  # its modules are imported one by one


def __dir__() -> list[str]:
    return __all__
