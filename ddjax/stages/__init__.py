"""The stages of an experiment, a file each; `ddjax.pipeline` puts them in order."""

__all__: list[str] = []


def __dir__() -> list[str]:
    return __all__
