"""A program that runs: labels become rows, and no page or film holds it up."""

import csv
import os
import signal
import socket
import time

import numpy as np
import pytest

from seen_jax import recordings
from seen_jax.cameras.recorder import CLIPS, Recorder
from seen_jax.errors import UserError
from seen_jax.live import address, session
from seen_jax.live.engine import Engine
from seen_jax.live.labels import Labels, counts_of
from seen_jax.live.outlet import Outlet
from seen_jax.live.session import Session
from tests.live.streams import (
    PERIOD_US,
    SIZE,
    about_of,
    in_packets,
    in_time,
    recording_of,
)
from tests.runtime.bundles import plain_runtime

LEAST_US = 130_000
CROP = 5, 0, SIZE


class Played:
    """A session over packets; what is asked for at a second is asked then.

    Attributes:
      moments: all of them.
      notes: all sentences of the page, in their order.
      warnings: all sentences of the terminal.
    """

    def __init__(self, packets, script=(), folder=None, **options):
        """Plays all.

        Args:
          packets: or None, where nothing comes for a while.
          script: (seconds of the camera's clock, what is asked for).
          folder: that is recorded into, or None.
        """
        self.moments, self.notes, self.warnings = [], [], []
        self.recorder = Recorder(folder, **options) if folder else None
        labels = Labels(["calm", "fear", "joy"], "7", LEAST_US)
        engine = Engine(plain_runtime(), CROP, clock=lambda: 0.0)
        rest = self.recorder, folder and str(folder), self.warnings.append
        self.session = Session(engine, labels, *rest)
        say = self.session.say
        self.session.say = lambda text: (self.notes.append(text), say(text))
        self._script = [*script]
        try:
            self.session.play(self._batches(packets), self.moments.append)
        finally:
            if self.recorder:
                self.recorder.close()

    def _batches(self, packets):
        write = self.recorder.write if self.recorder else lambda packet: ()
        for batch in in_time(packets, write):
            now_s = self.session._latest.time_us / 1e6 if self.session._latest else 0.0
            while self._script and self._script[0][0] <= now_s:
                seconds, asked = self._script.pop(0)
                self.session.ask(asked | {"s": seconds})
            yield batch


def rows_of(folder):
    """The rows of the table: (recording, start_s, end_s, label, volunteer, crop)."""
    if not (folder / CLIPS).exists():
        return []
    with open(folder / CLIPS, newline="") as file:
        _, *rows = csv.reader(file)
    return [tuple(row) for row in rows]


def scene(span_us=600_000, **options):
    return [*in_packets(recording_of(span_us), 10_000, **options)]


def test_a_label_that_is_held_is_a_row_of_its_time(tmp_path):
    """The camera's clock begins at 1000 s; the file's first timestamp is a frame's."""
    script = [
        (1000.1004, {"press": "fear"}), (1000.2505, {"release": True}),
        (1000.30, {"volunteer": " 8 "}), (1000.30, {"crop": [2, 0, 18]}),
        (1000.31, {"press": "joy"}), (1000.45, {"release": True}),
    ]  # fmt: skip
    played = Played(scene(begin_us=10**9), script, tmp_path)
    assert rows_of(tmp_path) == [
        ("00000.aedat4", "0.100400", "0.250500", "fear", "7", "5,0,20"),
        ("00000.aedat4", "0.310000", "0.450000", "joy", "8", "2,0,18"),
    ]
    assert played.session.labels.counts == {"fear": 1, "joy": 1}
    assert counts_of(tmp_path) == played.session.labels.counts
    assert (played.notes, played.warnings) == ([], [])


