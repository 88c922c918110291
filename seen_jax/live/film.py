"""Moments -> a film of what the page shows.

    python -m seen_jax.live.film MOMENTS ANSWERS FILE

The two are descriptors of pipes; the first message is an `About`. The film runs by the
camera's clock: during a missing period the picture stands still.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import signal
import sys
from collections import deque
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from seen_jax.errors import refuse, run_command
from seen_jax.files import check_file, explained, new_file
from seen_jax.live.engine import Moment
from seen_jax.live.view import HISTORY_US, About, Steady, brightening
from seen_jax.runtime.seen_runtime import resize

ENDINGS = ".mp4", ".gif"
SIZE = WIDTH, HEIGHT = 800, 464
GIF_RATE, MP4_RATE = 10, 30  # frames a second
GIF_S = 60.0  # the most of a GIF, whose file would become too large
_PROBE_BYTES = 1 << 20
_PAPER, _INK, _FAINT = "#16181d", "#f2f2f2", "#8a8f98"
_GREEN, _RED = "#35c46a", "#ff5a5f"
_EDGE, _GREYS = 12, 24
_PAST_AREA, _TRUTH = 54, 5
_PAST = _PAST_AREA + 3 + _TRUTH


def check(path: Path) -> None:
    """Raises `UserError` where no film of that name can be written."""
    if path.suffix not in ENDINGS:
        refuse("--video", f"a file {' or '.join(ENDINGS)}", path, "give another name")
    check_file(path, "--video")
    if path.suffix == ".mp4":
        try:
            import imageio_ffmpeg  # noqa: F401
        except ImportError:
            remedy = "run pip install imageio-ffmpeg, or name a .gif"
            refuse("--video", "imageio-ffmpeg for .mp4", "no such package", remedy)


class Painter:
    """Draws the newest moment and the history before it.

    Attributes:
      newest: the latest moment taken, or None.
    """

    def __init__(self, about: About):
        self._about, self._steady, self.newest = about, Steady(), None
        self._strip: dict[int, tuple[Image.Image, Image.Image]] = {}
        self._history: deque = deque()
        self._fonts = {size: ImageFont.load_default(size) for size in (12, 14, 34)}
        self._colours = np.array([_rgb(x) for x in about.colours], np.uint8)
        self._last = None  # the latest moment with a prediction

    def draw(self) -> Image.Image:
        """Returns a picture, RGB, of `SIZE`; there is a moment."""
        moment = self.newest
        picture = Image.new("RGB", SIZE, _PAPER)
        pen = ImageDraw.Draw(picture)
        self._head(pen, moment)
        self._images(picture, pen, moment, top=38, size=190)
        self._answer(pen, left=2 * (190 + _EDGE) + _EDGE, top=38, height=190)
        bottom = self._frames(picture, pen, moment, top=242)
        self._past(picture, pen, moment, top=bottom + 8)
        return picture

    def take(self, moment: Moment) -> None:
        """Takes a moment."""
        self.newest = moment
        if self._history and moment.time_us <= self._history[-1][0]:
            self._history.clear()
            self._strip.clear()
        factor = brightening(moment.intensity_frame)
        light = np.minimum(resize(moment.intensity_frame) * factor, 255).astype(
            np.uint8
        )
        pair = light, resize(moment.event_frame)
        self._strip[moment.number] = tuple(map(Image.fromarray, pair))
        for number in [*self._strip]:
            if number <= moment.number - self._about.strip:
                del self._strip[number]
        self._history.append((moment.time_us, self._column(moment)))
        while self._history[0][0] < moment.time_us - HISTORY_US:
            self._history.popleft()
        if moment.probabilities is not None:
            self._last = moment
            best = self._about.classes[int(moment.probabilities.argmax())]
            self._steady.see(best, moment.time_us)

    def _text(self, pen, place, text, size=14, fill=_INK, anchor="la") -> None:
        pen.text(place, text, fill=fill, font=self._fonts[size], anchor=anchor)

    def _head(self, pen, moment: Moment) -> None:
        about = self._about
        self._text(pen, (_EDGE, 10), "SEEN live")
        words = f"{about.source}   {about.setting}   {about.frames_per_s:g} Hz"
        if moment.latency_ms is not None:
            words += f"   {moment.latency_ms:.1f} ms"
        words += (
            f"   {moment.dropped} dropped   {moment.events_per_s / 1e3:.0f} k events/s"
        )
        self._text(pen, (WIDTH - _EDGE, 12), words, 12, _FAINT, "ra")

    def _images(self, picture, pen, moment: Moment, top: int, size: int) -> None:
        factor = brightening(moment.intensity_frame)
        light = np.minimum(moment.sensor * factor, 255).astype(np.uint8)
        height, width = light.shape
        scale = size / max(height, width)
        shape = round(width * scale), round(height * scale)
        picture.paste(Image.fromarray(light).resize(shape), (_EDGE, top))
        x, y, side = (value * scale for value in moment.crop)
        if side < size:
            box = (_EDGE + x, top + y, _EDGE + x + side, top + y + side)
            pen.rectangle(box, outline=_GREEN, width=2)
        if factor > 1:
            text = f"shown {factor:g} times as bright"
            self._text(pen, (_EDGE + 4, top + size - 4), text, 12, _INK, "ld")
        events = Image.fromarray(moment.event_frame).resize((size, size))
        picture.paste(events, (2 * _EDGE + size, top))

    def _answer(self, pen, left: int, top: int, height: int) -> None:
        if self._last is None:
            self._text(pen, (left, top), "the first window fills", 14, _FAINT)
            return
        about, shares = self._about, self._last.probabilities
        name = self._steady.name
        share = shares[about.classes.index(name)]
        self._text(pen, (left, top - 4), name, 34)
        self._text(
            pen, (WIDTH - _EDGE, top + 12), f"{100 * share:.0f} %", 14, _INK, "ra"
        )
        step = (height - 46) / len(shares)
        begin, length = left + 90, WIDTH - _EDGE - left - 90
        for i, (text, colour) in enumerate(
            zip(about.classes, about.colours, strict=True)
        ):
            y = top + 48 + i * step
            self._text(pen, (left, y + step / 2 - 2), text[:12], 12, _INK, "lm")
            box = begin, y + 2, begin + max(1, shares[i] * length), y + step - 5
            pen.rectangle(box, fill=colour)

    def _frames(self, picture, pen, moment: Moment, top: int) -> int:
        about = self._about
        pitch = (WIDTH - 2 * _EDGE) / about.strip
        side = math.floor(pitch) - 3
        newest = moment.number if self._last is None else self._last.number
        for age in range(about.strip):
            pair = self._strip.get(moment.number - age)
            left = round(_EDGE + (about.strip - 1 - age) * pitch)
            is_read = moment.number == newest
            kinds = (about.intensity_ages, _GREEN), (about.event_ages, _RED)
            for row, (ages, colour) in enumerate(kinds):
                y = top + row * (side + 5)
                if pair:
                    picture.paste(pair[row].resize((side, side)), (left, y))
                if is_read and age in ages:
                    box = left - 2, y - 2, left + side + 1, y + side + 1
                    pen.rectangle(box, outline=colour, width=2)
        return top + 2 * (side + 5)

    def _column(self, moment: Moment) -> np.ndarray:
        """Draws a moment of the past: uint8 (_PAST, 3), the truth at the lower end."""
        column = np.full((_PAST, 3), _rgb(_PAPER), np.uint8)
        if moment.probabilities is not None:
            shares = np.cumsum(moment.probabilities, dtype=np.float64)
            edges = np.round(_PAST_AREA * np.r_[0, shares / shares[-1]]).astype(int)
            column[:_PAST_AREA] = np.repeat(self._colours, np.diff(edges), axis=0)[::-1]
        if moment.label in self._about.classes:
            column[-_TRUTH:] = self._colours[self._about.classes.index(moment.label)]
        return column

    def _past(self, picture, pen, moment: Moment, top: int) -> None:
        width = WIDTH - 2 * _EDGE
        ends_us = [time_us for time_us, _ in self._history]
        pixels_us = moment.time_us - HISTORY_US * (width - 1 - np.arange(width)) / width
        places = np.searchsorted(ends_us, pixels_us)
        columns = np.stack([column for _, column in self._history])
        image = columns[np.minimum(places, len(columns) - 1)].swapaxes(0, 1).copy()
        image[:, pixels_us < ends_us[0] - 1e6 / self._about.frames_per_s] = _rgb(_PAPER)
        picture.paste(Image.fromarray(image), (_EDGE, top))
        text = f"the last {HISTORY_US / 1e6:.0f} s"
        if moment.label:
            text += f"; the line below is what the camera saw, now {moment.label}"
        self._text(pen, (_EDGE, top + _PAST + 3), text, 12, _FAINT)


def _rgb(colour: str) -> list[int]:
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def _pictures(
    painter: Painter, moments: Iterator[Moment], rate: float
) -> Iterator[Image.Image]:
    """Yields a picture for every 1/rate s of the camera's time.

    It shows the newest moment in the middle of that time: timestamps are rounded, so
    that at its beginning the newest would now and then be the one before.
    """
    due_us = 0.0
    for moment in moments:
        before = painter.newest
        if before is None or moment.time_us <= before.time_us:
            due_us = moment.time_us + 0.5e6 / rate
        elif due_us < moment.time_us:
            picture = painter.draw()
            while due_us < moment.time_us:
                yield picture
                due_us += 1e6 / rate
        painter.take(moment)
    if painter.newest is not None:
        yield painter.draw()


def _write_gif(path: Path, pictures: Iterator[Image.Image], colours: list[str]) -> None:
    palette = Image.new("P", (1, 1))
    wanted = [*colours, _PAPER, _INK, _FAINT, _GREEN, _RED]
    levels = [round(255 * i / (_GREYS - 1)) for i in range(_GREYS)]
    values = [x for level in levels for x in (level,) * 3]
    values += [x for colour in wanted for x in _rgb(colour)]
    palette.putpalette(values)
    few = (
        picture.quantize(palette=palette, dither=Image.Dither.NONE)
        for picture in itertools.islice(pictures, round(GIF_S * GIF_RATE))
    )
    options = {"duration": 1000 // GIF_RATE, "loop": 0, "optimize": False}
    next(few).save(path, save_all=True, append_images=few, **options)


def _write_mp4(path: Path, pictures: Iterator[Image.Image]) -> None:
    import imageio_ffmpeg

    options = dict(quality=7, macro_block_size=16, ffmpeg_log_level="quiet")
    writer = imageio_ffmpeg.write_frames(str(path), SIZE, fps=MP4_RATE, **options)
    writer.send(None)
    try:
        for picture in pictures:
            writer.send(picture.tobytes())
    except OSError as error:
        with open(path, "ab") as file:  # raises why, in one line, where it is the disk
            file.write(bytes(_PROBE_BYTES))
        raise OSError("ffmpeg that ended") from error
    finally:
        writer.close()


def write(path: Path, about: About, moments: Iterator[Moment]) -> None:
    """Writes a film of moments in time, whose name has one of `ENDINGS`.

    Raises:
      UserError: it cannot be written.
    """
    painter, is_gif = Painter(about), path.suffix == ".gif"
    pictures = _pictures(painter, moments, GIF_RATE if is_gif else MP4_RATE)
    if (first := next(pictures, None)) is None:
        refuse(path, "at least one period to show", "none", "play more")
    pictures = itertools.chain([first], pictures)
    with explained(path), new_file(path, path.suffix) as part:
        if is_gif:
            _write_gif(part, pictures, about.colours)
        else:
            _write_mp4(part, pictures)
        for _ in moments:  # behind the end of a GIF
            pass


def _received(things: Connection) -> Iterator[Moment]:
    try:
        while True:
            yield things.recv()
    except (EOFError, OSError):
        return


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("things", "answers"):
        parser.add_argument(name, type=int)
    parser.add_argument("file", type=Path)
    args = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends when its feeder does
    os.nice(10)
    with Connection(args.things, writable=False) as things:
        about, moments = things.recv(), _received(things)
        write(args.file, about, moments)


if __name__ == "__main__":
    sys.exit(run_command(main, (RuntimeError,)))
