"""Packets and what they join to."""

import numpy as np
import pytest

from seen_jax.cameras.packets import Packets, gather
from seen_jax.errors import UserError


def columns(*rows):
    return np.array(rows, np.int64).reshape(-1, 4).T


def test_packets_join_to_a_recording():
    packets = Packets((3, 2))
    frame = np.ones((2, 3), np.uint8)
    stream = [
        packets.events(*columns((1, 0, 0, 1), (2, 3, 0, 0), (3, -1, 0, 0))),
        packets.frame(2, frame),
        packets.events(*columns()),
        packets.events(*columns((4, 2, 1, 0), (4, 0, 2, 1))),
        packets.frame(3, frame * 2),
        packets.end("said by the reader"),
    ]
    recording = gather(stream)
    assert recording.events.t.tolist() == [1, 4]
    assert recording.events.p.tolist() == [True, False]
    assert recording.times_us.tolist() == [2, 3]
    assert recording.intensity_frames[:, 0, 0].tolist() == [1, 2]
    assert recording.resolution == (3, 2)
    text = "3 of 5 events were off the sensor and left out"
    assert recording.notes == ("said by the reader", text)
    assert recording.crop(0, 0, 2).notes == recording.notes


def test_what_makes_no_recording():
    packets = Packets((3, 2))
    event, frame = packets.events(*columns((9, 0, 0, 1))), np.ones((2, 3), np.uint8)
    with pytest.raises(UserError, match="got 1 event and 0 intensity frames"):
        gather([event, packets.end()])
    earlier = packets.events(*columns((8, 0, 0, 1)))
    with pytest.raises(UserError, match="got 8 us after 9 us at event 1"):
        gather([event, earlier, packets.frame(0, frame)])
    with pytest.raises(UserError, match="got 0 us after 1 us at intensity frame 1"):
        gather([event, packets.frame(1, frame), packets.frame(0, frame)])
