"""The vector-quantised autoencoder: its codes, its training and its arrays."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddjax.errors import InputError
from ddjax.labels.codecs import VQ, autoencoder, load
from ddjax.losses import kl_divergence

CLASSES = 6


@functools.cache
def _logits():
    """1,000 labels around 30 centres, sorted, with an offset of each label's own."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(30, CLASSES)) * 4
    logits = np.repeat(centres, 34, axis=0)[:1000] + rng.normal(size=(1000, CLASSES))
    return (logits + rng.normal(size=(1000, 1)) * 50).astype(np.float32)


def _encode(codec, logits):
    return np.asarray(jax.jit(codec.encode)(logits))


def _decode(codec, payload):
    return np.asarray(jax.jit(codec.decode, static_argnums=1)(payload, CLASSES))


@functools.cache
def _table():
    # Three dimensions would make the table larger than codebook and decoder.
    codec = VQ(16, 1, dim=6, hidden=0, steps=100)
    return codec.fit(jax.random.key(0), _logits())


@functools.cache
def _network():
    codec = VQ(16, 2, dim=6, hidden=8, steps=100)
    return codec.fit(jax.random.key(0), _logits())


def _kl(codec):
    return _divergence(_decode(codec, _encode(codec, _logits())))


def _divergence(decoded):
    return float(jnp.mean(jax.jit(kl_divergence)(decoded, _logits(), 20.0)))


def _apply(arrays, inputs):
    """The network in float64."""
    arrays = {name: np.asarray(array, np.float64) for name, array in arrays.items()}
    outputs = inputs @ arrays["linear"] + arrays["bias"]
    if "hidden" in arrays:
        units = np.maximum(inputs @ arrays["hidden"] + arrays["hidden_bias"], 0)
        outputs = outputs + units @ arrays["output"]
    return outputs


@pytest.mark.slow
def test_vq_reconstructs_better_with_more_groups():
    logits = _logits() - _logits().mean(-1, keepdims=True)
    mean = np.broadcast_to(logits.mean(0), logits.shape)
    assert _divergence(mean) > 3 * _kl(_table()) > 3 * 1.5 * _kl(_network())


@pytest.mark.slow
@pytest.mark.parametrize("codec", [_table, _network])
def test_encode_takes_the_nearest_code_of_what_is_left(codec):
    codec = codec()
    codebooks = codec.encoder["codebooks"].astype(np.float64)
    payload = _encode(codec, _logits())
    assert payload.shape == (1000, codec.groups) and payload.dtype == np.uint8
    for row, indices in zip(_logits()[::20], payload[::20], strict=True):
        row = row.astype(np.float64)
        left = _apply(codec.encoder, row - row.mean())
        for codebook, index in zip(codebooks, indices, strict=True):
            distances = np.square(left - codebook).sum(-1)
            # Float32 may decide between two codes that are equally near.
            assert distances[index] <= distances.min() + 1e-4
            left = left - codebook[index]


@pytest.mark.parametrize("codec", [_table, _network])
def test_decode_is_the_network_on_the_sum_of_the_codes(codec):
    codec = codec()
    payload = _encode(codec, _logits()[:50])
    decoded = _decode(codec, payload)
    assert decoded.shape == (50, CLASSES) and decoded.dtype == np.float32
    for found, indices in zip(decoded, payload, strict=True):
        if "table" in codec.decoder:
            expected = codec.decoder["table"][indices[0]]
        else:
            codes = codec.decoder["codebooks"].astype(np.float64)
            expected = _apply(codec.decoder, sum(map(np.take, codes, indices, [0, 0])))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_sizes_by_hand():
    codec = VQ(16, 1, dim=3, hidden=0)
    assert codec.bits_per_label(6) == 4 and codec.width(6) == 1
    # Codebook 48 + map 18 + bias 6 = 72 is under the table's 96.
    assert codec.shared_bits(6) == 16 * 72
    # Codebook 12 + 24 = 36 is over the table's 24.
    assert VQ(4, 1, dim=3, hidden=0).shared_bits(6) == 16 * 24
    codec = VQ(256, 2, dim=8, hidden=5)
    assert codec.bits_per_label(6) == 16 and codec.width(6) == 2
    # Six of the eight dimensions: 2*256*6 + 6*6 + 6 + 6*5 + 5 + 5*6.
    assert codec.shared_bits(6) == 16 * (3072 + 107)
    for fitted in (_table(), _network()):
        state = fitted.state()
        assert all(array.dtype == np.float16 for array in state.values())
        assert 16 * sum(a.size for a in state.values()) == fitted.shared_bits(CLASSES)


def test_fit_is_deterministic_for_a_key():
    first = _network()
    second = VQ(16, 2, dim=6, hidden=8, steps=100).fit(jax.random.key(0), _logits())
    other = VQ(16, 2, dim=6, hidden=8, steps=100).fit(jax.random.key(1), _logits())
    for name, array in first.state(encoder=True).items():
        np.testing.assert_array_equal(array, second.state(encoder=True)[name])
    assert not np.array_equal(
        first.state()["decoder_codebooks"], other.state()["decoder_codebooks"]
    )


