"""Keys -> clips: the times, what is too short, and the table that is there already."""

import math

import pytest

from seen_jax.cameras.recorder import CLIPS, COLUMNS, Clip
from seen_jax.errors import UserError
from seen_jax.live.labels import Labels, counts_of

LEAST_US = 433_333.4
HEADER = ",".join(COLUMNS)


def labels_of(names=("calm", "fear"), volunteer="7"):
    return Labels(names, volunteer, LEAST_US)


def test_a_clip_is_from_press_to_release():
    labels = labels_of()
    assert labels.release(5.0, (0, 0, 20)) is None
    labels.press("fear", 1_000_000.4)
    assert labels.held == "fear"
    clip = labels.release(1_500_000.6, (3, 4, 20))
    assert clip == Clip(1_000_000, 1_500_001, "fear", "7", "3,4,20", 433_334)
    assert (labels.held, labels.counts) == ("", {"fear": 1})


@pytest.mark.parametrize(
    "length_us, got",
    [(433_333.0, "0.43 s"), (0.0, "a stream that stopped"), (-1.0, "a stream that"),
     (-math.inf, "a stream that stopped or restarted")],
)  # fmt: skip
def test_a_clip_shorter_than_a_window_is_refused(length_us, got):
    labels = labels_of()
    labels.press("fear", 1e6)
    text = rf"fear: expected at least 0\.43 s, a window, got {got}.*; hold the key"
    with pytest.raises(UserError, match=text):
        labels.release(1e6 + length_us, (0, 0, 20))
    assert (labels.held, labels.counts) == ("", {})


@pytest.mark.parametrize(
    "names, text",
    [(["a", "A"], "--labels: expected different names, got a,A"),
     ([], "--labels: expected different names, got nothing"),
     (["a", ""], "--labels: expected names of .*got ''"),
     (["../a"], "--labels: expected names of .*got '../a'")],
)  # fmt: skip
def test_labels_that_no_folders_can_have(names, text):
    with pytest.raises(UserError, match=text):
        labels_of(names)


@pytest.mark.parametrize("volunteer", ["", "  ", "a\nb"])
def test_a_volunteer_that_no_table_can_have(volunteer):
    with pytest.raises(UserError, match="--volunteer: expected printable text"):
        labels_of(volunteer=volunteer)


def test_clips_of_a_table_are_counted(tmp_path):
    assert counts_of(tmp_path) == {}
    (tmp_path / CLIPS).touch()
    assert counts_of(tmp_path) == {}
    rows = ['00000.aedat4,0,1,fear,"a, b\u2028","1,2,3"', "00000.aedat4,1,2,fear,b,",
            "00000.aedat4,1,2,joy,b,"]  # fmt: skip
    (tmp_path / CLIPS).write_text("\n".join([HEADER, *rows, ""]), encoding="utf-8")
    assert counts_of(tmp_path) == {"fear": 2, "joy": 1}


@pytest.mark.parametrize(
    "text, got",
    [("a,b\n", "expected the columns recording,.*, got a,b; move it away"),
     (f"{HEADER},note\n", "expected the columns recording,.*crop,note; move"),
     (f"{HEADER}\na,0,1,fear,7,", "expected a table whose last line has an end"),
     (f'{HEADER}\na,0,1,"fear,7,\n', "expected a table of clips, got unexpected end")],
)  # fmt: skip
def test_a_table_to_which_no_row_can_be_added(tmp_path, text, got):
    (tmp_path / CLIPS).write_text(text)
    with pytest.raises(UserError, match=got):
        counts_of(tmp_path)
