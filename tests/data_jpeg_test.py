import io
from concurrent import futures

import numpy as np
import pytest
from PIL import Image

from ddjax.data.images import decode, decode_square, resize
from ddjax.errors import InputError


def _encode(pixels, file_format="JPEG", mode=None, **options):
    file = io.BytesIO()
    image = Image.fromarray(pixels)
    image.convert(mode or image.mode).save(file, file_format, **options)
    return file.getvalue()


def _smooth(height, width, seed=0):
    """Colours that change slowly, as in a photograph, and one hard edge."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 216, (6, 6, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    pixels = np.array(image)
    pixels[height // 3 : height // 2, width // 4 : width // 2] = (250, 20, 90)
    return pixels


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize(
    ("file_format", "options"),
    [
        ("JPEG", {"quality": 90}),
        ("JPEG", {"quality": 75, "subsampling": 0}),
        ("JPEG", {"quality": 75, "progressive": True}),
        ("PNG", {}),
    ],
)
def test_decode_equals_loading_into_memory_where_the_size_fits(
    mode, file_format, options
):
    data = _encode(_smooth(48, 48), file_format, mode, **options)
    channels = 1 if mode == "L" else 3
    expected = decode(io.BytesIO(data), channels, "")
    np.testing.assert_array_equal(decode_square(data, 48, channels, ""), expected)


@pytest.mark.parametrize("shape", [(375, 500), (500, 375), (231, 260), (60, 100)])
def test_decode_is_close_to_the_mean_of_areas(shape):
    data = _encode(_smooth(*shape), quality=90)
    whole = decode(io.BytesIO(data), 3, "")
    expected = resize(whole[None], 224)[0].astype(int)
    found = decode_square(data, 224, 3, "")
    assert found.shape == (224, 224, 3) and found.dtype == np.uint8
    assert np.abs(found - expected).mean() < 1.5


def test_decode_never_goes_below_the_size():
    # Stripes 2 pixels wide: half the size would be one grey.
    pixels = np.zeros((100, 100, 3), np.uint8)
    pixels[:, np.arange(100) % 4 < 2] = 255
    data = _encode(pixels, quality=95, subsampling=0)
    assert decode_square(data, 88, 3, "").std() > 80  # 7/8 of the full size
    assert decode_square(data, 25, 3, "").std() < 10


def test_decode_squashes_and_crops_nothing():
    pixels = np.zeros((64, 160, 3), np.uint8)
    pixels[:, 80:] = 255
    pixels[:, 152:] = (255, 0, 0)  # a twentieth at the edge
    found = decode_square(_encode(pixels, "PNG"), 40, 3, "").astype(int)
    np.testing.assert_array_equal(found[:, :18], 0)
    np.testing.assert_array_equal(found[:, 22:36], 255)
    np.testing.assert_array_equal(found[:, 39], np.tile([255, 0, 0], (40, 1)))


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_decode_gives_the_channels_asked_for(mode):
    data = _encode(np.full((16, 16, 3), (200, 200, 200), np.uint8), mode=mode)
    for channels in (1, 3):
        found = decode_square(data, 8, channels, "")
        assert found.shape == (8, 8, channels)
        np.testing.assert_allclose(found, 200, atol=2)


def test_decode_drops_transparency_and_opens_palettes():
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[..., 1] = 255
    for mode in ("RGBA", "P"):
        data = _encode(pixels[..., : 3 if mode == "P" else 4], "PNG", mode)
        found = decode_square(data, 4, 3, "")
        np.testing.assert_array_equal(found, np.full((4, 4, 3), (0, 255, 0)))


def test_decode_forgives_what_pillow_forgives():
    data = _encode(_smooth(48, 48), quality=90)
    flawed = data[:-2] + bytes(9) + data[-2:]  # bytes between scan and end marker
    np.testing.assert_array_equal(
        decode_square(flawed, 48, 3, ""), decode_square(data, 48, 3, "")
    )


@pytest.mark.parametrize("damage", ["half", "header", "nothing", "text"])
def test_decode_names_the_damaged_image(damage):
    data = _encode(_smooth(48, 48), quality=90)
    data = {
        "half": data[: len(data) // 2],
        "header": data[:20],
        "nothing": b"",
        "text": b"no image",
    }[damage]
    with pytest.raises(InputError, match="^a.jpg: not a readable image"):
        decode_square(data, 48, 3, "a.jpg")


def test_decode_gives_the_same_pixels_again_on_any_thread():
    files = [_encode(_smooth(90, 120, seed), quality=90) for seed in range(8)]
    expected = [decode_square(data, 40, 3, "") for data in files]
    with futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda data: decode_square(data, 40, 3, ""), files * 4))
    np.testing.assert_array_equal(found, expected * 4)
