"""A DAVIS recording -> the images of one clip, in SEE's form.

    python -m seen_jax.event_folder RECORDING.aedat4 --out DIR

    DIR/event/00000.jpg ...    event frames of one period each
    DIR/frame/00000.jpg ...    the last intensity frame at or before each period's end

The first period begins with the recording's first event or earlier, the last one holds
its last event, so that no event is lost whatever the crop. With `--start_s` and
`--end_s` a part of the recording becomes the clip. The crop cuts pixels and never
resizes. SEE's images are 180 x 180 pixels of a 346 x 260 sensor; which part is
not published, and the default is the centre.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from seen_jax import see
from seen_jax.cameras.sources import read_recording
from seen_jax.errors import counted, refuse, run_command
from seen_jax.events import (
    PIXEL_RULES,
    Recording,
    accumulate,
    count_per_period,
    num_periods_of,
    period_edges,
)
from seen_jax.files import check_free, check_writable, explained, new_folder
from seen_jax.images import save_frames
from seen_jax.staleness import add_reading_arguments, check_stale

_MAX_PERIODS = 100_000  # 00000 to 99999
_SHEET_COLUMNS = 8
_SHEET_PANEL, _SHEET_GAP, _SHEET_TEXT = 120, 6, 20  # pixels; panels are not smaller


@dataclass(frozen=True, eq=False)
class ClipImages:
    """The images of a cropped recording, N periods of it.

    Attributes:
      part: the cropped recording.
      event_frames, intensity_frames: uint8 (N, H, W), aligned in time.
      shown: int64 (N,), the intensity frame of the recording that each period shows.
      edges_us: int64 (N + 1,), see `seen_jax.events.period_edges`.
      counts: int64 (N,), events of each period; they sum to all events of the part.
    """

    part: Recording
    event_frames: np.ndarray
    intensity_frames: np.ndarray
    shown: np.ndarray
    edges_us: np.ndarray
    counts: np.ndarray


def centre_square(resolution: tuple[int, int]) -> tuple[int, int, int]:
    """Returns SEE's (x, y, size) in the middle of (width, height) pixels."""
    (width, height), size = resolution, see.IMAGE_SIZE
    return (width - size) // 2, (height - size) // 2, size


def intensity_index(times_us: np.ndarray, ends_us: np.ndarray) -> np.ndarray:
    """Finds the last intensity frame at or before each end.

    A period that ends before the first intensity frame gets the first one, so that its
    events stay.

    Args:
      times_us: int64 (F,), never decreasing, F at least 1.
      ends_us: int64 (N,).

    Returns:
      int64 (N,), from 0 to F - 1.
    """
    return np.maximum(np.searchsorted(times_us, ends_us, side="right") - 1, 0)


