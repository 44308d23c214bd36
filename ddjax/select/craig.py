"""CRAIG.

Shape letters: n examples of one class, b candidates in a block.
"""

import numpy as np

from ddjax.scores.gradients import LastLayer, check_labels
from ddjax.select.budget import collect, groups
from ddjax.select.facility_location import greedy_cover, kept_rows
from ddjax.select.selection import Selection

_EQUAL = 1e-14  # squared relative difference below which gradients count as equal


def craig(gradients: LastLayer, labels, per_class: int) -> np.ndarray:
    """CRAIG: the examples whose gradients represent those of their class best.

    Greedy minimisation of sum_i min_{j in S} ||g_i - g_j|| in each class.

    This is facility location with similarity c - ||g_i - g_j||. The constant c only has
    to reach the largest distance: it adds the same to every first gain and cancels in
    the later ones. Easy examples, whose gradients are short, lie close together, and
    hard ones far apart. Memory is 4 n^2 bytes for a class of n examples up to 1 GiB;
    beyond, similarities are recomputed in blocks.

    Args:
      gradients: of N examples.
      labels: [N] int, classes 0..C-1.
      per_class: budget of a class.

    Returns:
      Sorted int32 example ids, `per_class` of every class. Gains that agree to five
      digits are ties and go to the lower id.

    Raises:
      InputError: if the labels do not cover 0..C-1 or do not fit the gradients, or the
        budget is impossible.

    Source: Mirzasoleiman, Bilmes, Leskovec, ICML 2020; baharanm/craig, `util.py`, where
    the similarity is the largest distance minus the distance, class by class. There the
    distances are of the errors alone (`mnist.py`); of weights and bias, as here, in
    PatrickZH/DeepCore, `craig.py`. Two deviations: CRAIG selects anew while it trains,
    here once; and it weights an example by the number of those nearest to it, but
    students here train unweighted. DeepCore divides every gradient by the size of its
    batch, since it differentiates the mean loss: the last batch of a class, which is
    smaller, has longer gradients there, which lie further apart and are chosen more
    often. Here no gradient depends on a batch.
    """
    pools = groups(labels, per_class)
    check_labels("labels", labels, gradients.num_examples, gradients.num_classes)
    return collect([ids[_cover(gradients.take(ids), count)] for ids, count in pools])


def _cover(gradients, count):
    every_n = np.ones(gradients.num_examples)
    return greedy_cover(_similarities(gradients), every_n, count)


def _similarities(gradients):
    """A function from b rows to their similarities [b, n], a fresh float32 array."""
    squares_n = gradients.squares()

    def distances(rows):
        sums_bn = squares_n[rows, None] + squares_n
        squares_bn = sums_bn - 2 * gradients.products(rows, slice(None))
        # What is left of equal gradients is rounding, which must not decide.
        squares_bn[squares_bn < _EQUAL * sums_bn] = 0.0
        return np.sqrt(squares_bn, out=squares_bn)

    # By the triangle inequality no distance is larger.
    constant = 2 * distances([0]).max()

    def computed(rows):
        return (constant - distances(rows)).astype(np.float32)

    return kept_rows(computed, gradients.num_examples)


CRAIG = Selection(function=craig, title="CRAIG", requires=("gradients",))
