"""A camera -> an emotion for every period, as it happens.

    python -m seen_jax.live SOURCE --bundle=BUNDLE

SOURCE is a camera, a server, the simulator or a recording, see `seen_jax.cameras`. The
periods are those that `python -m seen_jax.event_folder` makes of a recording, and the
windows play through the code of the board.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from array import array
from collections.abc import Iterator, MutableSequence, Sequence
from fractions import Fraction

import numpy as np

from seen_jax import see
from seen_jax.cameras.recorder import Recorder
from seen_jax.errors import UserError, refuse, run_command
from seen_jax.event_folder import parse_crop
from seen_jax.events import PIXEL_RULES
from seen_jax.live.engine import Engine, Moment
from seen_jax.live.intake import QUIET_S, Arrival, arrivals, has_end, in_batches
from seen_jax.runtime import seen_runtime
from seen_jax.runtime.seen_runtime import Runtime


def _seconds(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise ValueError
    return value


def _speed(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1e6:
        raise ValueError
    return value


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m seen_jax.live",
        description="Predicts from a camera as it sends.",
    )
    text = (
        "usb, tcp://HOST:PORT[,PORT], unix:PATH,PATH, simulator[:SEED] or a recording"
    )
    parser.add_argument("source", metavar="SOURCE", help=text)
    parser.add_argument("--bundle", metavar="DIR", required=True)
    backends = ("auto", *seen_runtime.BACKENDS)
    parser.add_argument("--backend", default="auto", choices=backends)
    text = "refuse a bundle whose manifest has another hash than its export printed"
    parser.add_argument("--trust", metavar="SHA256", help=text)
    text = f"default: the {see.IMAGE_SIZE} x {see.IMAGE_SIZE} pixels of the centre"
    parser.add_argument("--crop", type=parse_crop, metavar="X,Y,SIZE", help=text)
    parser.add_argument("--pixel", choices=PIXEL_RULES, default="last")
    text = "of a recording: 1, its own; 0, as fast as it goes; default: %(default)s"
    parser.add_argument("--speed", type=_speed, default=1.0, help=text)
    text = "end so long after the first packet; default: with the source, or by Ctrl-C"
    parser.add_argument("--seconds", type=_seconds, default=float("inf"), help=text)
    text = "record into this folder, as AEDAT4, a file every ten minutes"
    parser.add_argument("--record", metavar="DIR", help=text)
    text = "print a JSON object a line for each prediction, all else on stderr"
    parser.add_argument("--json", action="store_true", help=text)
    return parser


def main(argv: list[str] | None = None) -> int:
    args = make_parser().parse_args(argv)
    runtime = seen_runtime.load(args.bundle, args.backend, args.trust)
    engine, latencies, status = Engine(runtime, args.crop, args.pixel), array("d"), 0
    recorder = Recorder(args.record) if args.record else None
    batches = _batches(args, runtime, recorder)
    try:
        _play(batches, engine, args, latencies)
    except KeyboardInterrupt:
        status = 130  # as a shell has it for Ctrl-C
    finally:
        batches.close()
        out = sys.stderr if args.json else sys.stdout
        if engine.counts["periods"]:
            print(summary(engine.counts, latencies, runtime), file=out, flush=True)
        if recorder:
            recorder.close()
            for path in recorder.files:
                print(f"{'recorded':<12}{path}", file=out, flush=True)
    if recorder and recorder.failure:
        raise UserError(f"the recording ended: {recorder.failure}")
    if not latencies and not status:
        span = seen_runtime.Stream(runtime).span
        got = f"{engine.counts['periods']} and no whole window"
        remedy = "play more, or see what was dropped"
        refuse(args.source, f"{span} periods in a row, a window", got, remedy)
    return status


def _batches(
    args: argparse.Namespace, runtime: Runtime, recorder: Recorder | None
) -> Iterator[list[Arrival]]:
    stop = threading.Event()
    stream = arrivals(
        args.source,
        period_us=10**6 / Fraction(runtime.manifest["frames_per_s"]),
        speed=args.speed,
        seconds=args.seconds,
        stop=stop,
        on_packet=recorder.write if recorder else lambda packet: (),
    )
    if has_end(args.source) and not args.speed:
        # As fast as it goes, each is predicted before the next one is read.
        return ([x] for x in stream)
    return in_batches(stream, stop, None if has_end(args.source) else QUIET_S)


def _play(
    batches: Iterator[list[Arrival]],
    engine: Engine,
    args: argparse.Namespace,
    latencies: MutableSequence[float],
) -> None:
    is_quiet = False
    for batch in batches:
        if not batch and not is_quiet:
            print(f"{args.source}: nothing comes; waiting", file=sys.stderr)
        is_quiet = not batch
        for moment in engine.take(batch):
            _show(moment, engine.runtime, args.json)
            if moment.latency_ms is not None:
                latencies.append(moment.latency_ms)


def _show(moment: Moment, runtime: Runtime, as_json: bool) -> None:
    for note in moment.notes:
        print(f"{moment.number:05d}  {note}", file=sys.stderr, flush=True)
    if moment.probabilities is None:
        return
    emotion = runtime.name(moment.probabilities)
    if as_json:
        print(json.dumps(as_fields(moment, runtime)), flush=True)
        return
    share = 100 * moment.probabilities.max()
    text = f"{moment.number:05d}  {emotion:<12} {share:3.0f} %"
    text += f"  {moment.latency_ms:6.1f} ms  {moment.events_per_s:9.0f} events/s"
    print(text + f"  shown: {moment.label}" * bool(moment.label), flush=True)


def as_fields(moment: Moment, runtime: Runtime) -> dict:
    """Returns what a line of --json has: a predicted moment without its images."""
    probabilities = moment.probabilities.tolist()
    return {
        "frame": moment.number,
        "time_us": moment.time_us,
        "emotion": runtime.name(moment.probabilities),
        "probabilities": dict(
            zip(runtime.manifest["classes"], probabilities, strict=True)
        ),
        "latency_ms": moment.latency_ms,
        "spikes": moment.spikes,
        "events_per_s": moment.events_per_s,
        "dropped": moment.dropped,
        "missed": moment.missed,
        "notes": moment.notes,
        "label": moment.label,
    }


def summary(
    counts: dict[str, int], latencies: Sequence[float], runtime: Runtime
) -> str:
    """Formats what became of the periods, and how long predictions took.

    Args:
      counts: of `Engine`.
      latencies: ms from a period's end to its prediction, of each.
      runtime: that predicted.
    """
    counts = dict(counts)
    events = counts.pop("events")
    texts = {
        "periods": ", ".join(f"{name} {x}" for name, x in counts.items()),
        "events": str(events),
        "latency": "none",
        "device": runtime.device,
    }
    if latencies:
        p50, p99 = np.percentile(latencies, (50, 99))
        texts["latency"] = f"p50 {p50:.1f} ms, p99 {p99:.1f} ms from a period's end"
    return "\n".join(f"{name:<12}{text}" for name, text in texts.items())


if __name__ == "__main__":
    sys.exit(run_command(main, seen_runtime.ERRORS))
