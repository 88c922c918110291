"""A camera -> an emotion for every period, as it happens.

    python -m seen_jax.live SOURCE --bundle=BUNDLE

SOURCE is a camera, a server, the simulator or a recording, see `seen_jax.cameras`. The
periods are those that `python -m seen_jax.event_folder` makes of a recording, and the
windows play through the code of the board. A page shows what happens, in a process of
its own, for which recognition never waits.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import secrets
import signal
import sys
import threading
from array import array
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from seen_jax import see
from seen_jax.cameras.recorder import Recorder
from seen_jax.errors import UserError, refuse, run_command
from seen_jax.event_folder import parse_crop
from seen_jax.events import PIXEL_RULES
from seen_jax.live import address, film
from seen_jax.live.engine import Engine, Moment
from seen_jax.live.intake import QUIET_S, Arrival, arrivals, has_end, in_batches
from seen_jax.live.labels import Labels, counts_of
from seen_jax.live.outlet import Outlet
from seen_jax.live.session import Session
from seen_jax.live.view import About
from seen_jax.runtime import seen_runtime
from seen_jax.runtime.seen_runtime import Runtime


def _seconds(text: str) -> float:
    return _number(text, lambda x: x > 0, "seconds above 0; leave it out for no end")


def _speed(text: str) -> float:
    rule = "0 to 1000000; 1 is a recording's own, 0 as fast as possible"
    return _number(text, lambda x: 0 <= x <= 1e6, rule)


def _number(text: str, is_good: Callable[[float], bool], rule: str) -> float:
    """Reads a number; `rule` ends in what to do, after a semicolon."""
    with contextlib.suppress(ValueError):
        if is_good(value := float(text)):
            return value
    expected, _, remedy = rule.partition("; ")
    raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}; {remedy}")


def _folder(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("expected a folder, got ''; name one")
    return text


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
    text = "1: a recording's own speed; 0: as fast as possible; default: %(default)s"
    parser.add_argument("--speed", type=_speed, default=1.0, help=text)
    text = "read what is left of an incomplete recording"
    parser.add_argument("--recover", action="store_true", help=text)
    text = "end so many seconds after the first packet; default: with the source"
    parser.add_argument("--seconds", type=_seconds, default=float("inf"), help=text)
    text = "record into this folder, as AEDAT4, a file every ten minutes"
    parser.add_argument("--record", type=_folder, metavar="DIR", help=text)
    text = "labels that keys give to recorded clips; default: the bundle's classes"
    parser.add_argument("--labels", metavar="A,B,...", help=text)
    text = "who is in front of the camera, for these clips; default: %(default)s"
    parser.add_argument("--volunteer", default="1", help=text)
    text = "print a line of JSON for each prediction, everything else on stderr"
    parser.add_argument("--json", action="store_true", help=text)
    text = "show no page"
    parser.add_argument("--no_page", action="store_true", help=text)
    text = "address of the page; any but this computer's own needs a token; default: "
    parser.add_argument("--host", default=address.LOOPBACK, help=f"{text}%(default)s")
    text = "port of the page; 0 takes a free one; default: %(default)s"
    parser.add_argument("--port", type=address.port, default=8765, help=text)
    text = "open the page in this computer's browser"
    parser.add_argument("--open", action="store_true", help=text)
    text = "write what the page shows as a film, .mp4 (needs imageio-ffmpeg) or .gif"
    parser.add_argument("--video", type=Path, metavar="FILE", help=text)
    return parser


def main(argv: list[str] | None = None) -> int:
    args = make_parser().parse_args(argv)
    out = sys.stderr if args.json else sys.stdout
    if args.video:
        film.check(args.video)
    runtime = seen_runtime.load(args.bundle, args.backend, args.trust)
    engine, latencies, status = Engine(runtime, args.crop, args.pixel), array("d"), 0

    def show(moment: Moment) -> None:
        _show(moment, runtime, args.json)
        if moment.latency_ms is not None:
            latencies.append(moment.latency_ms)

    with contextlib.ExitStack() as stack:
        session = _session(args, engine, stack, out)
        batches = _batches(args, runtime, session.recorder)
        try:
            session.play(batches, show, wait=not args.speed)
        except KeyboardInterrupt:
            status = 130  # as a shell has it for Ctrl-C
        finally:
            batches.close()
            if engine.counts["periods"]:
                print(summary(engine.counts, latencies, runtime), file=out, flush=True)
    for path in session.recorder.files if session.recorder else ():
        print(f"{'recorded':<12}{path}", file=out, flush=True)
    if session.recorder and session.recorder.failure:
        raise UserError(f"the recording ended: {session.recorder.failure}")
    if session.film:
        if session.film.failure:
            raise UserError(f"{args.video}: {session.film.failure}")
        print(f"{'film':<12}{args.video}", file=out, flush=True)
    if not latencies and not status:
        span = seen_runtime.Stream(runtime).span
        got = f"{engine.counts['periods']} and no whole window"
        remedy = "play more, or see what was dropped"
        refuse(args.source, f"{span} periods in a row, a window", got, remedy)
    return status


def _session(
    args: argparse.Namespace, engine: Engine, stack: contextlib.ExitStack, out
) -> Session:
    """Starts what runs beside recognition; the stack stops it."""
    runtime = engine.runtime
    names = args.labels.split(",") if args.labels else runtime.manifest["classes"]
    span_s = seen_runtime.Stream(runtime).span / runtime.manifest["frames_per_s"]
    labels = Labels(names, args.volunteer, 1e6 * span_s)
    about = About.of(args.source, runtime, labels.names, bool(args.record))
    listening = None if args.no_page else address.listen(args.host, args.port)
    recorder = Recorder(args.record) if args.record else None
    if recorder:
        stack.callback(recorder.close)
        labels.counts.update(counts_of(Path(args.record)))

    def warn(text: str) -> None:
        print(f"{args.source}: {text}", file=sys.stderr, flush=True)

    session = Session(engine, labels, recorder, args.record, warn)
    if args.video:
        session.film = Outlet("seen_jax.live.film", [args.video], max_waiting=1000)
        stack.callback(session.film.close)
        session.film.put(about)
    if listening:
        with listening:
            session.page = Outlet(
                "seen_jax.live.page",
                [listening.fileno()],
                [listening.fileno()],
                on_answer=session.ask,
            )
            is_own = address.is_loopback(args.host)
            token = "" if is_own else secrets.token_urlsafe(16)
            hosts = address.names(listening, args.host) if is_own else ()
            urls = address.urls(listening, args.host, token)
        stack.callback(session.page.close, timeout_s=5)
        session.page.put((about, token, frozenset(hosts)))
        for url in urls:
            print(f"{'page':<12}{url}", file=out, flush=True)
        if args.open:
            address.open_in_browser(urls[0])
    return session


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
        recover=args.recover,
        on_packet=recorder.write if recorder else lambda packet: (),
    )
    if has_end(args.source) and not args.speed:
        # At full speed, each is predicted before the next one is read.
        return ([x] for x in stream)
    return in_batches(stream, stop, None if has_end(args.source) else QUIET_S)


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
        "operations": moment.operations,
        "events_per_s": moment.events_per_s,
        "dropped": moment.dropped,
        "missed": moment.missed,
        "notes": moment.notes,
        "label": moment.label,
    }


def summary(
    counts: dict[str, int], latencies: Sequence[float], runtime: Runtime
) -> str:
    """Formats the counts of periods, and how long (ms) predictions took."""
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
    for number in (signal.SIGTERM, signal.SIGHUP):  # as Ctrl-C: what waits is recorded
        signal.signal(number, signal.default_int_handler)
    sys.exit(run_command(main, seen_runtime.ERRORS))
