"""SOURCE -> periods as they end, each with the time by this computer's clock."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from seen_jax.cameras.network import is_live
from seen_jax.cameras.periods import PERIOD_US, Period, paced, periods
from seen_jax.cameras.simulated import is_simulated
from seen_jax.cameras.sources import open_source
from seen_jax.events import Recording

# How long past a period's end, in the camera's time, an intensity frame of it is waited
# for. Note: one that takes longer, because its exposure began late in the period, is
# shown by the next period; in a recording it would be shown by its own.
PATIENCE_US = 5_000
QUIET_S = 1.0  # of silence from a camera, after which a note says so
_CLOCK_S = 30.0
_JOIN_S = 2.0


@dataclass(frozen=True, eq=False)
class Arrival:
    """A period that is over.

    Attributes:
      period: of the stream.
      resolution: (width, height) of the sensor, pixels.
      ended_s: when the period ended, by the clock of `arrivals`.
      notes: what happened in the stream since the last one, a sentence each.
    """

    period: Period
    resolution: tuple[int, int]
    ended_s: float
    notes: tuple[str, ...] = ()


def has_end(source: str) -> bool:
    """Tells whether a SOURCE is a recording; a stream without an end is not."""
    return not (is_live(source) or is_simulated(source))


def arrivals(
    source: str,
    *,
    period_us: int | Fraction = PERIOD_US,
    patience_us: int = PATIENCE_US,
    speed: float = 1.0,
    seconds: float = math.inf,
    stop: threading.Event | None = None,
    recover: bool = False,
    on_packet: Callable[[Recording], tuple[str, ...]] = lambda packet: (),
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Arrival]:
    """Yields the periods of a source when they are over.

    Args:
      patience_us: of a source without an end, see `periods`.
      speed: of a recording: 2 plays twice as fast, 0 as fast as possible.
      seconds: since the first packet, after which it ends.
      stop: set it to end early.
      on_packet: called with every packet, before its periods; returns notes.

    Raises:
      UserError: as `open_source` and `periods`.
    """
    quiet_s = math.inf if has_end(source) else QUIET_S
    watch = _Watch(seconds, quiet_s, stop or threading.Event(), on_packet, clock)
    packets = watch.packets(open_source(source, recover=recover))
    if has_end(source):
        stream = paced(periods(packets, period_us=period_us), speed)
    else:
        stream = periods(packets, period_us=period_us, patience_us=patience_us)
    try:
        for period in stream:
            ended_s = clock() if has_end(source) else watch.when(period.end_us)
            yield Arrival(period, watch.resolution, ended_s, watch.take_notes())
            if watch.is_over():
                return
    except _Over:  # between two periods, of a stream that may be silent
        return


class _Over(Exception):
    pass


class _Watch:
    """Looks at packets as they come: their notes, the time between them, the clock."""

    def __init__(self, seconds, quiet_s, stop, on_packet, clock):
        self._seconds, self._quiet_s, self._stop = seconds, quiet_s, stop
        self._on_packet, self._clock = on_packet, clock
        self._host, self._last_us, self._notes = _HostClock(), -1, []
        self._begin_s = self._last_s = None
        self.resolution = None

    def packets(self, packets: Iterable[Recording]) -> Iterator[Recording]:
        for packet in packets:
            now = self._clock()
            self.resolution = packet.resolution
            if self._begin_s is None:
                self._begin_s = self._last_s = now
            if self.is_over():
                raise _Over
            self._notes += packet.notes
            if times := [x[-1] for x in (packet.events.t, packet.times_us) if len(x)]:
                self._see(int(max(times)), now, bool(packet.notes))
            self._notes += self._on_packet(packet)
            yield packet

    def _see(self, last_us, now, is_new):
        if now - self._last_s > self._quiet_s and not is_new:
            self._notes.append(f"nothing came for {now - self._last_s:.1f} s")
        if last_us < self._last_us or is_new:
            self._host = _HostClock()
        self._host.see(last_us, now)
        self._last_us, self._last_s = last_us, now

    def when(self, time_us: int) -> float:
        return self._host.when(time_us)

    def is_over(self) -> bool:
        late = self._clock() - self._begin_s >= self._seconds
        return late or self._stop.is_set()

    def take_notes(self) -> tuple[str, ...]:
        notes, self._notes = tuple(self._notes), []
        return notes


class _HostClock:
    """When the camera's timestamps were, by this computer's clock.

    No packet comes before its last timestamp, so the quickest one tells how the clocks
    differ; they drift apart, and only the last minute counts.
    """

    def __init__(self):
        self._now = self._before = math.inf  # the least difference, two parts of it
        self._since_s = -math.inf

    def see(self, last_us: int, now_s: float) -> None:
        if now_s - self._since_s > _CLOCK_S:
            self._now, self._before, self._since_s = math.inf, self._now, now_s
        self._now = min(self._now, now_s - last_us / 1e6)

    def when(self, time_us: int) -> float:
        return time_us / 1e6 + min(self._now, self._before)


def in_batches(
    stream: Iterator[Arrival], stop: threading.Event, quiet_s: float | None = None
) -> Iterator[list[Arrival]]:
    """Reads a stream in a thread, and yields all that has come meanwhile.

    Args:
      stream: as of `arrivals`.
      stop: the event that `stream` was given; set when the generator ends.
      quiet_s: seconds without an arrival after which an empty list is yielded, three
        times as long before the first one; None never yields one.

    Raises:
      Exception: whatever the stream raises.
    """
    waiting: queue.SimpleQueue = queue.SimpleQueue()
    thread = threading.Thread(target=_read, args=(stream, waiting), daemon=True)
    thread.start()
    timeout = quiet_s and 3 * quiet_s  # who reads a source has to start
    try:
        while True:
            try:
                items = [waiting.get(timeout=timeout)]
            except queue.Empty:
                yield []
                continue
            finally:
                timeout = quiet_s
            while not waiting.empty():
                items.append(waiting.get())
            if batch := [x for x in items if isinstance(x, Arrival)]:
                yield batch
            if len(batch) < len(items):
                if items[-1] is not None:
                    raise items[-1]
                return
    finally:
        stop.set()
        thread.join(_JOIN_S)


def _read(stream: Iterator[Arrival], waiting: queue.SimpleQueue) -> None:
    end = None
    try:
        for arrival in stream:
            waiting.put(arrival)
    except Exception as error:  # raised where it is read
        end = error
    waiting.put(end)