def test_what_ends_a_label_beside_its_key(tmp_path):
    """Another key, the end of the recording, of the camera, and of the program."""
    script = [
        (0.10, {"press": "fear"}), (0.25, {"press": "joy"}), (0.40, {"record": False}),
        (0.42, {"record": True}), (0.44, {"press": "calm"}),
    ]  # fmt: skip
    played = Played(scene(), script, tmp_path / "a")
    assert [row[:4] for row in rows_of(tmp_path / "a")[:2]] == [
        ("00000.aedat4", "0.100000", "0.250000", "fear"),
        ("00000.aedat4", "0.250000", "0.400000", "joy"),
    ]
    (last,) = rows_of(tmp_path / "a")[2:]
    assert (last[0], last[3]) == ("00001.aedat4", "calm")
    # The file began when it was turned on; the program ended with its last period.
    assert 0.12 < float(last[2]) - float(last[1]) < 0.16
    assert played.session.labels.held == ""
    # The camera sends nothing for 0.3 s: no clip can have that gap in it.
    packets = scene(400_000)
    later = [*in_packets(recording_of(300_000), 10_000, begin_us=700_000)]
    script = [(0.10, {"press": "fear"}), (0.85, {"release": True})]
    Played([*packets, *later], script, tmp_path / "b")
    ((_, start, end, *_),) = rows_of(tmp_path / "b")
    last_us = int(packets[0].events.t[0]) + 400_000  # the end of the last period
    assert (start, end) == ("0.100000", f"{last_us / 1e6:.6f}")


def test_a_label_over_a_new_begin_of_the_clock_is_refused(tmp_path):
    script = [(0.10, {"press": "fear"})]
    again = [*in_packets(recording_of(300_000), 10_000, begin_us=200_000)]
    played = Played([*scene(400_000), *again], script, tmp_path)
    assert rows_of(tmp_path) == []
    (note,) = (x for x in played.notes if x.startswith("fear: "))
    assert "got a stream that stopped or restarted; hold the key" in note
    assert played.session.labels.counts == {}


@pytest.mark.parametrize(
    "script, text",
    [([{"press": "fear"}, {"release": True}],
      "fear: expected at least 0.13 s, a window, got a stream that stopped"),
     ([{"press": "none"}], "label: expected calm, fear, joy, got 'none'"),
     ([{"record": False}, {"press": "fear"}],
      "label: expected a recording, got none; start again with --record=DIR, or press"),
     ([{"press": "fear"}, {"crop": [0, 0, 20]}],
      "crop: expected no label held, got fear; a clip has one crop"),
     ([{"press": "fear"}, {"volunteer": "8"}],
      "volunteer: expected no label held, got fear; a clip has one"),
     ([{"volunteer": " "}], "volunteer: expected a name or number, got nothing"),
     ([{"crop": [11, 0, 20]}], "crop: expected X,Y,SIZE within 30 x 20, got 11,0,20"),
     ([{"crop": [0, 0, 0]}], "crop: expected X,Y,SIZE within 30 x 20, got 0,0,0")],
)  # fmt: skip
def test_what_cannot_be_is_said(tmp_path, script, text):
    script = [(0.29, asked) for asked in script]
    played = Played(scene(300_000), script, tmp_path)
    assert played.notes[0].startswith(text)
    assert played.session._status()["notes"][0] == [1, played.notes[0]]
    assert len(played.moments) == 30


def test_a_press_behind_one_that_was_too_short_counts(tmp_path):
    script = [
        (0.10, {"press": "fear"}), (0.15, {"press": "joy"}), (0.30, {"release": True})
    ]  # fmt: skip
    played = Played(scene(400_000), script, tmp_path)
    assert [row[1:4] for row in rows_of(tmp_path)] == [("0.150000", "0.300000", "joy")]
    (note,) = played.notes
    assert note.startswith("fear: expected at least 0.13 s, a window, got 0.05 s")


def test_without_a_folder_nothing_is_labelled():
    script = [(0.10, {"press": "fear"}), (0.12, {"record": True})]
    notes = Played(scene(300_000), script).notes
    remedy = "start again with --record=DIR"
    assert notes == [
        f"label: expected a recording, got none; {remedy}, or press R",
        f"recording: expected a folder to record into, got none; {remedy}",
    ]


