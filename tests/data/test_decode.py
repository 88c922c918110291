"""Decoding frames of a record: by the one preprocessing, and with names in errors."""

from types import SimpleNamespace

import numpy as np
import pytest

from seen_jax import images
from seen_jax.data.decode import decode_frames
from tests.data.memory import jpeg


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
