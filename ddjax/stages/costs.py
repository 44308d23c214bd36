"""What the stages of a run took."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def stage_table(costs: list[dict[str, Any]]) -> pd.DataFrame:
    """Returns what each stage of a run took.

    Args:
      costs: of `Run`.

    Returns:
      A row a stage, in the order in which they were reached: stage, reused,
      seconds without and compile_seconds with the compiler, forward_passes,
      train_passes, flops, images_per_second of the passes and seconds (missing where
      there is nothing to divide) and share, the part of all stages' time that it and
      its compilation took. A reused stage counts with what it took originally.
    """
    import pandas as pd

    names = ["stage", "reused", "seconds", "compile_seconds"]
    names += ["forward_passes", "train_passes", "flops"]
    table = pd.DataFrame(costs, columns=names)
    seconds = table["seconds"].astype(float)
    passes = table["forward_passes"] + table["train_passes"]
    rate = passes / seconds.where(seconds > 0)
    table["images_per_second"] = rate.where(passes > 0).astype(float)
    total = seconds + table["compile_seconds"]
    table["share"] = total / total.sum() if total.sum() > 0 else 0.0
    return table
