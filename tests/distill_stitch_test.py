"""Where each patch goes, by hand and against the loop."""

import numpy as np
import pytest

from ddjax.distill.stitch import stitch


def test_stitch_hand_worked():
    # Two images of 2 x 2 cells of one pixel: group k of two patches fills cell k.
    patches = np.arange(8, dtype=np.uint8).reshape(8, 1, 1, 1)
    first, second = stitch(patches, 2, 2)[..., 0]
    np.testing.assert_array_equal(first, [[0, 2], [4, 6]])
    np.testing.assert_array_equal(second, [[1, 3], [5, 7]])


def test_stitch_stretches_the_first_cells():
    # 5 pixels in 2 cells are 3 and 2: pixels 0, 0, 1 of the patch and then 0, 1.
    patches = np.uint8([[[1, 2], [3, 4]]] * 4)[..., None]
    image = stitch(patches, 2, 5)[0, :, :, 0]
    np.testing.assert_array_equal(image[0], [1, 1, 2, 1, 2])
    np.testing.assert_array_equal(image[:, 0], [1, 1, 3, 1, 3])


@pytest.mark.parametrize("factor, side", [(1, 4), (2, 8), (3, 9), (3, 8), (4, 11)])
def test_stitch_equals_the_loop(factor, side):
    size, ipc = side // factor, 3
    rng = np.random.default_rng(side)
    patches = rng.integers(0, 256, (ipc * factor**2, size, size, 2), dtype=np.uint8)
    images = stitch(patches, factor, side)
    assert images.shape == (ipc, side, side, 2) and images.dtype == np.uint8
    expected = np.zeros_like(images)
    y = 0
    for row in range(factor):
        x, height = 0, size + (row < side % factor)
        for column in range(factor):
            width = size + (column < side % factor)
            for i in range(ipc):
                patch = patches[(row * factor + column) * ipc + i]
                for dy in range(height):
                    for dx in range(width):
                        at = int(dy * size / height), int(dx * size / width)
                        expected[i, y + dy, x + dx] = patch[at]
            x += width
        y += height
    np.testing.assert_array_equal(images, expected)