def test_a_recorder_that_died_is_said_and_counts_no_clip(tmp_path):
    class Dying(Played):
        def _batches(self, packets):
            for i, batch in enumerate(super()._batches(packets)):
                if i == 25:
                    os.kill(self.recorder._process.pid, signal.SIGKILL)
                    self.recorder._process.wait()
                    self.recorder.write(packets[0])
                    while not self.recorder.failure:
                        time.sleep(0.01)
                yield batch

    script = [(0.10, {"press": "fear"}), (0.27, {"release": True}),
              (0.28, {"press": "joy"}), (0.29, {"record": True})]  # fmt: skip
    played = Dying(scene(400_000), script, tmp_path)
    died = "its process died of SIGKILL"
    assert [x.partition(", got ")[0] for x in played.notes] == [
        "label: expected a recorder", "label: expected a recording",
        "recording: expected a recorder",
    ]  # fmt: skip
    assert [died in x for x in played.notes] == [True, False, True]
    assert played.session.labels.counts == {}
    assert len(played.moments) == 40
    assert played.session._status()["recorder_failure"].startswith(died)


def test_the_table_is_what_recordings_takes(tmp_path):
    """Two people, two labels, two files; every row becomes a clip."""

    def hold(label, begin_s, end_s):
        return [(begin_s, {"press": label}), (end_s, {"release": True})]

    script = [
        *hold("fear", 0.05, 0.25), *hold("joy", 0.26, 0.52), (0.6, {"volunteer": "8"}),
        *hold("joy", 0.61, 0.78), (0.8, {"press": "fear"}),
    ]  # fmt: skip
    Played(scene(1_000_000), script, tmp_path / "in", part_s=0.4)
    table = rows_of(tmp_path / "in")
    assert [row[3] for row in table] == ["fear", "joy", "joy", "fear"]
    content = recordings.write_folder(
        tmp_path / "in" / CLIPS, tmp_path / "see", period_us=PERIOD_US, num_workers=1
    )
    counts = [x["annotations"]["segment"][1] for x in content["database"].values()]
    assert counts == [
        int((float(end) - float(start)) * 1e6 + 0.5) // PERIOD_US
        for _, start, end, *_ in table
    ]
    assert content["labels"] == ["fear", "joy"]


def test_the_crop_moves_and_predictions_come_back():
    played = Played(scene(), [(0.3, {"crop": [2, 1, 18]})])
    assert {x.crop for x in played.moments[:29]} == {CROP}
    assert {x.crop for x in played.moments[31:]} == {(2, 1, 18)}
    without = [x.number for x in played.moments if x.probabilities is None]
    moved = next(i for i, x in enumerate(played.moments) if x.crop != CROP)
    assert without == [*range(12), *range(moved, moved + 12)]
    for moment in played.moments[moved:]:
        np.testing.assert_array_equal(moment.intensity_frame, moment.sensor[1:19, 2:20])


def test_only_the_last_notes_are_kept():
    played = Played(scene(100_000))
    for i in range(10):
        played.session.say(f"{i}")
    assert played.session._status()["notes"] == [[i + 1, f"{i}"] for i in range(6, 10)]


def test_what_is_asked_for_is_bounded():
    """A viewer that floods costs neither memory nor a moment; the newest counts."""
    played = Played(scene(100_000))
    for i in range(100_000):
        played.session.ask({"crop": [i % 10, 0, 20], "s": 0.0})
    assert len(played.session._asked) == session._MAX_ASKED
    played.session._follow()
    assert played.session.engine.crop == (99_999 % 10, 0, 20)


def test_a_disk_that_is_nearly_full_is_said(tmp_path, monkeypatch):
    played = Played(scene(100_000), folder=tmp_path)
    assert played.session._status()["free_mb"] is None
    free = session.shutil.disk_usage(tmp_path).free
    monkeypatch.setattr(session, "LOW_BYTES", 2 * free)
    assert 0 < played.session._status()["free_mb"] <= 2 * free / 1e6


