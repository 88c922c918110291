"""Each kind of change against a closed form, on frames that say what they are."""

from pathlib import Path

import jax
import numpy as np
import pytest
from jax import random

from seen_jax import see
from seen_jax.data import clips as clips_lib
from seen_jax.data.batches import Batches
from seen_jax.data.store import Store
from seen_jax.data.windows import Setting
from seen_jax.evaluation.robustness_kinds import KINDS, NOTHING, batches_of, changed
from tests import samples

SIZE = 20
IMAGES = ("event_frames", "intensity_frames")


@pytest.fixture
def frames():
    """Event frames (8, 3, SIZE, SIZE) and intensity frames (8, 2, ...) of noise."""
    rng = np.random.default_rng(0)
    levels = np.array([0, 128, 255], np.uint8)
    shape = (SIZE, SIZE)
    events = rng.choice(levels, (8, 3, *shape), p=(0.2, 0.6, 0.2))
    return events, rng.integers(60, 190, (8, 2, *shape), np.uint8)


def apply(name, severity, frames, clip=None):
    clip = np.arange(8) if clip is None else clip
    parts = random.key(1), clip, np.float32(severity), *frames
    return jax.device_get(changed(KINDS[name].change, *parts))


def make_batches(batch_size=4, seed=3, setting="E4_S3", hold_number=False):
    """Windows of 14 clips of 30 and 45 frames, whose segments begin at 5."""
    names = [str(x) for x in samples.clip_names(2, (30, 45))]
    lengths = [see.ClipName.parse(x).length for x in names]
    segments = [(5, x) for x in lengths]
    clips = clips_lib.from_names(names, see.EMOTIONS, segments)
    shape = sum(lengths), 6, 6
    if hold_number:  # of a frame in its clip, from 0
        number = np.concatenate([*map(np.arange, lengths)])
        frames = [np.broadcast_to(number[:, None, None].astype(np.uint8), shape)] * 2
    else:
        rng = np.random.default_rng(0)
        frames = [rng.integers(0, 256, shape, np.uint8) for _ in range(2)]
    store = Store(clips, Path("nowhere"), *frames)
    return Batches(store, clips, Setting.parse(setting), batch_size, seed, "eval")


@pytest.mark.parametrize("name", KINDS)
def test_a_severity_of_0_changes_no_bit(name):
    batches = make_batches()
    for of_pass in (0, 1):
        for i, batch in enumerate(batches_of(batches, KINDS[name], 0, of_pass)):
            expected = batches.batch(of_pass * len(batches) + i)
            assert batch.keys() == expected.keys()
            for part, x in expected.items():
                np.testing.assert_array_equal(batch[part], x)
                assert batch[part].dtype == x.dtype
        assert i == len(batches) - 1


@pytest.mark.parametrize("name, kind", KINDS.items())
def test_each_kind_has_a_grid_with_0(name, kind):
    assert sorted({*kind.severities}) == [*kind.severities] and 0 in kind.severities
    assert kind.name == name
    acts = [x for x in (kind.change, kind.delay, kind.draw) if x is not None]
    assert len(acts) == 1


@pytest.mark.parametrize("name", [x for x, kind in KINDS.items() if kind.change])
def test_what_is_drawn_hangs_on_seed_kind_pass_and_clip_alone(name):
    severity = KINDS[name].severities[-1]

    def windows(of_pass=0, **how):
        batches = make_batches(**how)
        batch = [*batches_of(batches, KINDS[name], severity, of_pass)]
        rows = [(b["clip"][i], b) for b in batch for i in np.flatnonzero(b["mask"])]
        assert sorted(clip for clip, _ in rows) == [*range(14)]
        return {
            clip: np.concatenate([b[x][[*b["clip"]].index(clip)] for x in IMAGES])
            for clip, b in rows
        }

    first, again = windows(), windows(batch_size=5)
    for clip, x in first.items():
        np.testing.assert_array_equal(x, again[clip])


@pytest.mark.parametrize("name", ["shift", "rotation", "noise", "hot", "lost"])
def test_another_clip_is_another_draw(name, frames):
    one = [x[:1].repeat(8, axis=0) for x in frames]
    clip = np.array([0, 1, 2, 3, 4, 5, 6, 0])
    events, _ = apply(name, 10, one, clip)
    np.testing.assert_array_equal(events[0], events[-1])
    assert any((events[0] != x).any() for x in events[1:-1])


