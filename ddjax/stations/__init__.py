"""The stations of the road, each a function that makes or reuses one artifact."""

__all__: list[str] = []  # its modules are imported one by one


def __dir__() -> list[str]:
    return __all__
