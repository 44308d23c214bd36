"""What a study found: statistics over its students, tables, figures and a report."""

from ddjax.report.accuracy_plots import (
    accuracy_figure,
    dynamics_figure,
    gap_figure,
    labels_figure,
    learning_curve_figure,
)
from ddjax.report.correlation import (
    Correlation,
    architectures_figure,
    by_architecture,
    dcs,
    dcs_figure,
    spearman,
)
from ddjax.report.cost_plots import bytes_figure, cost_figure
from ddjax.report.drawing import method_styles, save_png
from ddjax.report.html import write_html, write_teachers_html
from ddjax.report.image_plots import contact_sheet, set_difficulty_figure, tsne_figure
from ddjax.report.published import EXPLANATION, beside
from ddjax.report.selection_plots import (
    correlation_figure,
    difficulty_figure,
    matrix_figure,
    overlap_figure,
)
from ddjax.report.statistics import (
    compares_labels,
    label_effect,
    mean_interval,
    paired_interval,
    recommended,
    selection_gain,
    summarise,
    with_label_effect,
)
from ddjax.report.table import (
    answer,
    console_table,
    markdown_table,
    recommendation,
    write_csv,
)

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
