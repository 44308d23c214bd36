"""Plain floats and int8 against NumPy and their error bounds."""

import jax
import numpy as np
import pytest

from ddjax.labels.codecs import parse

NAMES = ("fp32", "fp16", "bf16", "int8")


def _logits(seed, shape=(3, 4, 7), scale=5.0):
    values = np.random.default_rng(seed).normal(size=shape) * scale
    return values.astype(np.float32)


def _int8(row):
    """One label: the shifted logits, their codes and the scale, in float64."""
    row = row.astype(np.float64)
    shifted = row - (row.max() + row.min()) / 2
    scale = float(np.float16(max((row.max() - row.min()) / 254, 2.0**-14)))
    return shifted, np.clip(np.rint(shifted / scale), -127, 127), scale


@pytest.mark.parametrize(
    ("name", "dtype", "width", "bits"),
    [
        ("fp32", "float32", 10, 320),
        ("fp16", "float16", 10, 160),
        ("bf16", "bfloat16", 10, 160),
        ("int8", "uint8", 12, 96),
    ],
)
def test_sizes(name, dtype, width, bits):
    codec = parse(name)
    assert codec.DTYPE == np.dtype(dtype)
    assert codec.width(10) == width
    assert codec.bits_per_label(10) == bits
    payload = jax.eval_shape(codec.encode, _logits(0, (2, 3, 10)))
    assert payload.shape == (2, 3, width) and payload.dtype == codec.DTYPE


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["fp32", "fp16", "bf16"])
def test_plain_is_the_rounding_of_numpy(name, seed):
    codec, logits = parse(name), _logits(seed)
    expected = logits.astype(codec.DTYPE)
    payload = codec.encode(logits)
    np.testing.assert_array_equal(payload, expected)
    decoded = codec.decode(payload, 7)
    assert decoded.dtype == np.float32
    np.testing.assert_array_equal(decoded, expected.astype(np.float32))


@pytest.mark.parametrize("name", ["fp16", "bf16"])
def test_plain_clips_to_the_finite_range(name):
    codec = parse(name)
    decoded = np.asarray(codec.decode(codec.encode(np.float32([3.4e38, -3.4e38])), 2))
    limit = {"fp16": 65504.0, "bf16": 3.3895314e38}[name]
    np.testing.assert_array_equal(decoded, np.float32([limit, -limit]))


def test_int8_by_hand():
    # Range 254, so the scale is 1, and the middle is 27.
    logits = np.float32([154.0, -100.0, 27.3, 30.6])
    payload = np.asarray(parse("int8").encode(logits))
    np.testing.assert_array_equal(payload[:4].view(np.int8), [127, -127, 0, 4])
    assert payload[4:].view(np.float16) == 1.0
    np.testing.assert_array_equal(parse("int8").decode(payload, 4), [127, -127, 0, 4])


@pytest.mark.parametrize("scale", [1e-3, 5.0, 1e4])
@pytest.mark.parametrize("seed", range(3))
def test_int8_matches_numpy_within_its_bound(seed, scale):
    codec, logits = parse("int8"), _logits(seed, (20, 7), scale)
    decoded = np.asarray(codec.decode(codec.encode(logits), 7))
    for row, found in zip(logits, decoded, strict=True):
        shifted, codes, step = _int8(row)
        # A tie may round either way in float32.
        assert np.abs(found / step - codes).max() <= 1.001
        assert np.abs(codes).max() == 127 or scale == 1e-3
        assert np.abs(found - shifted).max() <= 0.5005 * step


def test_int8_of_equal_logits_is_uniform():
    codec = parse("int8")
    decoded = codec.decode(codec.encode(np.full((2, 5), 1e4, np.float32)), 5)
    np.testing.assert_array_equal(decoded, np.zeros((2, 5)))


def test_int8_stays_finite_beyond_its_range():
    codec = parse("int8")
    decoded = np.asarray(codec.decode(codec.encode(np.float32([1e9, 0, -1e9])), 3))
    np.testing.assert_allclose(decoded, [127 * 65504, 0, -127 * 65504])


@pytest.mark.parametrize("name", NAMES)
def test_jit_and_leading_dimensions_change_nothing(name):
    codec, logits = parse(name), _logits(5, (2, 3, 2))
    payload = np.asarray(codec.encode(logits))
    np.testing.assert_array_equal(jax.jit(codec.encode)(logits), payload)
    decode = jax.jit(codec.decode, static_argnums=1)
    np.testing.assert_array_equal(decode(payload, 2), codec.decode(payload, 2))
    np.testing.assert_array_equal(codec.encode(logits[1, 2]), payload[1, 2])
    np.testing.assert_array_equal(
        codec.decode(payload[1, 2], 2), codec.decode(payload, 2)[1, 2]
    )