def test_another_pass_seed_or_kind_is_another_draw():
    def fires(batches, name, of_pass):
        pair = [
            next(batches_of(batches, kind, 10, of_pass))["event_frames"]
            for kind in (KINDS[name], NOTHING)
        ]
        return pair[0] != pair[1]

    batches = make_batches()
    first = fires(batches, "noise", 0)
    others = [fires(batches, "noise", 1), fires(make_batches(seed=4), "noise", 0)]
    others.append(fires(batches, "hot", 0))
    for other in others:
        assert (first != other).mean() > 0.05


def test_a_shift_by_4_moves_pixels_by_2(frames):
    """The network's images have half of the crop's size."""
    events, grey = apply("shift", 4, frames)
    ways = set()
    for i in range(8):
        for way in ((2, 0), (-2, 0), (0, 2), (0, -2)):
            here = [slice(max(x, 0), SIZE + min(x, 0)) for x in way]
            there = [slice(max(-x, 0), SIZE + min(-x, 0)) for x in way]
            expected = np.full_like(events[i], see.EVENT_NONE)
            expected[:, *here] = frames[0][i][:, *there]
            if np.array_equal(expected, events[i]):
                ways.add(way)
                moved = frames[1][i][:, *there]
                np.testing.assert_array_equal(grey[i][:, *here], moved)
                break
        else:
            pytest.fail("no shift by two pixels")
    assert len(ways) > 2


def test_a_quarter_turn(frames):
    events, grey = apply("rotation", 90, frames)
    turns = [
        turn
        for i in range(8)
        for turn in (1, 3)
        if np.array_equal(np.rot90(frames[0][i], turn, (1, 2)), events[i])
        and np.array_equal(np.rot90(frames[1][i], turn, (1, 2)), grey[i])
    ]
    assert len(turns) == 8 and {*turns} == {1, 3}


def test_twice_the_size(frames):
    """About the centre between two pixels: those come from -1/4 and 1/4 of it."""
    events, grey = apply("scale", 100, frames)
    axis = np.rint((np.arange(SIZE) - 9.5) / 2 + 9.5).astype(int)
    assert axis[8:12].tolist() == [9, 9, 10, 10]
    np.testing.assert_array_equal(events, frames[0][..., axis[:, None], axis])
    weights = np.array([[1, 3], [3, 1]]) / 4  # of rows 9 and 10 in those about 9.5
    middle = weights @ frames[1][..., 9:11, 9:11] @ weights.T
    assert abs(grey[..., 9:11, 9:11] - middle[..., ::-1, ::-1]).max() <= 0.5


def test_light(frames):
    events, brighter = apply("brightness", 20, frames)
    np.testing.assert_array_equal(events, frames[0])
    expected = np.minimum(frames[1].astype(int) + 51, 255)  # 20 % of 255
    np.testing.assert_array_equal(brighter, expected)
    mean = frames[1].mean(axis=(1, 2, 3), keepdims=True)
    for percent in (-75, 50):
        events, grey = apply("contrast", percent, frames)
        np.testing.assert_array_equal(events, frames[0])
        stretched = (1 + percent / 100) * (frames[1] - mean) + mean
        assert abs(np.clip(stretched, 0, 255) - grey).max() <= 0.51


def test_lost_events(frames):
    before, grey = frames
    lost = {share: apply("lost", share, frames) for share in (50, 75, 100)}
    assert (lost[100][0] == see.EVENT_NONE).all()
    is_event = before != see.EVENT_NONE
    for share, (events, same) in lost.items():
        np.testing.assert_array_equal(same, grey)
        is_lost = events != before
        assert (events[is_lost] == see.EVENT_NONE).all()
        assert abs(is_lost[is_event].mean() - share / 100) < 0.05  # of some 3,800
    assert (lost[75][0] == before)[lost[50][0] == before].mean() < 1
    assert ((lost[50][0] == before) >= (lost[75][0] == before)).all()


