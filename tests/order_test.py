"""Presentations: permutations an epoch, cut anywhere, independent of company."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddjax.train.order import presentations

IDS = np.array([3, 14, 15, 92, 65, 35, 89], np.int32)
POSITIONS = np.array([0, 2, 4, 6, 8, 10, 12], np.int32)


compiled = jax.jit(presentations, static_argnums=4)


def made(seed=0, first=0, length=28, rows=slice(None), positions=POSITIONS):
    order = compiled(
        jnp.int32(seed), positions[rows], IDS[rows], jnp.int32(first), length
    )
    return jax.tree.map(np.asarray, order)


def test_presentations_show_every_example_once_an_epoch():
    order = made()
    for epoch in range(4):
        stretch = order.positions[epoch * 7 : (epoch + 1) * 7]
        np.testing.assert_array_equal(np.sort(stretch), POSITIONS)
        np.testing.assert_array_equal(order.epochs[epoch * 7 : (epoch + 1) * 7], epoch)


@pytest.mark.parametrize("first, length", [(0, 5), (3, 11), (7, 7), (20, 8), (26, 2)])
def test_presentations_can_be_cut_anywhere(first, length):
    whole, cut = made(), made(first=first, length=length)
    for a, b in zip(whole, cut, strict=True):
        np.testing.assert_array_equal(a[first : first + length], b)


def test_presentations_differ_between_seeds_and_epochs():
    order = made()
    assert not np.array_equal(order.positions, made(seed=1).positions)
    assert not np.array_equal(order.positions[:7], order.positions[7:14])


def test_presentations_keep_the_relative_order_in_a_smaller_subset():
    small = made(rows=slice(0, 4), length=4).positions
    large = made(length=7).positions
    np.testing.assert_array_equal([p for p in large if p in small], small)


def test_presentations_follow_ids_wherever_they_lie_in_the_pool():
    elsewhere = made(positions=POSITIONS[::-1] + 100)
    np.testing.assert_array_equal(112 - elsewhere.positions, made().positions)
    np.testing.assert_array_equal(112 - elsewhere.partners, made().partners)


def test_partners_are_the_successors_in_the_epoch():
    order = made(length=7)
    np.testing.assert_array_equal(order.partners, np.roll(order.positions, -1))


def test_presentations_jit_and_vmap_agree_with_eager():
    seeds = jnp.arange(3)
    subsets = np.stack([POSITIONS] * 3)
    ids = np.stack([IDS] * 3)
    mapped = jax.jit(
        jax.vmap(lambda s, p, i: presentations(s, p, i, jnp.int32(9), 12))
    )(seeds, subsets, ids)
    for seed in range(3):
        one = presentations(jnp.int32(seed), POSITIONS, IDS, jnp.int32(9), 12)
        for a, b in zip(mapped, one, strict=True):
            np.testing.assert_array_equal(a[seed], b)
