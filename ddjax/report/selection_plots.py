"""Figures that compare selections: overlap, likeness and difficulty.

Shape letters: K methods or scores, N examples, n examples of a subset.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from ddjax.errors import InputError
from ddjax.report.drawing import (
    Style,
    check_subsets,
    method_styles,
    new_figure,
    plain_style,
)
from ddjax.report.names import title
from ddjax.report.statistics import ordered_methods

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIGNED = "RdBu"  # red below 0, blue above: apart under colour-vision deficiencies
_DARK = 0.65  # share of the colour scale from which text is white


@plain_style()
def correlation_figure(scores: Mapping[str, np.ndarray]) -> Figure:
    """Spearman rank correlation between every two scores.

    Args:
        scores: name to scores, [N] float, infinities allowed; all of the same examples.

    Returns:
        The figure: an annotated heat map, ties with their average rank. Alike scores
        stand together: the order is that of hierarchical clustering, average linkage
        of 1 - rho with the leaves turned so that neighbours are as close as can be. A
        constant score correlates with nothing; its cells stay empty.

    Raises:
        InputError: if there is no score, or one is not [N], N >= 2, or holds a NaN.
    """
    rho_KK = _correlations(_checked_scores(scores))
    figure = _heat_map(
        rho_KK,
        list(scores),
        distance_KK=1.0 - np.nan_to_num(rho_KK),
        colours=(_SIGNED, -1.0, 1.0),
        text=lambda rho: f"{rho:z.2f}".replace("0.", "."),
    )
    figure.suptitle("Spearman correlation of the scores")
    return figure


@plain_style()
def overlap_figure(
    subsets: Mapping[str, np.ndarray], count: int | None = None
) -> Figure:
    """Share of images that every two subsets of the same size have in common.

    Args:
        subsets: method name to its example ids, [n] distinct int; n the same for all.
        count: N, of how many examples the subsets were selected; adds to the title what
            two random subsets share, n / N.

    Returns:
        The figure: a heat map annotated in percent of n, in the order of
        `correlation_figure` with distance 1 - share.

    Raises:
        InputError: if there is no subset, a subset is empty, repeats an id, leaves
            0..N-1 or differs in size from the first.
    """
    _check_equal(subsets, count)
    share_KK = _shares(subsets)
    size = len(next(iter(subsets.values())))
    figure = _heat_map(
        100.0 * share_KK,
        list(subsets),
        distance_KK=1.0 - share_KK,
        colours=("Blues", 0.0, 100.0),
        text=lambda percent: f"{percent:.0f}",
    )
    chance = f" (two random subsets: {100 * size / count:.2g} %)" if count else ""
    figure.suptitle(f"Images in common, % of {size}{chance}")
    return figure


@plain_style()
def difficulty_figure(
    scores: np.ndarray,
    score_name: str,
    subsets: Mapping[str, np.ndarray],
    styles: Mapping[str, Style] | None = None,
) -> Figure:
    """How hard the images are that each method selected.

    Args:
        scores: [N] float, finite, higher = harder; one per example id.
        score_name: name of the score, for the axis.
        subsets: method name to its example ids, [n] int in 0..N-1.
        styles: method name to style; by default from the names in `subsets`.

    Returns:
        The figure: one row per method with the histogram of the percentile ranks of
        the selected images among all N, each row scaled to its own peak; the dashed
        line in a row is the full set, the triangle the median.

    Raises:
        InputError: if a score is not finite, or a set is empty or leaves 0..N-1.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1 or not np.isfinite(scores).all():
        raise InputError(f"scores: {score_name} needs one finite number per example")
    check_subsets(subsets, scores.size)
    ascending = np.sort(scores)
    below = np.searchsorted(ascending, scores, "left")
    upto = np.searchsorted(ascending, scores, "right")
    percentile = 50.0 * (below + upto) / scores.size  # ties share their mean rank
    methods = ordered_methods(subsets)
    styles = {**method_styles(methods), **(styles or {})}
    edges = np.linspace(0.0, 100.0, 21)
    figure = new_figure(6.8, 1.5 + 0.46 * len(methods))
    axes = figure.subplots()
    for row, method in enumerate(reversed(methods)):
        chosen = percentile[np.asarray(subsets[method])]
        share = np.histogram(chosen, edges)[0] / chosen.size
        scale = 0.82 / share.max()
        colour = styles[method].colour
        axes.stairs(
            row + scale * share, edges, baseline=row, fill=True, color=colour, alpha=0.7
        )
        uniform = row + scale / share.size
        (line,) = axes.plot([0, 100], [uniform] * 2, "--", color="black", lw=0.8)
        (mark,) = axes.plot(np.median(chosen), row, "^", color="black", ms=5)
        axes.axhline(row, color=colour, linewidth=0.8)
    labels = [f"{m} (n={len(subsets[m])})" for m in reversed(methods)]
    axes.set_yticks(np.arange(len(methods)) + 0.3, labels)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-0.2, len(methods))
    axes.set_xlim(0.0, 100.0)
    axes.set_xlabel(
        f"percentile rank of {score_name} among all images (right = harder)"
    )
    axes.spines[["left", "top", "right"]].set_visible(False)
    figure.legend(
        [line, mark],
        ["the full set", "median of the selected"],
        loc="outside lower center",
        ncols=2,
        frameon=False,
        fontsize=9,
    )
    figure.suptitle(f"Difficulty of the selected images, by {score_name}")
    return figure


