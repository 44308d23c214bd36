"""The process a run lives in: its console, environment, peers and end."""

__all__: list[str] = []  # its modules are imported one by one


def __dir__() -> list[str]:
    return __all__
