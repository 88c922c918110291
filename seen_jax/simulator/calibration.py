"""How close a SEE folder is to the published numbers: a table and a contact sheet.

    python -m seen_jax.simulator.calibration DIR [--sheet FILE.png] [--panels DIR]

The table compares mean and standard deviation over all pixels after the resize to
90 x 90 with the published channel statistics, and the shares of ON and OFF pixels per
emotion and lighting with the range of the published figure. The sheet shows one clip
per emotion and per lighting, both named above it, intensity frame above event frame;
`--panels` adds the published panels above them. Works on any SEE folder.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from seen_jax import images, see, see_folder
from seen_jax.clip_files import Clip
from seen_jax.errors import refuse, run_command, shortened
from seen_jax.files import check_file, explained
from seen_jax.processes import map_in_processes

# The lowest and highest share of such pixels among the published figure's panels.
ON_RANGE, OFF_RANGE = (0.011, 0.047), (0.012, 0.067)
_ON_LEVEL, _OFF_LEVEL = 192, 64  # greys between the three levels are JPEG ringing
_LEFT, _TOP = 92, 44  # pixels of the sheet for titles
_PANELS = {("label", x): f"emotion-{x}" for x in see.EMOTIONS} | {
    ("lighting", x): f"lighting-{x if x == 'HDR' else x.lower()}" for x in see.LIGHTINGS
}


def clip_sums(clip: Clip) -> np.ndarray:
    """Sums over one clip: pixels, events' x and x^2, frames' x and x^2, and, at full
    size, pixels, ON, OFF; float64 (8,), x from 0 to 1 at 90 x 90."""
    sums = np.zeros(8)
    for event_file, frame_file in zip(clip.event_files, clip.frame_files, strict=True):
        full = images.decode_jpeg(event_file.read_bytes())
        event = images.resize(full) / 255.0
        frame = images.load_input(frame_file.read_bytes()) / 255.0
        sums += (
            event.size,
            event.sum(),
            np.square(event).sum(),
            frame.sum(),
            np.square(frame).sum(),
            full.size,
            (full > _ON_LEVEL).sum(),
            (full < _OFF_LEVEL).sum(),
        )
    return sums


def statistics(clips: list[Clip]) -> dict[str, np.ndarray]:
    """Returns event mean and std, frame mean and std, ON and OFF share by group.

    Groups are "all", the emotions and the lightings that occur; arrays float64 (6,).
    """
    sums: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(8))
    parts = map_in_processes(clip_sums, clips, "measure", progress=True)
    for clip, part in zip(clips, parts, strict=True):
        for group in ("all", clip.annotation.label, clip.metadata.get("lighting")):
            if group is not None:
                sums[group] += part
    first = ("all", *see.EMOTIONS, *see.LIGHTINGS)
    order = [x for x in first if x in sums] + sorted(set(sums) - set(first))
    return {group: _moments(sums[group]) for group in order}


def _moments(sums: np.ndarray) -> np.ndarray:
    small, event, event2, frame, frame2, full, on, off = sums

    def moments(total, squares):
        mean = total / small
        return mean, np.sqrt(max(squares / small - mean**2, 0.0))

    shares = on / full, off / full
    return np.array([*moments(event, event2), *moments(frame, frame2), *shares])


def table(measured: dict[str, np.ndarray]) -> str:
    """Formats the statistics as a Markdown table, the published line first."""
    lines = [
        "| | event mean | event std | intensity mean | intensity std | ON % | OFF % |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        f"| published | {see.EVENT_MEAN:.3f} | {see.EVENT_STD:.3f} "
        f"| {see.INTENSITY_MEAN:.3f} | {see.INTENSITY_STD:.3f} "
        f"| {_percent(ON_RANGE)} | {_percent(OFF_RANGE)} |",
    ]
    for group, x in measured.items():
        lines.append(
            f"| {group} | {x[0]:.3f} | {x[1]:.3f} | {x[2]:.3f} | {x[3]:.3f} "
            f"| {100 * x[4]:.2f} | {100 * x[5]:.2f} |"
        )
    return "\n".join(lines)


def _percent(limits: tuple[float, float]) -> str:
    return f"{100 * limits[0]:.1f} to {100 * limits[1]:.1f}"


def contact_sheet(clips: list[Clip], panels: Path | None = None) -> Image.Image:
    """Shows a busy moment of one clip per emotion (in normal light) and per lighting.

    Args:
      clips: of a checked SEE folder.
      panels: folder of the published panels, shown above; None shows none.
    """
    chosen, kinds = _examples(clips), ("intensity", "events")
    titles = [_title(clip) for clip in chosen.values()]
    blocks = [_block(titles, kinds, [_image_pair(clip) for clip in chosen.values()])]
    if panels is not None:
        titles = [f"{x} light" if kind == "lighting" else x for kind, x in chosen]
        above = [_panel_pair(panels, _PANELS.get(group)) for group in chosen]
        blocks.insert(0, _block(titles, [f"published\n{x}" for x in kinds], above))
    return Image.fromarray(np.vstack(blocks))


def _block(
    titles: Sequence[str], kinds: Sequence[str], pairs: Sequence[Sequence[np.ndarray]]
) -> Image.Image:
    """Draws a column for each pair below its title, and a row for each kind."""
    size = see.IMAGE_SIZE
    block = Image.new("L", (_LEFT + size * len(pairs), _TOP + size * 2), "white")
    draw, font = ImageDraw.Draw(block), ImageFont.load_default(14)
    for i, (title, pair) in enumerate(zip(titles, pairs, strict=True)):
        lines = [shortened(line, 22) for line in title.splitlines()]
        draw.text((_LEFT + i * size + 6, 4), "\n".join(lines), "black", font)
        for k, image in enumerate(pair):
            block.paste(Image.fromarray(image), (_LEFT + i * size, _TOP + k * size))
    for k, kind in enumerate(kinds):
        draw.text((6, _TOP + k * size + size // 2), kind, "black", font)
    return block


def _title(clip: Clip) -> str:
    """Returns what a clip shows and, where it is known, in which light."""
    lighting = clip.metadata.get("lighting")
    return clip.annotation.label + (f"\n{lighting} light" if lighting else "")


def _examples(clips: list[Clip]) -> dict[tuple[str, str], Clip]:
    """Picks a clip of each label and lighting, of other volunteers where it can."""
    shown: set[Any] = set()
    chosen = {}
    labels = {clip.annotation.label for clip in clips}
    first = see.EMOTIONS if labels <= {*see.EMOTIONS} else sorted(labels)
    wanted = [("label", x) for x in first] + [("lighting", x) for x in see.LIGHTINGS]
    for field, value in wanted:
        if field == "label":
            fit = [x for x in clips if x.annotation.label == value]
            fit = [x for x in fit if x.metadata.get("lighting") == "normal"] or fit
        else:
            fit = [x for x in clips if x.metadata.get("lighting") == value]
        fresh = [x for x in fit if x.metadata.get("volunteer") not in shown] or fit
        if fresh:
            chosen[field, value] = clip = fresh[len(fresh) // 2]
            shown.add(clip.metadata.get("volunteer"))
    return chosen


def _image_pair(clip: Clip) -> tuple[np.ndarray, np.ndarray]:
    """Returns the frame and event frame at the clip's 80th percentile of activity."""
    events = [images.decode_jpeg(x.read_bytes()) for x in clip.event_files]
    active = [((x > _ON_LEVEL) | (x < _OFF_LEVEL)).sum() for x in events]
    at = int(np.argsort(active)[int(0.8 * (len(active) - 1))])
    frame = images.decode_jpeg(clip.frame_files[at].read_bytes())
    return _scaled(frame), _scaled(events[at])


