"""Micro-batches: divisors that fit, whole batches where examples interact."""

import pytest

from ddjax.models import network
from ddjax.train.micro_batch import micro_batch_size


@pytest.mark.parametrize(
    "size, width, batch, expected",
    [
        (28, 32, 50, 5),  # 32 x 32 x 32 floats an image: 8 fit, 5 divides 50
        (28, 128, 50, 2),
        (8, 32, 20, 20),
        (28, 32, 7, 7),
        (28, 32, 11, 1),
    ],
)
def test_micro_batch_is_the_largest_divisor_that_fits(size, width, batch, expected):
    net = network("convnet_d2", 10, (size, size, 1), width=width)
    assert micro_batch_size(net, batch) == expected


def test_micro_batch_is_whole_under_batch_norm():
    net = network("convnet_d2", 10, (28, 28, 1), width=128, norm="batch")
    assert micro_batch_size(net, 50) == 50