def difficulty_finding(
    scores: np.ndarray, subsets: Mapping[str, np.ndarray], ipc: int
) -> str:
    """Names in a sentence which subsets are the hardest and the easiest.

    Args:
        scores: as of `difficulty_figure`, EL2N.
        subsets: likewise.
        ipc: their budget.
    """
    order = np.sort(np.asarray(scores, np.float64))
    medians = {
        name: np.median(np.searchsorted(order, scores[ids])) / len(order)
        for name, ids in subsets.items()
    }
    hardest = max(medians, key=lambda name: medians[name])
    easiest = min(medians, key=lambda name: medians[name])
    if hardest == easiest:
        return f"EL2N of the selected images, IPC {ipc}, first seed."
    return (
        f"{title(hardest)} keeps the hardest images by EL2N, its median at "
        f"{medians[hardest]:.0%} of all, {title(easiest)} the easiest, at "
        f"{medians[easiest]:.0%} (IPC {ipc}, first seed)."
    )


def correlation_finding(scores: Mapping[str, np.ndarray], ipc: int) -> str:
    """Names in a sentence which two scores rank most alike.

    Args:
        scores: as of `correlation_figure`, at least two.
        ipc: the budget of their scoring run.
    """
    rho_KK = _correlations(_checked_scores(scores))
    return _closest(
        np.nan_to_num(rho_KK, nan=-2.0),
        list(scores),
        lambda one, other, rho: (
            f"{one} and {other} rank most alike: Spearman {rho:.2f} "
            f"(IPC {ipc}, first seed)."
        ),
    )


def overlap_finding(subsets: Mapping[str, np.ndarray], ipc: int) -> str:
    """Names in a sentence which two subsets share most images.

    Args:
        subsets: as of `overlap_figure`, at least two.
        ipc: their budget.
    """
    share_KK = _shares(subsets)
    return _closest(
        share_KK,
        [title(name) for name in subsets],
        lambda one, other, share: (
            f"{one} and {other} share most: {share:.0%} of their images "
            f"(IPC {ipc}, first seed)."
        ),
    )


def _closest(
    alike_KK: np.ndarray, names: list[str], words: Callable[[str, str, float], str]
) -> str:
    """Words on the two names that are most alike."""
    one, other = np.triu_indices(len(names), 1)
    best = int(alike_KK[one, other].argmax())
    return words(names[one[best]], names[other[best]], alike_KK[one, other][best])


