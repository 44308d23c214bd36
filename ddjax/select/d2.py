"""D2 pruning.

Shape letters: N examples, n of one class that were not dropped, D features, K nearest
neighbours, b examples of a block, E directed edges of a graph.
"""

import dataclasses
import heapq
import numbers
from collections.abc import Sequence

import numpy as np

from ddjax.declare import setting
from ddjax.declare.walk import require
from ddjax.errors import InputError
from ddjax.scores.features import unit_rows
from ddjax.select.budget import collect, features_for, groups, values_for
from ddjax.select.selection import Selection

_BLOCK = 128  # examples whose neighbours are searched together


def d2(
    scores,
    features,
    labels,
    per_class: int,
    neighbors: int = 5,
    gamma: float = 0.1,
    drop_hardest: float = 0.0,
) -> np.ndarray:
    """D2 pruning: hard examples in hard neighbourhoods, each damping its neighbours.

    Message passing for difficulty and diversity on a neighbour graph in each class.

    Two examples share an edge if either is among the K nearest of the other; d is the
    Euclidean distance between the features as given. With the scores s, every example
    starts from x_i = s_i + sum_j exp(-d_ij) s_j over its edges (forward messages). Then
    the largest x_i is chosen, its neighbours lose exp(-gamma d_ij) max(x_i, 0) (reverse
    messages), and so on.

    Distances are not normalised, so the scale of the features matters: far below 1 all
    neighbours count fully, far above none does. Vectors of length 1 are a safe choice.

    Args:
      scores: [N] finite float, higher is harder. If the lowest is negative, all are
        shifted to make it 0: a negative message would reward what it should damp.
      features: [N, D] float.
      labels: [N] int, classes 0..C-1.
      per_class: budget of a class.
      neighbors: K, at least 1 and below the examples that each class keeps.
      gamma: finite and >= 0. At 0 a choice takes its full value from its neighbours;
        the larger, the less it takes from the far ones.
      drop_hardest: in [0, 1), the fraction of every class, rounded down, that is left
        out first, before there is a graph: its hardest, of equally hard the higher id.

    Returns:
      Sorted int32 example ids, `per_class` of every class. Distances and values that
      agree in float32 are ties and go to the lower id.

    Raises:
      InputError: if the labels do not cover 0..C-1, the scores are not one finite
        number or the features not one finite vector per example, a setting is out of
        range, or a class keeps too few examples for its budget or its neighbours.

    Source: "D2 Pruning", arXiv 2310.07931, as adymaharana/d2pruning has it
    (core/data/sampling.py with graph mode sum, graph sampling mode weighted): forward
    weights exp(-d) without a factor, `gamma` in the reverse ones only, an undirected
    graph, and, as in its example of use, one graph a class with K = 5 and gamma 0.1,
    the defaults here. So budgets are exact, and no class is damped by the choices of
    another. Deviations: the hardest are dropped of every class and by
    `scores`, there of all examples and by a score of its own (the margin); an example
    chosen below 0 sends nothing, there it raises its neighbours; shifts are for any
    negative scores, there for margins; a score of 0 sends nothing, there 1e-7.
    """
    pools = groups(labels, per_class)
    scores_N = values_for(labels, scores, "scores", "(-inf, inf)")
    features_ND = features_for(labels, features)
    if not isinstance(neighbors, numbers.Integral) or neighbors < 1:
        raise InputError(f"neighbors: {neighbors}, expected an integer of at least 1")
    if not 0 <= gamma < np.inf:
        raise InputError(f"gamma: {gamma}, expected a finite number of at least 0")
    if not 0 <= drop_hardest < 1:
        raise InputError(
            f"drop_hardest: {drop_hardest}, expected a number from 0 to below 1"
        )
    kept = []
    for label, (ids, _) in enumerate(pools):
        easiest = ids[np.argsort(scores_N[ids], kind="stable")]
        size = len(ids) - int(drop_hardest * len(ids))
        if size < per_class:
            raise InputError(
                f"drop_hardest: {drop_hardest} leaves class {label} {size} of its "
                f"{len(ids)} examples, but per_class is {per_class}"
            )
        if size <= neighbors:
            raise InputError(
                f"neighbors: {neighbors}, expected fewer than the {size} examples that "
                f"class {label} keeps"
            )
        kept.append(np.sort(easiest[:size]))
    scores_N = scores_N - min(scores_N.min(), 0.0)
    return collect(
        [
            ids[_select(scores_N[ids], features_ND[ids], per_class, neighbors, gamma)]
            for ids in kept
        ]
    )


