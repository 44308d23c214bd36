"""What a study found: statistics over its students, tables, figures and a report."""

from ddjax.report.architectures import architectures_figure, by_architecture
from ddjax.report.correlation import Correlation, dcs, dcs_figure, spearman
from ddjax.report.cost_plots import cost_figure
from ddjax.report.dynamics import dynamics_figure
from ddjax.report.html import write_html
from ddjax.report.label_plots import bytes_figure, labels_figure
from ddjax.report.plots import (
    accuracy_figure,
    difficulty_figure,
    gap_figure,
    method_styles,
    save_png,
)
from ddjax.report.published import EXPLANATION, beside
from ddjax.report.recommended import recommendation, recommended
from ddjax.report.selection_plots import (
    correlation_figure,
    matrix_figure,
    overlap_figure,
)
from ddjax.report.set_plots import set_difficulty_figure
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
from ddjax.report.tsne import tsne_figure

__all__ = [
    "EXPLANATION",
    "Correlation",
    "accuracy_figure",
    "answer",
    "architectures_figure",
    "beside",
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
    "dynamics_figure",
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
    "recommendation",
    "recommended",
    "save_png",
    "selection_gain",
    "set_difficulty_figure",
    "spearman",
    "summarise",
    "tsne_figure",
    "with_label_effect",
    "write_csv",
    "write_html",
    "write_teachers_html",
]


def __dir__() -> list[str]:
    return __all__