@pytest.fixture
def quiet():
    """A session whose source gives a period, then nothing, then the rest."""
    engine = Engine(plain_runtime(), CROP, clock=lambda: 0.0)
    warnings = []
    made = Session(engine, Labels(["a"], "7", LEAST_US), warn=warnings.append)
    return made, warnings


class Ear:
    failure = ""


def test_silence_is_said_once_until_it_ends(quiet):
    made, warnings = quiet
    told, made.page = [], Ear()
    made.page.put = told.append
    first, *rest = in_time(scene(100_000))
    made.play([first, [], [], *rest, []], lambda moment: None)
    assert warnings == 2 * ["no data from the source; waiting"]
    quiet_s = [status["quiet_s"] for _, status in told]
    assert [x is None for x in quiet_s] == [True, False, False, *9 * [True], False]
    assert [moment is None for moment, _ in told] == [x is not None for x in quiet_s]


def page_that_answers(port=0):
    """A page, which is there, and its port."""
    with address.listen("127.0.0.1", port) as listening:
        page = Outlet("seen_jax.live.page", [listening.fileno()], [listening.fileno()])
        place = listening.getsockname()
    page.put((about_of(), "", frozenset()))
    with socket.create_connection(place, timeout=30) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert client.makefile("rb").readline().startswith(b"HTTP/1.1 200")
    return page, place[1]


def with_death(outlet):
    """Batches of 60 periods; within them, the outlet's process is killed."""
    for i, batch in enumerate(in_time(scene())):
        if i == 20:
            os.kill(outlet._process.pid, signal.SIGKILL)
            outlet._listener.join(30)
        yield batch


def test_recognition_goes_on_where_the_page_dies(quiet):
    made, warnings = quiet
    (made.page, port), moments = page_that_answers(), []
    made.play(with_death(made.page), moments.append)
    assert [x.number for x in moments] == list(range(60))
    assert warnings == ["the page ended: its process died of SIGKILL"]
    made.page.close()
    # The program is started again: the port is free at once.
    again, _ = page_that_answers(port)
    again.close()
    assert again.failure == ""


def test_recognition_goes_on_where_the_film_dies(quiet, tmp_path):
    made, warnings = quiet
    made.film = Outlet("seen_jax.live.film", [tmp_path / "a.gif"], max_waiting=1000)
    made.film.put(about_of())
    moments = []
    made.play(with_death(made.film), moments.append, wait=True)
    made.film.close()
    assert len(moments) == 60
    assert warnings == ["the film ended: its process died of SIGKILL"]


def test_a_page_that_hangs_holds_nobody_up_and_takes_no_memory(quiet):
    made, warnings = quiet
    (made.page, _), moments = page_that_answers(), []
    os.kill(made.page._process.pid, signal.SIGSTOP)
    made.play(in_time([*in_packets(recording_of(3_000_000), 10_000)]), moments.append)
    assert len(moments) == 300
    assert made.page._waiting.qsize() <= 8
    begin = time.monotonic()
    made.page.close(timeout_s=0.5)
    assert time.monotonic() - begin < 10
    assert warnings == []


def test_a_module_that_fails_says_why():
    outlet = Outlet("seen_jax.live.film", ["/none/x.gif"])
    outlet.put(about_of())
    outlet.close()
    assert outlet.failure == (
        "/none/x.gif: expected at least one period to show, got none; play more"
    )


def test_what_ends_the_source_ends_the_label(tmp_path):
    def broken():
        yield from scene(400_000)
        raise UserError("the camera is gone")

    with pytest.raises(UserError, match="the camera is gone"):
        Played(broken(), [(0.10, {"press": "fear"})], tmp_path)
    ((_, start, end, label, *_),) = rows_of(tmp_path)
    assert (start, label) == ("0.100000", "fear")
    assert 0.37 < float(end) <= 0.4
