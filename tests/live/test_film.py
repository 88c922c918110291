"""Moments -> a film: how many frames, what stands still, and what it is drawn from."""

import sys

import numpy as np
import pytest
from PIL import Image

from seen_jax.errors import UserError
from seen_jax.live import film
from seen_jax.live.film import GIF_RATE, GIF_S, MP4_RATE, SIZE, Painter
from seen_jax.live.outlet import Outlet
from tests.live.streams import about_of, moment_of


def numbers_of(moments, rate):
    """Which moment each picture of a film is of."""

    class Numbers(Painter):
        def draw(self):
            return self.newest.number

    return [*film._pictures(Numbers(about_of()), iter(moments), rate)]


def drawn(moments):
    painter = Painter(about_of())
    for moment in moments:
        painter.take(moment)
    return np.asarray(painter.draw())


@pytest.mark.parametrize("first_us", [0, 1, 333, 10**15 + 7])
def test_every_period_is_a_frame_though_its_time_is_rounded(first_us):
    moments = [moment_of(i, time_us=first_us + round(1e6 * i / 30)) for i in range(100)]
    assert numbers_of(moments, 30) == list(range(100))
    # The third of three, the one in the middle of 100 ms, and the last.
    assert numbers_of(moments, 10) == [*range(1, 99, 3), 99]


def test_a_period_that_is_missing_stands_still():
    moments = [moment_of(i) for i in (0, 1, 2, 6, 7)]
    assert numbers_of(moments, 30) == [0, 1, 2, 2, 2, 2, 6, 7]
    assert numbers_of([], 30) == []
    assert numbers_of(moments[:1], 30) == [0]


def test_a_clock_that_begins_again_continues_the_film():
    moments = [moment_of(i) for i in (30, 31)] + [moment_of(i) for i in (2, 3)]
    assert numbers_of(moments, 30) == [30, 2, 3]


def test_a_picture_that_stands_still_is_the_same():
    painter = Painter(about_of())
    for i in range(20):
        painter.take(moment_of(i))
    first, second = (np.asarray(painter.draw()) for _ in range(2))
    assert first.shape == (*SIZE[::-1], 3)
    np.testing.assert_array_equal(first, second)


def test_the_strip_has_the_frames_of_the_last_periods():
    """Flat images, of a level each: the latest 13 are there and no older one."""
    levels = range(100, 100 + 7 * 20, 7)
    moments = []
    for i, level in enumerate(levels):
        event, other = (np.full((40, 40), x, np.uint8) for x in (level, level + 3))
        images = {"event_frame": event, "intensity_frame": other}
        moments.append(moment_of(i, sensor=(40, 40), **images))
    picture = drawn(moments)
    for i, level in enumerate(levels):
        for value in (level, level + 3):
            count = (picture == value).all(-1).sum()
            assert (count > 40 * 40) == (i >= len(levels) - 13), (i, value, count)


def test_colours_say_what_was_answered_and_what_was_true():
    """The last 30 s: only happiness was predicted, only fear was there."""
    about = about_of()
    certain = np.eye(7, dtype=np.float32)[about.classes.index("happiness")]
    moments = [moment_of(i, probabilities=certain, label="fear") for i in range(900)]
    painter = Painter(about)
    for moment in moments:
        painter.take(moment)
    picture = np.asarray(painter.draw())
    (left, right), width = (12, SIZE[0] - 12), SIZE[0] - 24
    for name, height in (("happiness", film._PAST_AREA), ("fear", film._TRUTH)):
        colour = film._rgb(about.colours[about.classes.index(name)])
        rows = (picture[:, left:right] == colour).all(-1).sum(1)
        assert (rows >= 0.99 * width).sum() == height


def test_before_the_first_window_there_is_no_answer():
    moment = moment_of(0, probabilities=None, latency_ms=None, label="")
    assert drawn([moment]).std() > 0


