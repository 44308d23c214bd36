"""Where a variable is in a `state_dict`, and in which layout."""

from collections.abc import Sequence

_LEAVES = {
    "scale": "weight",
    "mean": "running_mean",
    "var": "running_var",
    "count": "num_batches_tracked",
}


def torch_key(path: Sequence[str]) -> str:
    """Returns the name in a `state_dict` of the variable at a path.

    Args:
      path: names from the collection, "params" or "batch_stats", to the leaf.
    """
    *layers, leaf = path[1:]
    return ".".join([*layers, _LEAVES.get(leaf, leaf.replace("kernel", "weight"))])


def torch_axes(path: Sequence[str], rank: int) -> tuple[int, ...]:
    """Returns our axis for each of PyTorch's: kernels begin with the outputs there.

    Args:
      path: names that end with the leaf's.
      rank: the number of axes.
    """
    if not path[-1].endswith("kernel"):
        return tuple(range(rank))
    return (3, 2, 0, 1) if rank == 4 else (1, 0)
