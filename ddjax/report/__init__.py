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
from ddjax.report.image_plots import (
    contact_sheet,
    image_strip,
    set_difficulty_figure,
    tsne_figure,
)
from ddjax.report.names import title
from ddjax.report.page import Figure as PageFigure
from ddjax.report.page import Record, read, render, write_page, write_verdicts
from ddjax.report.published import EXPLANATION, beside
from ddjax.report.selection_plots import (
    correlation_figure,
    correlation_finding,
    difficulty_figure,
    difficulty_finding,
    matrix_figure,
    overlap_figure,
    overlap_finding,
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
    aligned,
    console_table,
    recommendation,
    write_csv,
)

__all__ = [
    "EXPLANATION",
    "Correlation",
    "PageFigure",
    "Record",
    "accuracy_figure",
    "aligned",
    "architectures_figure",
    "beside",
    "by_architecture",
    "bytes_figure",
    "compares_labels",
    "console_table",
    "contact_sheet",
    "correlation_figure",
    "correlation_finding",
    "cost_figure",
    "dcs",
    "dcs_figure",
    "difficulty_figure",
    "difficulty_finding",
    "dynamics_figure",
    "gap_figure",
    "image_strip",
    "label_effect",
    "labels_figure",
    "learning_curve_figure",
    "matrix_figure",
    "mean_interval",
    "method_styles",
    "overlap_figure",
    "overlap_finding",
    "paired_interval",
    "read",
    "recommendation",
    "recommended",
    "render",
    "save_png",
    "selection_gain",
    "set_difficulty_figure",
    "spearman",
    "summarise",
    "title",
    "tsne_figure",
    "with_label_effect",
    "write_csv",
    "write_page",
    "write_verdicts",
]


def __dir__() -> list[str]:
    return __all__
