"""What a run prints at its end: tables, remarks, verdicts and where its report is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ddjax import report
from ddjax.process.console import bold, shown_path, width, wrapped
from ddjax.run import Run
from ddjax.stages.costs import stage_table
from ddjax.stages.outputs import Parts

if TYPE_CHECKING:
    import pandas as pd

_LONGEST = 5  # stages that are printed
_KEY = (
    "± is the 95 % interval of one comparison alone. What is shown, or shown to be "
    "small, is so with all comparisons of its answer together, at a level of 5 %."
)


def print_accuracies(
    parts: Parts, summary: pd.DataFrame, published: pd.DataFrame | None
) -> None:
    """Prints the table of a study.

    Args:
      parts: of the report.
      summary: the study's.
      published: numbers of papers that are about the same, None if not known.
    """
    print()
    with parts.part("the table on the console"):
        print(report.console_table(summary))
        if published is not None and len(published):
            print(wrapped(f"Published numbers. {report.EXPLANATION}"))
            print(published.to_string(index=False), end="\n\n")


def print_end(
    run: Run, parts: Parts, notes: list[str], lines: list[str], record: report.Record
) -> None:
    """Prints what stands below the table of results.

    Args:
      run: where it ran.
      parts: of the report; those that failed are named.
      notes: remarks on the validity of the results.
      lines: on the recommended subset.
      record: what the page shows.
    """
    with parts.part("the table of stages on the console"):
        _print_stages(run)
    for note in notes + parts.missing:
        print(wrapped(f"Note: {note}", indent=2, first=0), end="\n\n")
    for line in lines:
        run.say(line)
    if record.compares:
        with parts.part("the verdicts on the console"):
            _print_verdicts(record)
    path = run.folder / "report.html"
    there = path.is_file()
    run.say(f"report: {shown_path(path)}" if there else "there is no report.html")


def _print_verdicts(record: report.Record) -> None:
    print()
    if not record.verdicts:
        print(wrapped(f"No verdict: {record.no_verdict}"), end="\n\n")
        return
    for verdict in record.verdicts:
        print(wrapped(verdict.question))
        print(bold(wrapped(verdict.answer, indent=2)))
        print(wrapped(verdict.text, indent=2), end="\n\n")
    print(wrapped(_KEY), end="\n\n")


def _print_stages(run: Run) -> None:
    """Prints the most expensive stages."""
    table = stage_table(run.costs)
    grid = [["stage", "seconds", "compiling", "share", "images/s", ""]]
    for row in table.nlargest(_LONGEST, "share").itertuples():
        rate = row.images_per_second
        grid.append(
            [
                row.stage,
                f"{row.seconds:.1f}",
                f"{row.compile_seconds:.1f}",
                f"{row.share:.0%}",
                f"{rate:,.0f}" if rate == rate else "–",
                "reused" if row.reused else "",
            ]
        )
    print(wrapped(f"The most expensive of {len(table)} stages; all are in stages.csv"))
    text = report.aligned(grid, right=range(1, 5))
    if max(map(len, text.split("\n"))) > (width() or math.inf):
        text = report.aligned([[row[0], row[3]] for row in grid], right=[1])
    print(text, end="\n\n")
