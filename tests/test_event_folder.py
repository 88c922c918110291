"""From a recording to a folder of images: alignment, command line, real files."""

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from seen_jax import event_folder, see
from seen_jax.cameras.aedat4 import write_aedat4
from seen_jax.errors import UserError
from seen_jax.event_folder import centre_square, clip_images, intensity_index, main
from seen_jax.events import Recording, accumulate
from tests.samples import events_of, random_events


def small_recording():
    """30 x 20 pixels, 100 ms, intensity frame f is f * 10 everywhere."""
    events = random_events(2_000, 100_000, 20, 30)
    times_us = np.arange(8_000, 100_000, 15_000)
    levels = np.arange(len(times_us), dtype=np.uint8) * 10
    frames = np.broadcast_to(levels[:, None, None], (len(levels), 20, 30))
    return Recording(events, times_us, frames, (30, 20))


@pytest.fixture
def file(tmp_path):
    recording = small_recording()
    path = tmp_path / "a.aedat4"
    write_aedat4(path, recording.events, recording.times_us, recording.intensity_frames)
    return path


def load(folder):
    """All images of a folder, by their order, which the names must give too."""
    paths = sorted(folder.iterdir())
    assert [x.stem for x in paths] == [f"{i:05d}" for i in range(len(paths))]
    images = []
    for path in paths:
        with Image.open(path) as image:
            assert image.mode == "L"
            images.append(np.asarray(image))
    return np.stack(images)


def test_intensity_index_by_hand():
    # Frames at 10 20 20 40. Ends 5: before all, the first. 10: at it. 19: the first.
    # 20: the later of the two. 39: still that. 100: the last.
    times_us = np.array([10, 20, 20, 40])
    ends_us = np.array([5, 10, 19, 20, 39, 100])
    assert intensity_index(times_us, ends_us).tolist() == [0, 0, 0, 2, 2, 3]


def test_centre_square():
    assert centre_square((346, 260)) == (83, 40, 180)
    assert centre_square((180, 180)) == (0, 0, 180)


def test_periods_come_from_the_whole_recording():
    # The first event lies outside of the crop and still begins the first period: events
    # at 100 (outside), 195, 205, 399 (outside); periods of 100 end at 200, 300, 400.
    events = events_of((100, 9, 9, 1), (195, 0, 0, 1), (205, 0, 0, 0), (399, 9, 9, 1))
    frames = np.array([[[1]], [[2]], [[3]]], np.uint8).repeat(10, 1).repeat(10, 2)
    recording = Recording(events, np.array([150, 300, 301]), frames, (10, 10))
    images = clip_images(recording, crop=(0, 0, 2), period_us=100)
    assert images.event_frames[:, 0, 0].tolist() == [255, 0, 128]
    assert images.intensity_frames[:, 1, 1].tolist() == [1, 2, 3]
    assert images.counts.tolist() == [1, 1, 0]
    assert (images.edges_us - 100).tolist() == [0, 100, 200, 300]


def test_an_earlier_start_moves_the_periods():
    recording = small_recording()
    first = int(recording.events.t[0])
    times = {"start_us": first - 70_000, "period_us": 30_000}
    images = clip_images(recording, crop=(0, 0, 20), **times)
    assert images.counts[:2].tolist() == [0, 0]  # 60 ms before the first event
    assert images.counts.sum() == len(images.part.events)
    assert images.edges_us[0] == first - 70_000


def test_a_late_first_intensity_frame_loses_no_event_and_is_told():
    events = events_of((0, 0, 0, 1), (100, 0, 0, 1), (250, 0, 0, 1))
    frames = np.full((1, 4, 4), 9, np.uint8)
    recording = Recording(events, np.array([250]), frames, (4, 4))
    images = clip_images(recording, crop=(0, 0, 4), period_us=100)
    assert (images.counts.tolist(), images.shown.tolist()) == ([1, 1, 1], [0, 0, 0])
    text = event_folder.summary(recording, images)
    assert "the first one also for 2 earlier periods" in text


def test_too_many_periods_point_to_a_wrong_timestamp():
    events = events_of((0, 0, 0, 1), (10**15, 0, 0, 1))
    frames = np.zeros((1, 4, 4), np.uint8)
    recording = Recording(events, np.array([0]), frames, (4, 4))
    with pytest.raises(ValueError, match=r"at most 100000 periods.*got 30000300004"):
        clip_images(recording, crop=(0, 0, 4))


