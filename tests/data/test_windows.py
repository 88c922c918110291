"""The drawing against a transcription of the published rule in plain loops."""

import numpy as np
import pytest

from seen_jax.data import windows
from seen_jax.data.windows import SETTINGS, Setting

LENGTHS = range(1, 141)


def middle(value: int, count: int) -> float:
    """The uniform number in the middle of those that become `value` of `count`."""
    return (value + 0.5) / count


def plain_windows(start, end, n, skip):
    """Yields (offset number, begin number, frames) of every window of a segment."""
    stride = skip + 1
    frames = list(range(start, end))
    offsets = [0, 1, 2, 3, 4] if stride > 1 else [0]
    offsets = [o for o in offsets if o < len(frames)]  # ours: never past the segment
    for o in offsets:
        kept = frames[o::stride]
        begins = list(range(max(0, len(kept) - n - 1) + 1))
        for begin in begins:
            taken = kept[begin : begin + n]
            window = list(taken)
            while len(window) < n:
                window.append(taken[len(window) % len(taken)])
            yield middle(o, len(offsets)), middle(begin, len(begins)), window


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_every_window_of_every_length_is_the_published_one(setting):
    segments, numbers, expected = [], [], []
    for length in LENGTHS:
        start = length % 7
        for u_offset, u_begin, window in plain_windows(
            start, start + length, setting.num_event_frames, setting.skip
        ):
            segments.append((start, start + length))
            numbers.append((u_offset, u_begin))
            expected.append(window)
    drawn = windows.event_indices(np.array(segments), setting, np.array(numbers))
    np.testing.assert_array_equal(drawn, expected)
    assert drawn.dtype == np.int32


@pytest.mark.parametrize(
    ("length", "numbers", "expected"),
    [
        # E4_S3 keeps every fourth frame from the offset on.
        (20, (0.0, 0.0), [0, 4, 8, 12]),  # 5 kept: only begin 0 is ever drawn
        (24, (0.0, 0.99), [4, 8, 12, 16]),  # 6 kept: begins {0, 1}, never 2
        (18, (0.99, 0.0), [4, 8, 12, 16]),  # offset 4, larger than the skip
        (10, (0.0, 0.99), [0, 4, 8, 0]),  # 3 kept: repeated cyclically
        (3, (0.99, 0.99), [2, 2, 2, 2]),  # the offset stays inside the segment
        (1, (0.99, 0.99), [0, 0, 0, 0]),
    ],
)
def test_edges_worked_by_hand(length, numbers, expected):
    drawn = windows.event_indices((0, length), Setting(4, 3), numbers)
    assert drawn.tolist() == expected


def test_draws_are_uniform():
    # 20 numbers for the offset, 4 to each of 5; 420 for the begin. Of 44 frames the
    # offsets 0 to 3 leave 11, so 7 begins of 60 numbers, and 4 leaves 10: 6 of 70.
    grid = (np.arange(420) + 0.5) / 420
    numbers = np.stack(np.meshgrid(grid[::21], grid, indexing="ij"), -1)
    segments = np.broadcast_to([0, 44], numbers.shape)
    first = windows.event_indices(segments, Setting(4, 3), numbers)[..., 0]
    counts = np.bincount(first.ravel())
    expected = np.zeros(len(counts), int)
    for offset in range(5):
        begins = 7 if offset < 4 else 6
        for begin in range(begins):
            expected[offset + 4 * begin] += 20 // 5 * 420 // begins
    np.testing.assert_array_equal(counts, expected)


def test_the_largest_uniform_number_stays_below_the_count():
    largest = np.nextafter(1, 0)
    counts = np.arange(1, 5000)
    numbers = np.full(counts.shape, largest)
    np.testing.assert_array_equal(windows._integers(numbers, counts), counts - 1)


def test_a_draw_depends_on_seed_purpose_epoch_and_clip_alone():
    few = windows.uniforms(2022, "train", 3, 10)
    many = windows.uniforms(2022, "train", 3, 1000)
    np.testing.assert_array_equal(few, many[:10])
    others = [
        windows.uniforms(2023, "train", 3, 10),
        windows.uniforms(2022, "eval", 3, 10),
        windows.uniforms(2022, "train", 4, 10),
    ]
    for numbers in others:
        assert not np.isin(few, numbers).any()


def test_the_order_is_a_permutation_of_the_epoch():
    orders = [windows.order(windows.uniforms(1, "train", e, 50)) for e in (0, 1)]
    for order in orders:
        assert sorted(order) == list(range(50))
    assert orders[0].tolist() != orders[1].tolist()


def test_these_draws_never_change():
    # Results of earlier runs can be repeated only while these numbers stay.
    numbers = windows.uniforms(2022, "train", 1, 3)
    segments = np.array([[0, 45], [0, 60], [3, 90]])
    drawn = windows.event_indices(segments, Setting(4, 3), numbers)
    assert drawn.tolist() == [[8, 12, 16, 20], [39, 43, 47, 51], [26, 30, 34, 38]]


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_settings_parse_as_they_print(setting):
    assert Setting.parse(str(setting)) == setting


def test_stride_and_span():
    # Four frames with three left out in each of the three gaps: 4 + 3 * 3.
    assert (Setting(4, 3).stride, Setting(4, 3).span) == (4, 13)


@pytest.mark.parametrize("text", ["", "E4", "E0_S1", "E4_S-1", "e4_s3", "E4_S3 "])
def test_other_settings_are_refused(text):
    with pytest.raises(ValueError, match="published ones are E4_S0, E4_S1"):
        Setting.parse(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1, "train", 0, 1), "seed"),
        ((0, "test", 0, 1), "purpose: expected one of train, eval, got 'test'"),
        ((0, "eval", -1, 1), "epoch"),
    ],
)
def test_bad_arguments_of_a_draw_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        windows.uniforms(*arguments)


@pytest.mark.parametrize("segment", [(0, 0), (4, 4), (5, 3), (-1, 3)])
def test_an_empty_segment_is_refused(segment):
    with pytest.raises(ValueError, match="0 <= start < end"):
        windows.event_indices(segment, Setting(4, 0), (0.5, 0.5))


def test_shapes_must_match():
    with pytest.raises(ValueError, match=r"got \(3, 2\) and \(4, 3\)"):
        windows.event_indices(np.ones((3, 2), int), Setting(4, 0), np.ones((4, 3)))


@pytest.mark.parametrize(
    "setting, index, film, step",
    [
        ((4, 3), [1, 5, 9, 13], [1, 3, 5, 7, 9, 11, 13], 2),
        ((3, 2), [0, 3, 6], [0, 1, 2, 3, 4, 5, 6], 3),
        ((3, 1), [5, 7, 9], [5, 6, 7, 8, 9], 2),
        ((3, 0), [5, 6, 7], [5, 6, 7], 1),
        ((1, 3), [5], [5], 2),
        # A segment that repeats: no frame is after its end.
        ((4, 3), [12, 0, 4, 8], [12, 13, 0, 2, 4, 6, 8], 2),
    ],
)
def test_frames_between_those_of_a_window(setting, index, film, step):
    frames, got_step = windows.film_indices(np.array([index]), Setting(*setting), [14])
    assert (frames.tolist(), got_step) == ([film], step)