def _write(axes: Axes, x: int, y: int, text: str, dark: bool, **style) -> None:
    """Text in the middle of a cell, which is dark or light."""
    # No part of the layout: computing the extent of every cell takes seconds.
    colour = "white" if dark else "black"
    cell = axes.text(x, y, text, color=colour, ha="center", va="center", **style)
    cell.set_in_layout(False)


def _correlations(scores_KN: np.ndarray) -> np.ndarray:
    """Spearman correlations, ties with their average rank; NaN of a constant."""
    # Not at the top: scipy.stats takes longer to import than the whole package.
    from scipy.stats import rankdata

    ranks_KN = rankdata(scores_KN, axis=1)
    ranks_KN -= ranks_KN.mean(axis=1, keepdims=True)
    norms_K1 = np.linalg.norm(ranks_KN, axis=1, keepdims=True)
    unit_KN = ranks_KN / np.where(norms_K1 > 0, norms_K1, np.nan)
    return np.clip(unit_KN @ unit_KN.T, -1.0, 1.0)


def _shares(subsets: Mapping[str, np.ndarray]) -> np.ndarray:
    """What share of their images every two subsets of a size have in common."""
    ids_K = [np.asarray(ids) for ids in subsets.values()]
    size = ids_K[0].size
    _, places = np.unique(np.concatenate(ids_K), return_inverse=True)
    member_KN = np.zeros((len(ids_K), places.max() + 1))
    member_KN[np.repeat(np.arange(len(ids_K)), size), places] = 1.0
    return member_KN @ member_KN.T / size


def _heat_map(values_KK, names, distance_KK, colours, text) -> Figure:
    """An annotated matrix whose rows and columns are ordered by alikeness."""
    order = _alike(distance_KK) if len(names) > 1 else [0]
    values_KK = values_KK[np.ix_(order, order)]
    names = [names[i] for i in order]
    side = max(4.4, 1.6 + max(0.3, 0.42 - 0.004 * len(names)) * len(names))
    figure = new_figure(side + 1.0, side)
    axes = figure.subplots()
    name, low, high = colours
    image = axes.imshow(values_KK, cmap=name, vmin=low, vmax=high)
    for (y, x), value in np.ndenumerate(values_KK):
        if not np.isnan(value):
            _write(axes, x, y, text(value), abs(value) > _DARK * high, fontsize=6.5)
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(length=0, labelsize=8)
    figure.colorbar(image, shrink=0.6, pad=0.02).ax.tick_params(labelsize=8)
    return figure


def _alike(distance_KK: np.ndarray) -> list[int]:
    """The order of the leaves of average linkage, neighbours as close as can be."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    # Rounding leaves the diagonal and the symmetry an ulp off.
    condensed = np.maximum(squareform(distance_KK, checks=False), 0.0)
    return leaves_list(linkage(condensed, "average", optimal_ordering=True)).tolist()


def _checked_scores(scores: Mapping[str, np.ndarray]) -> np.ndarray:
    """The scores as [K, N] float64, or an InputError."""
    if not scores:
        raise InputError("scores: none is given, at least one is needed")
    arrays = {name: np.asarray(s, np.float64) for name, s in scores.items()}
    shape = next(iter(arrays.values())).shape
    for name, array in arrays.items():
        if array.ndim != 1 or array.shape != shape or array.size < 2:
            raise InputError(
                f"scores: {name!r} has shape {array.shape}, expected [N], N >= 2 as "
                f"all; the first is {shape}"
            )
        if np.isnan(array).any():
            at = np.isnan(array).argmax()
            raise InputError(f"scores: {name!r} is NaN at example {at}")
    return np.stack(list(arrays.values()))


def _check_equal(subsets: Mapping[str, np.ndarray], count: int | None) -> None:
    check_subsets(subsets, np.iinfo(np.int64).max if count is None else count)
    size = len(next(iter(subsets.values())))
    for method, ids in subsets.items():
        if len(ids) != size:
            raise InputError(
                f"subsets: {method!r} has {len(ids)} ids, expected {size} as the first"
            )
        if np.unique(ids).size != size:
            raise InputError(f"subsets: {method!r} repeats an example id")
