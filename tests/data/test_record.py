"""Decoding frames of a record: by the one preprocessing, and with names in errors."""

import numpy as np
import pytest

from seen_jax import images
from seen_jax.data.record import Record
from tests.helpers import jpeg


@pytest.mark.parametrize("size", [180, 90, 200])
def test_frames_are_what_the_preprocessing_makes_of_them(size):
    rng = np.random.default_rng(0)
    record = Record("clip", tuple(jpeg(rng, size) for _ in range(3)), ())
    frames = record.decode("event", [2, 0])
    expected = [images.load_input(record.event_jpegs[i]) for i in (2, 0)]
    np.testing.assert_array_equal(frames, expected)
    assert frames.dtype == np.uint8


def test_a_missing_frame_is_named():
    words = "clip: expected a square JPEG as frame frame 0"
    with pytest.raises(ValueError, match=words):
        Record("clip", (), ()).decode("frame", [0])
