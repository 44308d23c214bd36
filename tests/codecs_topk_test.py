"""Top-k codecs against hand-worked labels and NumPy."""

import jax
import numpy as np
import pytest

from ddjax.errors import InputError
from ddjax.labels.codecs import TopK
from ddjax.losses import kl_divergence


def _softmax(logits, temperature=1.0):
    scaled = np.asarray(logits, np.float64) / temperature
    powers = np.exp(scaled - scaled.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def _through(codec, logits):
    logits = np.asarray(logits, np.float32)
    through = jax.jit(lambda x: codec.decode(codec.encode(x), x.shape[-1]))
    return np.asarray(through(logits))


def _kept(row, k):
    return sorted(range(len(row)), key=lambda c: (-row[c], c))[:k]


def _expected(row, codec, temperature):
    """Probabilities of one label at a temperature, in float64."""
    kept = _kept(row, codec.k)
    if codec.keep == "logits":
        probs = np.zeros(len(row))
        probs[kept] = _softmax(row[kept], temperature)
        return probs
    full = _softmax(row, codec.temperature)
    if codec.k == len(row):
        return full
    probs = np.full(len(row), (1 - full[kept].sum()) / (len(row) - codec.k))
    probs[kept] = full[kept]
    return probs


def test_topk_logits_by_hand():
    logits = [0.0, np.log(3), -5.0, np.log(2)]
    probs = _softmax(_through(TopK(2), logits))
    np.testing.assert_allclose(probs, [0, 3 / 5, 0, 2 / 5], atol=2e-4)
    assert probs[0] == probs[2] == 0


def test_topk_probabilities_by_hand():
    # At temperature 2 the probabilities are 4, 2, 1, 3 tenths.
    logits = 2 * np.log([4, 2, 1, 3])
    decoded = _through(TopK(2, "probabilities", 2.0), logits)
    np.testing.assert_allclose(_softmax(decoded, 2), [0.4, 0.15, 0.15, 0.3], atol=2e-4)
    np.testing.assert_allclose(np.exp(decoded / 2), [0.4, 0.15, 0.15, 0.3], atol=2e-4)


def test_topk_payload_by_hand():
    # Classes 5 and 2 of 6 in 3 bits each: 101 010 and two bits of padding; -1.5.
    payload = np.asarray(jax.jit(TopK(2).encode)(np.float32([0, 0, 2.5, 0, 0, 4])))
    assert payload[0] == 0b10101000
    assert payload[1:].view(np.float16) == -1.5


def test_topk_keeps_the_lower_of_equal_classes():
    probs = _softmax(_through(TopK(2), [1.0, 1.0, 1.0, 1.0]))
    np.testing.assert_array_equal(probs, [0.5, 0.5, 0, 0])


@pytest.mark.parametrize(("k", "classes"), [(1, 2), (2, 2), (3, 7), (10, 10)])
@pytest.mark.parametrize("keep", ["logits", "probabilities"])
def test_topk_matches_numpy(k, classes, keep):
    codec = TopK(k, keep)
    logits = np.random.default_rng(k).normal(size=(2, 3, classes)) * 6
    logits = logits.astype(np.float32)
    decoded = _through(codec, logits)
    assert decoded.dtype == np.float32 and decoded.shape == logits.shape
    probs = _softmax(decoded, 20)
    np.testing.assert_allclose(probs.sum(-1), 1, atol=1e-6)
    for index in np.ndindex(2, 3):
        expected = _expected(logits[index].astype(np.float64), codec, 20)
        # fp16 distances up to 32 are exact to 2**-7, a 20th of it in the exponent.
        np.testing.assert_allclose(probs[index], expected, rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize(
    ("k", "keep", "classes", "bits", "width"),
    [
        (1, "logits", 2, 1, 1),
        (2, "logits", 10, 2 * 4 + 16, 3),
        (3, "logits", 10, 3 * 4 + 2 * 16, 6),
        (3, "probabilities", 10, 3 * 4 + 3 * 16, 8),
        (10, "probabilities", 10, 10 * 4 + 9 * 16, 23),
        (10, "logits", 1000, 10 * 10 + 9 * 16, 31),
        (1, "probabilities", 1024, 10 + 16, 4),
        (1, "logits", 1025, 11, 2),
    ],
)
def test_topk_sizes_by_hand(k, keep, classes, bits, width):
    codec = TopK(k, keep)
    assert codec.bits_per_label(classes) == bits
    assert codec.width(classes) == width
    payload = jax.eval_shape(codec.encode, np.zeros((2, classes), np.float32))
    assert payload.shape == (2, width)
    assert payload.dtype == codec.DTYPE == np.uint8


@pytest.mark.parametrize("keep", ["logits", "probabilities"])
def test_topk_of_extreme_logits_gives_a_finite_divergence(keep):
    logits = np.float32([[1e4, -1e4, 0, 5, -5], [-1e6, 1e6, 1e6, 0, 0]])
    student = np.float32([[0, 1, 2, 3, 4], [4, 3, 2, 1, 0]])
    for k in (1, 5):
        decoded = _through(TopK(k, keep), logits)
        assert np.isfinite(decoded).all()
        assert np.isfinite(kl_divergence(student, decoded, 20.0)).all()
        np.testing.assert_allclose(
            _softmax(decoded[0], 20), [1, 0, 0, 0, 0], atol=1e-30
        )


def test_topk_of_a_thousand_classes_finds_every_index():
    logits = np.zeros((1000, 1000), np.float32)
    np.fill_diagonal(logits, 9.0)
    logits[np.arange(1000), (np.arange(1000) + 371) % 1000] = 7.0
    decoded = _through(TopK(2), logits)
    np.testing.assert_array_equal(decoded.argmax(-1), np.arange(1000))
    np.testing.assert_array_equal(
        np.argwhere(decoded == -2)[:, 1], (np.arange(1000) + 371) % 1000
    )


def test_jit_and_leading_dimensions_change_nothing():
    codec = TopK(3, "probabilities")
    logits = np.random.default_rng(1).normal(size=(2, 3, 6)).astype(np.float32)
    payload = np.asarray(codec.encode(logits))
    np.testing.assert_array_equal(jax.jit(codec.encode)(logits), payload)
    decoded = codec.decode(payload, 6)
    jitted = jax.jit(codec.decode, static_argnums=1)(payload, 6)
    np.testing.assert_allclose(jitted, decoded, rtol=1e-6, atol=1e-5)
    one = _through(codec, logits[1, 2])
    np.testing.assert_allclose(one, decoded[1, 2], rtol=1e-6, atol=1e-5)


def test_topk_refuses_more_classes_than_there_are():
    TopK(4).check(4)
    for call in (TopK(5).check, lambda c: TopK(5).encode(np.zeros(c, np.float32))):
        with pytest.raises(InputError, match="topk.k: found 5, allowed is at most 4"):
            call(4)
