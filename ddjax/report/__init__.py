"""What a study found: statistics over its students, tables, figures and a report."""

from ddjax.report.html import write_html
from ddjax.report.plots import (
    accuracy_figure,
    difficulty_figure,
    gap_figure,
    method_styles,
    save_png,
)
from ddjax.report.sheet import contact_sheet
from ddjax.report.statistics import (
    label_effect,
    mean_interval,
    paired_interval,
    selection_gain,
    summarise,
    with_label_effect,
)
from ddjax.report.table import answer, console_table, markdown_table, write_csv

__all__ = [
    "accuracy_figure",
    "answer",
    "console_table",
    "contact_sheet",
    "difficulty_figure",
    "gap_figure",
    "label_effect",
    "markdown_table",
    "mean_interval",
    "method_styles",
    "paired_interval",
    "save_png",
    "selection_gain",
    "summarise",
    "with_label_effect",
    "write_csv",
    "write_html",
]