def test_noise_fires_at_other_pixels_in_each_frame(frames):
    quiet = np.full_like(frames[0], see.EVENT_NONE)
    few, grey = apply("noise", 3, (quiet, frames[1]))
    many, _ = apply("noise", 10, (quiet, frames[1]))
    np.testing.assert_array_equal(grey, frames[1])
    assert abs((many != 128).mean() - 0.1) < 0.01  # of 9,600 pixels
    assert abs((many == 255).sum() / (many != 128).sum() - 0.5) < 0.1
    np.testing.assert_array_equal(few[few != 128], many[few != 128])
    assert (many[:, 0] != many[:, 1]).mean() > 0.1


def test_hot_pixels_fire_alike_in_each_frame(frames):
    events, _ = apply("hot", 10, frames)
    fires = events != frames[0]
    quiet, _ = apply("hot", 10, (np.full_like(events, see.EVENT_NONE), frames[1]))
    assert abs((quiet != 128).mean() - 0.1) < 0.03  # of 3,200 positions
    for t in (1, 2):
        np.testing.assert_array_equal(quiet[:, t], quiet[:, 0])
    np.testing.assert_array_equal(events[fires], quiet[fires])


def test_without_polarity_nothing_is_off(frames):
    greys = np.arange(256, dtype=np.uint8)  # a resize leaves levels between, too
    events = np.resize(greys, (8, 3, SIZE, SIZE))
    unsigned, _ = apply("polarity", 100, (events, frames[1]))
    far = np.where(greys < 128, 255 - greys.astype(int), greys)
    np.testing.assert_array_equal(unsigned, np.resize(far, events.shape))
    half, _ = apply("polarity", 50, frames)
    is_off = frames[0] == see.EVENT_OFF
    assert {*half[is_off]} == {see.EVENT_OFF, see.EVENT_ON}
    np.testing.assert_array_equal(half[~is_off], frames[0][~is_off])


@pytest.mark.parametrize("name, late", [("late", 4), ("frozen", 8), ("frozen", 24)])
def test_intensity_frames_that_are_older(name, late):
    batches = make_batches(hold_number=True)
    plain = batches_of(batches, KINDS[name], 0, 0)
    for before, after in zip(
        plain, batches_of(batches, KINDS[name], late, 0), strict=True
    ):
        np.testing.assert_array_equal(before["event_frames"], after["event_frames"])
        first, last = before["intensity_frames"][..., 0, 0].astype(int).T
        assert (last - first == 12).all()  # three strides of four
        old = last - late
        young = np.minimum(first, old) if name == "frozen" else first - 4
        expected = np.maximum(np.stack([young, old], axis=1), 5)
        np.testing.assert_array_equal(after["intensity_frames"][..., 0, 0], expected)


@pytest.mark.parametrize(
    "percent, setting, expected",
    [
        # Of 10 frames become 20; 0, 4, 8 and 12 of them are 0, 2, 4 and 6 of these.
        (100, "E4_S3", [0, 2, 4, 6]),
        (-50, "E4_S0", [0, 2, 4, 6]),  # of 10 become 5
        (20, "E3_S3", [0, 3, 6]),  # 4 / 1.2 is 3.33, 8 / 1.2 is 6.67
        (-20, "E2_S3", [0, 5]),
    ],
)
def test_another_frame_rate(percent, setting, expected):
    setting, zeros = Setting.parse(setting), np.zeros((1, 3))
    draw = KINDS["rate"].draw
    for start in (0, 7):
        segments = np.array([[start, start + 10]])
        indices = draw(segments, setting, zeros, percent)
        np.testing.assert_array_equal(indices, [np.add(expected, start)])
    # Never outside of the segment.
    numbers = np.random.default_rng(0).random((4000, 3))
    for start, end in ((0, 3), (4, 40)):
        indices = draw(np.tile([start, end], (4000, 1)), setting, numbers, percent)
        assert start == indices.min() and indices.max() < end


def test_frames_at_another_rate_reach_the_windows():
    shown = [*batches_of(make_batches(hold_number=True), KINDS["rate"], 100, 0)]
    numbers = np.concatenate([x["event_frames"][..., 0, 0] for x in shown])
    assert ((np.diff(numbers.astype(int), axis=1)) == 2).all()  # a stride of 4, halved
