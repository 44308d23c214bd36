"""What a study found: statistics over its students, tables, figures and a report."""

from ddjax.report.correlation import (
    Correlation,
    architectures_figure,
    by_architecture,
    dcs,
    dcs_figure,
    spearman,
)
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
    overlap_figure,
    overlap_finding,
)
from ddjax.report.statistics import (
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
from ddjax.report.training_plots import dynamics_figure, learning_curve_figure

__all__ = [
    "EXPLANATION",
    "Correlation",
    "PageFigure",
    "Record",
    "aligned",
    "architectures_figure",
    "beside",
    "by_architecture",
    "console_table",
    "contact_sheet",
    "correlation_figure",
    "correlation_finding",
    "dcs",
    "dcs_figure",
    "difficulty_figure",
    "difficulty_finding",
    "dynamics_figure",
    "image_strip",
    "label_effect",
    "learning_curve_figure",
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