def _select(scores_n, features_nD, count, neighbors, gamma):
    size = len(scores_n)
    heads_E, tails_E, distances_E = _graph(features_nD.astype(np.float64), neighbors)
    messages_E = np.exp(-distances_E) * scores_n[tails_E]
    values_n = scores_n + np.bincount(heads_E, messages_E, minlength=size)
    damping_E = np.exp(-gamma * distances_E)
    starts = np.searchsorted(heads_E, np.arange(size + 1))

    # Lazy: values only fall, so a stale one in the heap is an upper bound. Compared in
    # float32, because the sums of tied examples may be rounded differently.
    heap = [(-float(value), i) for i, value in enumerate(values_n.astype(np.float32))]
    heapq.heapify(heap)
    chosen = []
    while len(chosen) < count:
        bound, best = heap[0]
        fresh = -float(np.float32(values_n[best]))
        if fresh > bound:
            heapq.heapreplace(heap, (fresh, best))
            continue
        heapq.heappop(heap)
        chosen.append(best)
        edges = slice(starts[best], starts[best + 1])
        values_n[tails_E[edges]] -= damping_E[edges] * max(values_n[best], 0.0)
    return chosen


def _graph(features_nD, neighbors):
    """Heads, tails and lengths of all edges in both directions, by head, then tail."""
    size = len(features_nD)
    nearest_nK = _nearest(features_nD, neighbors)
    pairs_nK2 = np.stack(
        [np.broadcast_to(np.arange(size)[:, None], nearest_nK.shape), nearest_nK], -1
    )
    codes = np.unique(np.sort(pairs_nK2.reshape(-1, 2)) @ [size, 1])
    lower, upper = np.divmod(codes, size)
    distances = np.empty(len(codes))
    for start in range(0, len(codes), _BLOCK):
        block = slice(start, start + _BLOCK)
        offsets = features_nD[lower[block]] - features_nD[upper[block]]
        distances[block] = np.sqrt(np.einsum("ed,ed->e", offsets, offsets))
    heads_E, tails_E = np.concatenate([lower, upper]), np.concatenate([upper, lower])
    order = np.lexsort((tails_E, heads_E))
    return heads_E[order], tails_E[order], np.tile(distances, 2)[order]


def _nearest(features_nD, neighbors):
    """[n, K] ids of the nearest others, in no order; of equally far ones the lower."""
    size = len(features_nD)
    ids_n = np.arange(size)
    squares_n = np.einsum("nd,nd->n", features_nD, features_nD)
    nearest_nK = np.empty((size, neighbors), np.int64)
    for start in range(0, size, _BLOCK):
        rows = ids_n[start : start + _BLOCK]
        squared_bn = squares_n[rows, None] + squares_n
        squared_bn -= 2 * (features_nD[rows] @ features_nD.T)
        squared_bn = np.maximum(squared_bn, 0.0).astype(np.float32)
        # Numbers >= 0 are in the order of their bits: distance and id in one integer.
        ranks_bn = (squared_bn.view(np.int32).astype(np.int64) << 32) + ids_n
        ranks_bn[rows - start, rows] = np.iinfo(np.int64).max
        ranks_bn.partition(neighbors - 1)
        nearest_nK[rows] = ranks_bn[:, :neighbors] & 0xFFFFFFFF
    return nearest_nK


@dataclasses.dataclass(frozen=True)
class D2Options:
    """Options of `d2`."""

    drop_hardest: float = setting(
        0.3, "Fraction of a class that is dropped first.", "[0, 1)"
    )
    neighbors: int = setting(5, "Nearest neighbours in the graph.", "[1, 10000]")
    gamma: float = setting(0.1, "How far a choice damps its neighbours.", "[0, 1000]")


def _check(options: D2Options, ipcs: Sequence[int], smallest: int) -> None:
    kept = smallest - int(options.drop_hardest * smallest)
    require(
        options.neighbors < kept,
        "select.d2.neighbors",
        options.neighbors,
        f"less than the {kept} images that the smallest class keeps after "
        "select.d2.drop_hardest",
    )
    require(
        max(ipcs) <= kept,
        "select.d2.drop_hardest",
        options.drop_hardest,
        f"what leaves the {max(ipcs)} images of select.ipcs to the smallest class; it "
        f"leaves {kept}",
    )


def _d2(inputs, per_class, values):
    # Raw features lie so far apart that no message arrives: exp(-distance).
    features = unit_rows(inputs.require("features"))
    options = dataclasses.asdict(inputs.options_of(D2Options))
    return d2(values, features, inputs.labels, per_class, **options)


D2 = Selection(
    function=d2,
    title="D2",
    choose=_d2,
    score="aum",
    requires=("features",),
    options=D2Options,
    check=_check,
)