def _panel_pair(folder: Path, name: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Returns a published frame and event frame; white where there is none."""
    if name is None:
        white = np.full((see.IMAGE_SIZE, see.IMAGE_SIZE), 255, np.uint8)
        return white, white
    pair = []
    for kind in ("frame", "event"):
        path = folder / f"{name}_{kind}.png"
        with Image.open(path, formats=images.FORMATS) as image:
            pair.append(_scaled(np.asarray(image.convert("L"))))
    return pair[0], pair[1]


def _scaled(image: np.ndarray) -> np.ndarray:
    size = see.IMAGE_SIZE, see.IMAGE_SIZE
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.NEAREST))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m seen_jax.simulator.calibration")
    see_folder.add_folder_arguments(parser)
    parser.add_argument("--sheet", type=Path, help="PNG file of the contact sheet")
    parser.add_argument("--panels", type=Path, help="folder of published panels")
    args = parser.parse_args(argv)
    if args.sheet and args.sheet.suffix.lower() != ".png":
        refuse("sheet", "a name that ends in .png", repr(args.sheet.name))
    if args.sheet:
        check_file(args.sheet, "--sheet")
    if args.panels:
        files = (f"{x}_{y}.png" for x in _PANELS.values() for y in ("frame", "event"))
        if missing := next((x for x in files if not (args.panels / x).exists()), None):
            rule, got = "the published panels", f"no {missing} in {args.panels}"
            refuse("--panels", rule, got, "name another folder or leave it out")
    contents = see_folder.check(see_folder.folder_from_arguments(args), progress=True)
    contents.raise_problems()
    clips = list(contents.clips.values())
    if args.sheet:
        sheet = contact_sheet(clips, args.panels)
        with explained(args.sheet):
            sheet.save(args.sheet)
    print(table(statistics(clips)))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