def test_command_line_png_is_exact(file, tmp_path, capsys):
    out, preview = tmp_path / "new" / "clip", tmp_path / "sheets" / "p.png"
    options = ["--format", "png", "--crop", "4,2,16", "--pixel", "sum"]
    options += ["--period_us", "10000/3", "--preview", str(preview)]
    assert main([str(file), "--out", str(out), *options]) == 0
    recording = small_recording().crop(4, 2, 16)
    first = int(small_recording().events.t[0])
    times = {"start_us": first, "period_us": Fraction(10_000, 3), "num_periods": 30}
    expected = accumulate(recording.events, **times, shape=(16, 16), pixel="sum")
    np.testing.assert_array_equal(load(out / "event"), expected)
    frames = load(out / "frame")
    assert frames.shape == expected.shape
    # Period i ends at first + (i + 1) * 10000 / 3; frame f begins at 8000 + 15000 f.
    for i, frame in enumerate(frames):
        end = first + (i + 1) * 10_000 / 3
        assert (frame == 10 * max(0, int((end - 8_000) // 15_000))).all()
    told = capsys.readouterr().out
    assert f"{len(recording.events)} events, {recording.events.p.sum()} ON" in told
    assert f"periods     30 from {first} us on: {len(recording.events)} events" in told
    assert "30 event frames, 30 intensity frames" in told
    with Image.open(preview) as sheet:
        assert sheet.mode == "L"
    assert sorted(x.name for x in (tmp_path / "new").iterdir()) == ["clip"]


def test_contact_sheet_shows_the_panels():
    images = clip_images(small_recording(), crop=(0, 0, 20), period_us=2_000)
    sheet = np.asarray(event_folder.contact_sheet(images))
    # 20 pixels are shown 6 times as large; 8 columns of 126 and one gap of 6.
    assert sheet.shape == (2 * 126 + 6 + 20, 8 * 126 + 6)
    np.testing.assert_array_equal(sheet[6:126:6, 6:126:6], images.intensity_frames[0])
    np.testing.assert_array_equal(sheet[132:252:6, 6:126:6], images.event_frames[0])
    last = slice(888, 1008, 6)
    np.testing.assert_array_equal(sheet[132:252:6, last], images.event_frames[-1])


@pytest.mark.parametrize(
    ("name", "num_events", "num_periods"),
    # Spans 510,990 and 169,941 us: 15.3 and 5.1 periods of 33,333 us.
    [("newton_cradle", 319_512, 16), ("street", 6_676, 6)],
)
def test_real_recordings(name, num_events, num_periods, shared, tmp_path, capsys):
    path = shared / "recordings" / f"davis346_{name}.aedat4"
    out = tmp_path / "clip"
    assert main([str(path), "--out", str(out), "--preview", f"{out}.png"]) == 0
    for kind in ("event", "frame"):
        assert load(out / kind).shape == (num_periods, 180, 180)
        with Image.open(out / kind / "00000.jpg") as image:
            assert (image.format, image.mode) == ("JPEG", "L")
    # A JPEG keeps three levels near to where they were.
    frames = load(out / "event").astype(int)
    levels = np.array([see.EVENT_OFF, see.EVENT_NONE, see.EVENT_ON])
    assert np.abs(frames[..., None] - levels).min(axis=-1).mean() < 6
    told = capsys.readouterr().out
    assert f"{num_events} events" in told
    assert "crop 83,40,180" in told
    whole = event_folder.read_recording(path)
    part = whole.crop(83, 40, 180)
    images = clip_images(whole, crop=(83, 40, 180))
    assert images.counts.sum() == len(part.events)
    assert f"on: {len(part.events)} events" in told


def test_command_line_refuses(file, tmp_path, capsys):
    out = tmp_path / "clip"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    for options, text in (
        (["--crop", "20,0,11"], "within the 30 x 20 pixels of the sensor, got columns"),
        ([], "got columns -75 to 104"),  # the default centre is larger than this sensor
        (["--out", str(tmp_path / "full")], "expected a new or empty folder"),
        (["--start_us", "999999", "--crop=0,0,9"], "start_us: expected at most"),
        (["--period_us", f"{10**30}", "--crop=0,0,9"], "at least 1 us and at most"),
        (["--out", str(file)], "expected a new or empty folder, got a file"),
    ):
        with pytest.raises(UserError, match=text):
            main([str(file), "--out", str(out), *options])
    with pytest.raises(UserError, match=r"expected a recording, got no such file"):
        main([str(tmp_path / "no.aedat4"), "--out", str(out)])
    for option, text in (
        *((f"--crop={x}", "X,Y,SIZE in pixels") for x in ("1,2", "1,-2,3", "a,b,c")),
        *((f"--period_us={x}", f"microseconds of at least 1, got '{x}'")
          for x in ("0", "-33333", "1/0", "a")),
        ("--pixel=first", "invalid choice: 'first'"),
        ("--preview=x.gif", "expected a name that ends in .png"),
    ):  # fmt: skip
        with pytest.raises(SystemExit) as stop:
            main([str(file), "--out", str(out), option])
        assert stop.value.code == 2
        assert text in capsys.readouterr().err
    assert not out.exists()


def test_a_part_holds_whole_periods(file, tmp_path, capsys):
    # 100 ms, of which 20 to 75 hold five periods of 10 ms; 5 ms are left out. The
    # origin is the first event: intensity frames begin at 8 ms.
    recording = small_recording()
    first = int(recording.events.t[0])
    assert first < 8_000
    options = ["--crop=0,0,20", "--period_us=10000", "--format=png"]
    options += ["--start_s=0.02", "--end_s=0.075", "--out", str(tmp_path / "part")]
    assert main([str(file), *options]) == 0
    t = recording.events.t - first
    inside = recording.crop(0, 0, 20).events.t - first
    count = ((inside >= 20_000) & (inside < 70_000)).sum()
    assert f"periods     5 from {first + 20_000} us on: {count} events" in (
        capsys.readouterr().out
    )
    assert len(load(tmp_path / "part" / "event")) == 5
    for start, end in ((0, 0.2), (-0.1, 0.05), (0.05, 0.05), (0.05, 0.051)):
        with pytest.raises(UserError, match="start_s, end_s: expected"):
            event_folder.cut(recording, start, end, 10_000)
    cut, start_us, num_periods = event_folder.cut(recording, 0, t[-1] / 1e6, 10_000)
    assert (start_us, num_periods) == (first, t[-1] // 10_000)
    assert len(cut.events) == (t < num_periods * 10_000).sum()
    with pytest.raises(SystemExit):
        main([str(file), "--out", str(tmp_path / "x"), "--start_s=0"])
