"""How long periods waited for an intensity frame, by hand."""

import argparse

import numpy as np
import pytest

from seen_jax.errors import UserError
from seen_jax.staleness import add_reading_arguments, check_stale, waits_us

EDGES = np.arange(0, 1_100_000, 100_000)  # ten periods of 0.1 s


def test_waits_by_hand():
    # Frames at 150 150 400 ms. Period ends at 100 (none yet: since 0), 200, 300, 400
    # (the frame at the very end counts), 500.
    times_us = np.array([150_000, 150_000, 400_000])
    waits = waits_us(times_us, EDGES[:6])
    assert waits.tolist() == [100_000, 50_000, 150_000, 0, 100_000]
    assert waits_us(np.array([-70]), EDGES[:2]).tolist() == [100_070]
    waits = waits_us(np.array([500_000]), EDGES[:4])
    assert waits.tolist() == [10**5, 2 * 10**5, 3 * 10**5]


def test_what_is_stale_and_where():
    # No frame from 100 to 500 and from 599 to 900 ms: ends from 400 and 800 wait longer
    # than 200 ms, the end at 800 by 1 ms and 900 has a frame.
    times_us = np.array([0, 100, 500, 599, 900, 1_000]) * 1000
    text = check_stale(times_us, EDGES, 0.4)
    assert text == (
        "2 of 10 periods show an intensity frame older than 2 periods, 00003, 00007; "
        "the longest without one is 0.300 s"
    )
    words = r"one at least every 0\.2 s, got 2 of 10 .* acc"
    with pytest.raises(UserError, match=words):
        check_stale(times_us, EDGES)
    assert check_stale(times_us, EDGES, 0.3) == text
    assert check_stale(EDGES[::2], EDGES) == ""  # as old as two periods is not older


def test_long_stretches_and_many():
    edges = np.arange(0, 101) * 10
    text = check_stale(np.array([0]), edges, float("inf"))
    assert text.startswith("98 of 100 periods") and "00002 to 00099;" in text
    times_us = np.arange(0, 1000, 40)  # each fourth end, 30 past a frame, is stale
    text = check_stale(times_us, edges, 1)
    assert "00002, 00006, 00010, 00014, 00018, 20 more stretches; the l" in text


def test_the_remedy_is_accepted():
    edges = np.arange(0, 101) * 33_333
    times_us = np.array([0, 1_234_567])
    with pytest.raises(UserError) as error:
        check_stale(times_us, edges)
    option = str(error.value).split()[-1]
    parser = argparse.ArgumentParser()
    add_reading_arguments(parser)
    accepted = parser.parse_args([option]).max_stale_s
    assert check_stale(times_us, edges, accepted)
    for text in ("-1", "nan", "x"):
        with pytest.raises(SystemExit):
            parser.parse_args([f"--max_stale_s={text}"])
