"""Label schedules and pools of views."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddjax.train.order import presentations
from ddjax.train.supervision import Supervision

EPOCHS = jnp.arange(10)


view_epochs = jax.jit(Supervision.view_epochs, static_argnums=0)


def stages(**fields):
    soft, hard = Supervision(epochs=10, **fields).weights(EPOCHS)
    return soft.tolist(), hard.tolist()


@pytest.mark.parametrize(
    ("schedule", "soft_epochs", "expected"),
    [
        ("constant", 5, "1111111111"),
        ("hald", 5, "1100000111"),  # floor(5 / 2) soft, 5 hard, 3 soft
        ("hald", 4, "1100000011"),
        ("hald", 10, "1111111111"),
        ("hald", 12, "1111111111"),
        ("soft_hard", 3, "1110000000"),
        ("hard_soft", 3, "0000000111"),
        ("alternate", 5, "0101010101"),
        ("alternate", 2, "0000100001"),
    ],
)
def test_weights_of_stages(schedule, soft_epochs, expected):
    soft, hard = stages(schedule=schedule, soft_epochs=soft_epochs)
    assert soft == [float(digit) for digit in expected]
    assert hard == [1.0 - weight for weight in soft]


def test_weights_of_mix():
    soft, hard = stages(schedule="mix", hard_weight=0.25)
    assert soft == [1.0] * 10 and hard == [0.25] * 10


def test_view_epochs_without_pool_are_the_epochs():
    found = view_epochs(Supervision("hald", 10, 5), jnp.int32(0), EPOCHS)
    np.testing.assert_array_equal(found, EPOCHS)


def test_view_epochs_of_a_pool_are_drawn_with_replacement():
    epochs = jnp.arange(3000)
    drawn = view_epochs(Supervision(epochs=3000, pool=3), jnp.int32(7), epochs)
    counts = np.bincount(drawn, minlength=3)
    assert len(counts) == 3 and abs(counts - 1000).max() < 120
    other = view_epochs(Supervision(epochs=3000, pool=3), jnp.int32(8), epochs)
    assert (drawn != other).mean() > 0.5
    again = view_epochs(Supervision(epochs=3000, pool=3), jnp.int32(7), epochs[5:9])
    np.testing.assert_array_equal(again, drawn[5:9])


def test_hard_epochs_have_fresh_views():
    supervision = Supervision("hald", 10, 4, pool=2)
    found = np.asarray(view_epochs(supervision, jnp.int32(0), EPOCHS))
    soft = np.asarray(supervision.is_soft(EPOCHS))
    assert (found[soft] < 2).all()
    np.testing.assert_array_equal(found[~soft], 2 + np.flatnonzero(~soft))


SUBSET = np.array([3, 8, 11, 20, 41], np.int32)
IDS = SUBSET + 100


def eager(supervision, first, length):
    subset, ids = jnp.asarray(SUBSET), jnp.asarray(IDS)
    return presentations(jnp.int32(5), subset, ids, first, length, supervision)


@functools.partial(jax.jit, static_argnums=(0, 2))
def shown(supervision, first=0, length=50):
    return eager(supervision, first, length)


def partner_table(epoch):
    order = shown(None, first=epoch * len(SUBSET), length=len(SUBSET))
    return dict(zip(order.positions.tolist(), order.partners.tolist(), strict=True))


def test_pool_of_epochs_replays_whole_epochs():
    found = shown(Supervision(epochs=10, pool=3))
    for start in range(0, 50, 5):
        part = slice(start, start + 5)
        (epoch,) = set(found.epochs[part].tolist())
        assert epoch < 3
        replayed = shown(None, first=epoch * 5, length=5)
        np.testing.assert_array_equal(found.positions[part], replayed.positions)
        np.testing.assert_array_equal(found.partners[part], replayed.partners)
        assert set(found.passes[part].tolist()) == {start // 5}


def test_pool_of_labels_draws_each_view_with_its_epochs_partner():
    found = shown(Supervision(epochs=10, pool=3, by_label=True))
    own = shown(None)
    np.testing.assert_array_equal(found.positions, own.positions)
    np.testing.assert_array_equal(found.passes, own.epochs)
    assert set(found.epochs.tolist()) == {0, 1, 2}
    assert any(len(set(found.epochs[i : i + 5].tolist())) > 1 for i in range(0, 50, 5))
    tables = [partner_table(epoch) for epoch in range(3)]
    for position, partner, epoch in zip(
        found.positions.tolist(),
        found.partners.tolist(),
        found.epochs.tolist(),
        strict=True,
    ):
        assert tables[epoch][position] == partner


def test_pool_of_labels_does_not_depend_on_where_a_stretch_begins():
    supervision = Supervision("hald", 10, 6, pool=3, by_label=True)
    whole, part = shown(supervision), shown(supervision, first=13, length=20)
    for a, b in zip(whole, part, strict=True):
        np.testing.assert_array_equal(a[13:33], b)


def test_jit_equals_eager():
    supervision = Supervision("hald", 10, 6, pool=3)
    compiled = shown(supervision, 4, 12)
    for a, b in zip(compiled, eager(supervision, 4, 12), strict=True):
        np.testing.assert_array_equal(a, b)
