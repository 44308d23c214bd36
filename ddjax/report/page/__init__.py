"""The page of a run: one file, read in ten seconds, that needs no network.

It is made of a `Record`, which a run hands over or `read` finds in a folder.
"""

from ddjax.report.page.record import Figure, Record, read
from ddjax.report.page.render import render, write_page, write_verdicts

__all__ = ["Figure", "Record", "read", "render", "write_page", "write_verdicts"]


def __dir__() -> list[str]:
    return __all__