@pytest.mark.slow
def test_train_revives_dead_codes(monkeypatch):
    start = autoencoder._start

    def far_away(*args):
        model = start(*args)
        codebooks = model.codebooks.at[:, 1:].add(1e3)
        return model._replace(codebooks=codebooks)

    monkeypatch.setattr(autoencoder, "_start", far_away)
    codec = VQ(4, 1, dim=3, hidden=0, steps=450).fit(jax.random.key(0), _logits())
    assert len(np.unique(_encode(codec, _logits()))) == 4
    assert 1.5 * _kl(_table()) < _kl(codec) < 6 * _kl(_table())


@pytest.mark.slow
def test_loss_reaches_the_encoder_straight_through_the_codes(monkeypatch):
    monkeypatch.setattr(autoencoder, "_COMMITMENT", 0.0)
    rng = np.random.default_rng(3)
    arrays = [
        rng.normal(size=s).astype(np.float32) for s in ((5, 2), (2, 4, 2), (2, 5))
    ]
    encoder = {"linear": jnp.asarray(arrays[0]), "bias": jnp.zeros(2)}
    decoder = {"linear": jnp.asarray(arrays[2]), "bias": jnp.zeros(5)}
    model = autoencoder.Autoencoder(encoder, jnp.asarray(arrays[1]), decoder)
    logits = autoencoder.centred(jnp.asarray(rng.normal(size=(7, 5)), jnp.float32))
    scale = jnp.float32(2.0)
    gradient = jax.jit(jax.grad(autoencoder.loss, has_aux=True))
    found = gradient(model, logits, scale, 3.0)[0]

    latents = autoencoder.apply(encoder, logits / scale)
    indices, _, codes = autoencoder.quantise(latents, model.codebooks)

    def reconstruction(codes):
        decoded = autoencoder.apply(decoder, codes) * scale
        return jnp.mean(kl_divergence(decoded, logits, 3.0)) * 5 / scale**2

    at_codes = np.asarray(jax.grad(reconstruction)(codes))
    assert np.abs(at_codes).max() > 1e-3
    expected = np.asarray(logits / scale).T @ at_codes
    np.testing.assert_allclose(found.encoder["linear"], expected, rtol=1e-4, atol=1e-6)
    by_code = np.zeros((2, 4, 2))
    for group in range(2):
        np.add.at(by_code[group], np.asarray(indices[group]), at_codes)
    np.testing.assert_allclose(found.codebooks, by_code, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("codec", [_table, _network])
def test_load_decodes_identically_and_encodes_with_its_encoder_only(codec):
    codec = codec()
    payload = _encode(codec, _logits())
    expected = _decode(codec, payload)
    reader = load(codec.spec, CLASSES, codec.state())
    writer = load(codec.spec, CLASSES, codec.state(encoder=True))
    for loaded in (reader, writer):
        np.testing.assert_array_equal(_decode(loaded, payload), expected)
    np.testing.assert_array_equal(_encode(writer, _logits()), payload)
    with pytest.raises(InputError, match="^codec: vq was fitted when .* only decode"):
        reader.encode(_logits())
    with pytest.raises(InputError, match="without its encoder"):
        reader.state(encoder=True)


def test_load_refuses_arrays_of_another_codec():
    state = _table().state()
    for spec, classes, arrays in (
        (_network().spec, CLASSES, state),
        (_table().spec, CLASSES + 1, state),
        (_table().spec, CLASSES, {}),
        (_table().spec, CLASSES, state | {"encoder_bias": np.zeros(3)}),
    ):
        with pytest.raises(InputError, match="^codec: found arrays .* expected "):
            load(spec, classes, arrays)


def test_vq_refuses_what_it_was_not_fitted_for():
    for call in (
        lambda: VQ().encode(_logits()),
        lambda: VQ().decode(np.zeros((1, 1), np.uint8), CLASSES),
        lambda: VQ().state(),
    ):
        with pytest.raises(InputError, match="^codec: vq is not fitted"):
            call()
    for call in (
        lambda: _table().check(7),
        lambda: _table().encode(np.zeros((2, 7), np.float32)),
    ):
        with pytest.raises(InputError, match="7 classes, this vq was fitted for 6"):
            call()
    for wrong in (np.zeros((0, 6)), np.zeros(6)):
        with pytest.raises(InputError, match="at least one label"):
            VQ().fit(jax.random.key(0), wrong)


@pytest.mark.parametrize("value", [3.0, -1e4])
def test_fit_survives_labels_without_spread(value):
    codec = VQ(16, 2, dim=6, hidden=8, steps=100)
    codec = codec.fit(jax.random.key(0), np.full((1000, CLASSES), value))
    decoded = _decode(codec, _encode(codec, np.full((2, CLASSES), value)))
    np.testing.assert_allclose(decoded, np.zeros((2, CLASSES)), atol=0.05)


def test_jit_and_leading_dimensions_change_nothing():
    codec = _network()
    logits = _logits()[:6].reshape(2, 3, CLASSES)
    payload = np.asarray(codec.encode(logits))
    assert payload.shape == (2, 3, codec.groups)
    np.testing.assert_array_equal(_encode(codec, logits), payload)
    decoded = codec.decode(payload, CLASSES)
    np.testing.assert_allclose(_decode(codec, payload), decoded, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(_encode(codec, logits[1, 2]), payload[1, 2])
    np.testing.assert_allclose(
        _decode(codec, payload[1, 2]), decoded[1, 2], rtol=1e-5, atol=1e-5
    )
