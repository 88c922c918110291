"""A camera's recording -> an emotion for every frame, on the computer at hand.

    python -m seen_jax.runtime RECORDING.aedat4 --bundle BUNDLE

The recording becomes event frames and intensity frames as `python -m
seen_jax.event_folder` makes them, and they play through the code of the board.

Note: nothing is written as JPEG in between, so the grey levels differ slightly from
those of a folder of images.
"""

from __future__ import annotations

import argparse
import sys
from fractions import Fraction
from pathlib import Path

from seen_jax import see
from seen_jax.cameras.sources import read_recording
from seen_jax.errors import run_command
from seen_jax.event_folder import centre_square, clip_images, parse_crop, parse_period
from seen_jax.events import PIXEL_RULES
from seen_jax.runtime import seen_runtime
from seen_jax.staleness import add_reading_arguments, check_stale


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m seen_jax.runtime",
        description="Plays a DAVIS recording through a bundle.",
    )
    parser.add_argument("recording", type=Path, help="such as .aedat4")
    seen_runtime.add_options(parser, required=True)
    parser.add_argument(
        "--crop",
        type=parse_crop,
        metavar="X,Y,SIZE",
        help=f"default: the {see.IMAGE_SIZE} x {see.IMAGE_SIZE} pixels of the centre",
    )
    parser.add_argument(
        "--start_us", type=int, help="where the first period begins; default: event 1"
    )
    parser.add_argument(
        "--period_us",
        type=parse_period,
        help="length of a period; default: of the bundle",
    )
    parser.add_argument("--pixel", choices=PIXEL_RULES, default="last")
    add_reading_arguments(parser)
    args = parser.parse_args(argv)
    runtime = seen_runtime.load(args.bundle, args.backend, args.trust)
    frames_per_s = Fraction(runtime.manifest["frames_per_s"])
    usual = see.FRAME_PERIOD_US if frames_per_s == see.FRAMES_PER_S else None
    recording = read_recording(args.recording, recover=args.recover)
    for note in recording.notes:
        print(f"{args.recording}: {note}", file=sys.stderr)
    images = clip_images(
        recording,
        crop=args.crop or centre_square(recording.resolution),
        start_us=args.start_us,
        period_us=args.period_us or Fraction(usual or 10**6 / frames_per_s),
        pixel=args.pixel,
    )
    stale = check_stale(recording.times_us, images.edges_us, args.max_stale_s)
    if stale:
        print(f"{args.recording}: {stale}", file=sys.stderr)
    frames = [
        dict(enumerate(x)) for x in (images.event_frames, images.intensity_frames)
    ]
    seen_runtime.play(runtime, frames, args.rate, args.json)


if __name__ == "__main__":
    sys.exit(run_command(main, seen_runtime.ERRORS))
