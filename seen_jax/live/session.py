"""Batches of periods -> predictions, and what a page shows and asks for meanwhile."""

from __future__ import annotations

import contextlib
import math
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from seen_jax.cameras.recorder import Recorder
from seen_jax.errors import UserError, refuse
from seen_jax.live.engine import Engine, Moment
from seen_jax.live.intake import Arrival
from seen_jax.live.labels import Labels
from seen_jax.live.outlet import Outlet
from seen_jax.staleness import MAX_STALE_S

_DISK_S = 5.0  # between two looks at how full it is
LOW_BYTES = 2 << 30
_KEPT_NOTES = 4
_MAX_ASKED = 256  # between two moments


class Session:
    """A running program.

    Attributes:
      engine: that predicts.
      labels: that keys give.
      recorder: of what comes, or None.
      page: told of everything; or None.
      film: given every moment; or None.
    """

    def __init__(
        self,
        engine: Engine,
        labels: Labels,
        recorder: Recorder | None = None,
        folder: str | None = None,
        warn: Callable[[str], None] = lambda text: None,
    ):
        """Begins without a page.

        Args:
          folder: that is recorded into.
          warn: called with a sentence when nothing arrives any more, and when the page
            or the film ends early.
        """
        self._warn = warn
        self.engine, self.labels, self.recorder = engine, labels, recorder
        self.page: Outlet | None = None
        self.film: Outlet | None = None
        self._folder, self._asked = folder, deque(maxlen=_MAX_ASKED)
        self._notes: list[list] = []  # [number, text], the newest last
        self._num_notes, self._latest, self._quiet_since_s = 0, None, None
        self._free, self._looked_s, self._lost = None, -_DISK_S, set()

    def ask(self, asked: dict[str, Any]) -> None:
        """Takes what a viewer asks for, from any thread; see `page.COMMANDS`."""
        self._asked.append(asked)

    def play(
        self,
        batches: Iterable[list[Arrival]],
        show: Callable[[Moment], None],
        wait: bool = False,
    ) -> None:
        """Predicts until the batches end; a label that is held then ends, too.

        Args:
          batches: of `in_batches`; an empty one where nothing comes.
          show: called with each moment.
          wait: whether to wait for the film to be drawn; a camera does not wait.
        """
        try:
            for batch in batches:
                self._follow()
                if batch:
                    self._quiet_since_s = None
                elif self._quiet_since_s is None:
                    self._quiet_since_s = time.monotonic()
                    self._warn("no data from the source; waiting")
                self._predict(batch, show, wait)
                self._look_after_outlets()
        finally:
            self._follow()
            if self._latest is not None:
                self._try(self._end_clip, self._latest.time_us)

    def _predict(self, batch: list[Arrival], show, wait: bool) -> None:
        moments = self.engine.take(batch)
        for moment in moments:
            show(moment)
            self._see(moment)
            if self.film:
                self.film.put(moment, wait=wait)
        if self.page:
            status = self._status()
            for moment in moments or [None]:
                self.page.put((moment, status))

    def _see(self, moment: Moment) -> None:
        last, self._latest = self._latest, moment
        for note in moment.notes:
            self.say(note)
        if last is None:
            return
        if moment.time_us < last.time_us:
            self._try(self._end_clip, -math.inf)
            return
        is_gap = moment.number > last.number + 1
        if is_gap and moment.time_us - last.time_us > 1e6 * MAX_STALE_S:
            self._try(self._end_clip, last.time_us)  # none has such a gap in it

    def say(self, text: str) -> None:
        """Shows a sentence on the page until newer ones replace it."""
        self._num_notes += 1
        self._notes = [*self._notes, [self._num_notes, text]][-_KEPT_NOTES:]

    def _look_after_outlets(self) -> None:
        for name in ("page", "film"):
            outlet = getattr(self, name)
            if outlet and outlet.failure and name not in self._lost:
                self._lost.add(name)
                self._warn(f"the {name} ended: {outlet.failure}")

    def _status(self) -> dict[str, Any]:
        now = time.monotonic()
        if self._folder and now - self._looked_s > _DISK_S:
            with contextlib.suppress(OSError):
                self._free = shutil.disk_usage(self._folder).free
            self._looked_s = now
        low = self._free is not None and self._free < LOW_BYTES
        quiet_s = self._quiet_since_s
        return {
            "recording": self.recorder is not None and self.recorder.is_on,
            "recorder_failure": self.recorder.failure if self.recorder else "",
            "held": self.labels.held,
            "clips": dict(self.labels.counts),
            "volunteer": self.labels.volunteer,
            "notes": self._notes,
            "quiet_s": None if quiet_s is None else round(now - quiet_s + 1),
            "free_mb": round(self._free / 1e6) if low else None,
        }

    # ------------------------------------------------------------ what is asked for

    def _follow(self) -> None:
        for _ in range(len(self._asked)):
            asked = self._asked.popleft()
            asked_s = asked.pop("s")
            for name, value in asked.items():
                self._try(getattr(self, f"_{name}"), value, asked_s)

    def _try(self, action: Callable, *arguments: Any) -> None:
        try:
            action(*arguments)
        except UserError as error:
            self.say(str(error))

    def _crop(self, crop: list[int], asked_s: float) -> None:
        if self._latest is None:
            refuse("crop", "a period", "none yet", "wait until the camera sends")
        (height, width), (x, y, size) = self._latest.sensor.shape, crop
        if not (size >= 1 and x + size <= width and y + size <= height):
            refuse(
                "crop", f"X,Y,SIZE within {width} x {height}", ",".join(map(str, crop))
            )
        if self.labels.held:
            refuse("crop", "no label held", self.labels.held, "a clip has one crop")
        self.engine.move_crop((x, y, size))

    def _record(self, value: bool, asked_s: float) -> None:
        if self.recorder is None:
            remedy = "start again with --record=DIR"
            refuse("recording", "a folder to record into", "none", remedy)
        if self.recorder.failure and value:
            refuse("recording", "a recorder", self.recorder.failure, "start again")
        if not value:
            self._try(self._release, True, asked_s)  # a clip is within its file
        self.recorder.is_on = value

    def _volunteer(self, text: str, asked_s: float) -> None:
        if not text.strip():
            refuse("volunteer", "a name or number", "nothing", "say who is recorded")
        if self.labels.held:
            refuse("volunteer", "no label held", self.labels.held, "a clip has one")
        self.labels.volunteer = text.strip()

    def _press(self, name: str, asked_s: float) -> None:
        if self.recorder is None or not self.recorder.is_on:
            remedy = "start again with --record=DIR, or press R"
            refuse("label", "a recording", "none", remedy)
        if self._latest is None:
            refuse("label", "a period", "none yet", "wait until the camera sends")
        self._try(self._release, True, asked_s)
        self.labels.press(name, self._camera_us(asked_s))

    def _release(self, value: bool, asked_s: float) -> None:
        if self._latest is not None:
            self._end_clip(self._camera_us(asked_s))

    def _end_clip(self, time_us: float) -> None:
        """Ends what is held, if anything, at a time of the camera's clock."""
        if self.labels.held and self.recorder.failure:
            self.labels.held = ""
            refuse("label", "a recorder", self.recorder.failure, "start again")
        if clip := self.labels.release(time_us, self._latest.crop):
            self.recorder.mark(clip)

    def _camera_us(self, asked_s: float) -> float:
        """Returns when something was, by the camera's clock."""
        return self._latest.time_us + 1e6 * (asked_s - self._latest.ended_s)