def test_a_gif_lasts_as_long_as_the_camera_saw(tmp_path):
    path = tmp_path / "a.gif"
    path.write_bytes(b"before")
    film.write(path, about_of(), iter([moment_of(i) for i in range(31)]))
    assert [*tmp_path.iterdir()] == [path]
    with Image.open(path) as image:
        assert image.size == SIZE
        lasts_ms = 0
        for i in range(image.n_frames):
            image.seek(i)
            lasts_ms += image.info["duration"]
    # 30 periods are a second, and the last picture is one more.
    assert lasts_ms == 1000 + 1000 // GIF_RATE


def test_a_gif_ends_after_a_minute(tmp_path, monkeypatch):
    monkeypatch.setattr(film, "GIF_S", 0.5)
    moments = iter([moment_of(i) for i in range(90)])
    film.write(tmp_path / "a.gif", about_of(), moments)
    with Image.open(tmp_path / "a.gif") as image:
        assert image.n_frames == 5
    assert next(moments, None) is None  # whoever gives them is not held up
    assert GIF_S == 60


# imageio-ffmpeg forks, of which JAX warns where a test before imported it.
FORKS = pytest.mark.filterwarnings("ignore:os.fork")


@FORKS
def test_an_mp4_has_a_frame_for_each_period(tmp_path):
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    path = tmp_path / "a.mp4"
    film.write(path, about_of(), iter([moment_of(i) for i in (*range(20), 40)]))
    assert [*tmp_path.iterdir()] == [path]
    count, seconds = imageio_ffmpeg.count_frames_and_secs(str(path))
    assert count == 41  # a dropped period stands still
    assert seconds == pytest.approx(41 / MP4_RATE, abs=0.05)
    reader = imageio_ffmpeg.read_frames(str(path))
    assert next(reader)["size"] == SIZE
    reader.close()


def test_a_film_of_nothing_is_refused(tmp_path):
    with pytest.raises(UserError, match="expected at least one period to show, got no"):
        film.write(tmp_path / "a.gif", about_of(), iter(()))
    assert [*tmp_path.iterdir()] == []


@FORKS
def test_what_breaks_the_film_leaves_no_part(tmp_path):
    def broken():
        yield from map(moment_of, range(3))
        raise RuntimeError

    for name in ("a.gif", "b.mp4"):
        if name == "b.mp4":
            pytest.importorskip("imageio_ffmpeg")
        with pytest.raises(RuntimeError):
            film.write(tmp_path / name, about_of(), broken())
        assert [*tmp_path.iterdir()] == []


def test_a_full_disk_is_one_sentence(tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    (tmp_path / ".a.mp4.part.mp4").symlink_to("/dev/full")
    outlet = Outlet("seen_jax.live.film", [tmp_path / "a.mp4"])
    outlet.put(about_of())
    for i in range(100):
        outlet.put(moment_of(i), wait=True)
    outlet.close()
    assert outlet.failure == (
        f"{tmp_path / 'a.mp4'}: expected a place that can be written and has room, got "
        "No space left on device; make room or give another place"
    )


def test_names_that_are_refused(tmp_path, monkeypatch):
    for name in ("a.avi", "a", "a.GIF.txt"):
        with pytest.raises(UserError, match=r"--video: expected a file \.mp4 or \.gif"):
            film.check(tmp_path / name)
    words = r"--video: expected a folder that exists, got .*none; make it: mkdir -p /"
    with pytest.raises(UserError, match=words):
        film.check(tmp_path / "none" / "a.gif")
    (tmp_path / "folder.gif").mkdir()
    with pytest.raises(
        UserError, match=r"--video: expected a file, got a folder, .*folder\.gif"
    ):
        film.check(tmp_path / "folder.gif")
    (tmp_path / "there.gif").write_bytes(b"film")
    for name in ("there.gif", "new.gif"):
        film.check(tmp_path / name)
    assert {x.name for x in tmp_path.iterdir()} == {"folder.gif", "there.gif"}
    assert (tmp_path / "there.gif").read_bytes() == b"film"
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(UserError, match="run pip install imageio-ffmpeg, or name"):
        film.check(tmp_path / "a.mp4")
