"""What a study found: statistics over its students, tables, figures and a report."""

from ddjax.report.architectures import architectures_figure, by_architecture
from ddjax.report.correlation import Correlation, dcs, dcs_figure, spearman
from ddjax.report.html import write_html
from ddjax.report.label_plots import bytes_figure, labels_figure
from ddjax.report.plots import (
    accuracy_figure,
    difficulty_figure,
    gap_figure,
    method_styles,
    save_png,
)
from ddjax.report.selection_plots import (
    correlation_figure,
    cost_figure,
    matrix_figure,
    overlap_figure,
)
from ddjax.report.sheet import contact_sheet
from ddjax.report.statistics import (
    compares_labels,
    label_effect,
    mean_interval,
    paired_interval,
    selection_gain,
    summarise,
    with_label_effect,
)
from ddjax.report.table import answer, console_table, markdown_table, write_csv
from ddjax.report.teachers import learning_curve_figure, write_teachers_html

__all__ = [
    "Correlation",
    "accuracy_figure",
    "answer",
    "architectures_figure",
    "by_architecture",
    "bytes_figure",
    "compares_labels",
    "console_table",
    "contact_sheet",
    "correlation_figure",
    "cost_figure",
    "dcs",
    "dcs_figure",
    "difficulty_figure",
    "gap_figure",
    "label_effect",
    "labels_figure",
    "learning_curve_figure",
    "markdown_table",
    "matrix_figure",
    "mean_interval",
    "method_styles",
    "overlap_figure",
    "paired_interval",
    "save_png",
    "selection_gain",
    "spearman",
    "summarise",
    "with_label_effect",
    "write_csv",
    "write_html",
    "write_teachers_html",
]
