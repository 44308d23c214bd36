"""The command line: its grammar, the shipped configs, and what `ddjax show` prints."""

__all__: list[str] = []  # its modules are imported one by one


def __dir__() -> list[str]:
    return __all__