def cut(
    recording: Recording, start_s: float, end_s: float, period_us: int | Fraction
) -> tuple[Recording, int, int]:
    """Takes the events of the whole periods between two times.

    A period that the end cuts is left out. Intensity frames stay, since the first
    period may show one from before the start.

    Args:
      recording: at least one event and one intensity frame.
      start_s, end_s: seconds from the first event or intensity frame.

    Returns:
      The events of these periods, when the first one begins, and how many they are.

    Raises:
      UserError: the times are not within the recording, or leave no period or event.
    """
    events, times_us = recording.events, recording.times_us
    origin = min(int(events.t[0]), int(times_us[0]))
    span_us = max(int(events.t[-1]), int(times_us[-1])) + 1 - origin
    if not 0 <= start_s < end_s <= span_us / 1e6:
        rule = f"0 <= start_s < end_s <= {span_us / 1e6:.6f}, the recording's length"
        refuse("start_s, end_s", rule, f"{start_s:g} and {end_s:g}")
    start_us, end_us = (origin + round(x * 1e6) for x in (start_s, end_s))
    num_periods = int((end_us - start_us) // period_us)
    if not 1 <= num_periods <= _MAX_PERIODS:
        rule = f"1 to {_MAX_PERIODS} periods of {float(period_us):g} us"
        refuse("start_s, end_s", rule, num_periods)
    edges_us = period_edges(start_us, period_us, num_periods)
    events = events.take(slice(*np.searchsorted(events.t, edges_us[[0, -1]])))
    if not len(events):
        refuse("start_s, end_s", "at least one event", "none", "take another part")
    return replace(recording, events=events), start_us, num_periods


def clip_images(
    recording: Recording,
    *,
    crop: tuple[int, int, int],
    start_us: int | None = None,
    period_us: int | Fraction = see.FRAME_PERIOD_US,
    pixel: str = "last",
    num_periods: int | None = None,
) -> ClipImages:
    """Cuts, accumulates and aligns a recording.

    Args:
      crop: (x, y, size) in pixels, for example from `centre_square`.
      start_us: where the first period begins; None takes the first event.
      pixel: see `seen_jax.events.accumulate`.
      num_periods: None takes those up to the last event.

    Raises:
      UserError: the crop leaves the sensor, the period or the rule is not valid, an
        event comes before the start, or the periods are too many for five digits.
    """
    events = recording.events
    part = recording.crop(*crop)
    first_us = int(events.t[0])
    start_us = first_us if start_us is None else start_us
    if start_us > first_us:
        rule = f"at most {first_us}, the first event's time"
        refuse("start_us", rule, start_us, "no event is left out")
    if num_periods is None:
        num_periods = num_periods_of(events, start_us, period_us)
    if num_periods > _MAX_PERIODS:
        rule = f"at most {_MAX_PERIODS} periods, numbered by five digits"
        got = f"{num_periods} from {start_us} to {events.t[-1]} us"
        remedy = "start later, take longer periods, or look for a wrong timestamp"
        refuse("start_us, period_us", rule, got, remedy)
    periods = dict(start_us=start_us, period_us=period_us, num_periods=num_periods)
    edges_us, shape = period_edges(**periods), part.resolution[::-1]
    shown = intensity_index(part.times_us, edges_us[1:])
    return ClipImages(
        part=part,
        event_frames=accumulate(part.events, **periods, shape=shape, pixel=pixel),
        intensity_frames=part.intensity_frames[shown],
        shown=shown,
        edges_us=edges_us,
        counts=count_per_period(part.events, **periods),
    )


def summary(recording: Recording, images: ClipImages) -> str:
    """Formats the contents of a recording and of the images of it."""
    events, part = recording.events, images.part
    width, height = recording.resolution
    num_on = int(part.events.p.sum())
    num_frames, num_shown = len(part.times_us), len(np.unique(images.shown))
    edges_us, counts = images.edges_us, images.counts
    num_early = int((edges_us[1:] < part.times_us[0]).sum())
    last = (events.t[-1] + 1 - edges_us[-2]) / (edges_us[-1] - edges_us[-2])
    on, off = (
        100 * (images.event_frames == level).mean()
        for level in (see.EVENT_ON, see.EVENT_OFF)
    )
    early = f", the first one also for {counted(num_early, 'earlier period')}"
    return (
        f"recording   {counted(len(events), 'event')}, "
        f"{counted(num_frames, 'intensity frame')}, "
        f"{width} x {height}, {(events.t[-1] - events.t[0]) / 1e6:.3f} s\n"
        f"crop        {part.resolution[0]} x {part.resolution[1]}: "
        f"{counted(len(part.events), 'event')}, {num_on} ON, "
        f"{len(part.events) - num_on} OFF\n"
        f"periods     {len(counts)} from {edges_us[0]} us on: "
        f"{counted(counts.sum(), 'event')}, {counts.min()} to {counts.max()} in one; "
        f"the recording ends at {100 * last:.0f} % of the last\n"
        f"pixels      {on:.1f} % ON, {off:.1f} % OFF\n"
        f"intensity   {num_shown} of {num_frames} frames shown{early * bool(num_early)}"
    )


def contact_sheet(images: ClipImages) -> Image.Image:
    """Draws intensity frame above event frame for up to 8 evenly spaced periods."""
    count, size = images.event_frames.shape[:2]
    chosen = np.unique(np.linspace(0, count - 1, _SHEET_COLUMNS).round().astype(int))
    panel = size * max(1, math.ceil(_SHEET_PANEL / size))  # whole pixels stay square
    step = panel + _SHEET_GAP
    height = 2 * step + _SHEET_GAP + _SHEET_TEXT
    sheet = Image.new("L", (len(chosen) * step + _SHEET_GAP, height), 255)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for column, i in enumerate(chosen):
        left = _SHEET_GAP + column * step
        for row, frames in enumerate((images.intensity_frames, images.event_frames)):
            image = Image.fromarray(frames[i]).resize((panel, panel), Image.NEAREST)
            sheet.paste(image, (left, _SHEET_GAP + row * step))
        time_ms = (images.edges_us[i] - images.edges_us[0]) / 1000
        place = left + panel // 2, height - _SHEET_TEXT // 2 - 4
        draw.text(place, f"{i:05d}  {time_ms:.0f} ms", 64, font, anchor="mm")
    return sheet


def parse_crop(text: str) -> tuple[int, int, int]:
    """Reads `X,Y,SIZE`."""
    fields = text.split(",")
    if len(fields) != 3 or not all(x.isascii() and x.isdigit() for x in fields):
        raise argparse.ArgumentTypeError(
            f"expected X,Y,SIZE in pixels, such as 83,40,180, got {text!r}; "
            "write three whole numbers without spaces"
        )
    x, y, size = map(int, fields)
    return x, y, size


def parse_period(text: str) -> Fraction:
    """Reads microseconds: `33333`, or a fraction such as `1000000/30`."""
    try:
        period = Fraction(text)
    except (ValueError, ZeroDivisionError):
        period = Fraction(0)
    if period < 1:
        raise argparse.ArgumentTypeError(
            f"expected microseconds of at least 1, got {text!r}; "
            f"write {see.FRAME_PERIOD_US} or 1000000/30"
        )
    return period


def parse_preview(text: str) -> Path:
    """Reads the name of a PNG."""
    if not text.lower().endswith(".png"):
        raise argparse.ArgumentTypeError(
            f"expected a name that ends in .png, got {text!r}; add the ending"
        )
    return Path(text)


def add_image_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --period_us, --crop and --pixel: how events become images."""
    text = "length of a period; a fraction is exact; default: %(default)s"
    period = Fraction(see.FRAME_PERIOD_US)
    parser.add_argument("--period_us", type=parse_period, default=period, help=text)
    text = f"default: the {see.IMAGE_SIZE} x {see.IMAGE_SIZE} pixels of the centre"
    parser.add_argument("--crop", type=parse_crop, metavar="X,Y,SIZE", help=text)
    text = "what decides a pixel, last event or sum; default: %(default)s"
    parser.add_argument("--pixel", choices=PIXEL_RULES, default="last", help=text)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m seen_jax.event_folder",
        description="Turns a DAVIS recording into event frames and intensity frames.",
    )
    parser.add_argument("recording", type=Path, help="a recording, such as .aedat4")
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    text = "timestamp where the first period begins; default: the first event's"
    parser.add_argument("--start_us", type=int, help=text)
    for name, what in (("--start_s", "begins"), ("--end_s", "ends")):
        text = f"where a part {what}, from the recording's first event or intensity "
        text += "frame; a period that the end cuts is left out"
        parser.add_argument(name, type=float, metavar="SECONDS", help=text)
    add_image_arguments(parser)
    add_reading_arguments(parser)
    parser.add_argument("--format", choices=("jpg", "png"), default="jpg")
    text, name = "a contact sheet", "FILE.png"
    parser.add_argument("--preview", type=parse_preview, metavar=name, help=text)
    args = parser.parse_args(argv)
    if (args.start_s is None) != (args.end_s is None):
        parser.error("expected --start_s and --end_s together, got one of them")
    if args.start_s is not None and args.start_us is not None:
        parser.error("expected one of --start_s and --start_us, got both")
    check_free(args.out)
    if args.preview:
        check_writable(args.preview.parent)
    recording = read_recording(args.recording, recover=args.recover)
    for note in recording.notes:
        print(f"note        {note}")
    crop = args.crop or centre_square(recording.resolution)
    options = {"crop": crop, "period_us": args.period_us, "pixel": args.pixel}
    start_us, count = args.start_us, None
    if args.start_s is not None:
        span = args.start_s, args.end_s, args.period_us
        recording, start_us, count = cut(recording, *span)
    images = clip_images(recording, start_us=start_us, num_periods=count, **options)
    stale = check_stale(recording.times_us, images.edges_us, args.max_stale_s)
    if args.preview:  # first, so that a preview that fails leaves no folder
        with explained(args.preview):
            args.preview.parent.mkdir(parents=True, exist_ok=True)
            contact_sheet(images).save(args.preview)
    with new_folder(args.out) as folder:
        save_frames(folder / "event", images.event_frames, args.format)
        save_frames(folder / "frame", images.intensity_frames, args.format)
    print(summary(recording, images))
    if stale:
        print(f"note        {stale}")
    print("options     crop {},{},{}".format(*crop), end=", ")
    print(f"period {float(args.period_us):g} us, pixel {args.pixel}")
    count = len(images.event_frames)
    print(f"wrote       {args.out}: {count} event frames, {count} intensity frames")
    if args.preview:
        print(f"preview     {args.preview}")
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
