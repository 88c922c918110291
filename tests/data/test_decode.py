"""Decoding: the fast half size is bit by bit what the one preprocessing gives."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from seen_jax import images
from seen_jax.data.decode import decode_frames, halve
from tests.data.memory import jpeg


def random_images(shape, count=40):
    """Noise, three levels as in event frames, and flat images, `count` of each."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        yield rng.integers(0, 256, shape, np.uint8)
        yield rng.choice(np.array([0, 128, 255], np.uint8), shape)
        yield np.full(shape, rng.integers(0, 256), np.uint8)


@pytest.mark.parametrize("shape", [(180, 180), (4, 4), (6, 10)])
def test_half_size_equals_pillow(shape):
    size = shape[1] // 2, shape[0] // 2
    for image in random_images(shape):
        resized = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(halve(image), np.asarray(resized))


def test_half_size_by_hand():
    # (0 + 3 * 8 + 3 * 16 + 0) / 8 = 9 between, (3 * 0 + 3 * 0 + 8) / 7 = 1.14 at ends.
    row = np.array([0, 0, 8, 16, 0, 0], np.uint8)
    assert halve(np.stack([row] * 4))[0].tolist() == [1, 9, 2]


def record_of(event_jpegs):
    return SimpleNamespace(name="clip", event_jpegs=event_jpegs, frame_jpegs=())


@pytest.mark.parametrize("size", [180, 90, 200])
def test_frames_are_what_the_preprocessing_makes_of_them(size):
    rng = np.random.default_rng(0)
    record = record_of([jpeg(rng, size) for _ in range(3)])
    frames = decode_frames(record, "event", [2, 0])
    expected = [images.load_input(record.event_jpegs[i]) for i in (2, 0)]
    np.testing.assert_array_equal(frames, expected)
    assert frames.dtype == np.uint8


def test_a_missing_frame_is_named():
    with pytest.raises(
        ValueError, match="clip: expected a square JPEG as frame frame 0"
    ):
        decode_frames(record_of([]), "frame", [0])
