"""The journal: no epoch twice or lost, and honest words beside the numbers."""

import struct
import types

import pytest
from matplotlib.figure import Figure
from tensorboardX.proto.event_pb2 import Event

from seen_jax import see
from seen_jax.training import journal as journal_lib
from seen_jax.training.journal import Journal, read_rows

WAR_TAG = "Metrics/WAR-average"
MEASURE = dict.fromkeys((*see.EMOTIONS, *see.LIGHTINGS, "WAR", "UAR"), 0.5)


def make_row(epoch, split=None):
    row = {
        "epoch": epoch, "step": 10 * epoch, "loss": 1 / epoch, "accuracy": 0.5,
        "learning_rate": 0.015, "seconds": 90.0, "windows_per_s": 100.0,
    }  # fmt: skip
    if split:
        mean = {**MEASURE, "HDR": None}  # no such clip
        row |= {"split": split, "war": 0.612, "uar": 0.6, "war_std": None}
        row |= {"mean": mean, "passes": [mean]}
    return row


def read_board(workdir):
    """Returns tag -> values, each with the step it is of."""
    (file,) = (workdir / "tensorboard").iterdir()
    data, found = file.read_bytes(), {}
    while data:  # length (8 bytes), its checksum (4), the event, its checksum (4)
        (length,) = struct.unpack("<Q", data[:8])
        event = Event.FromString(data[12 : 12 + length])
        data = data[16 + length :]
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, value))
    return found


def make(folder, select="last", epoch=0):
    return Journal(folder, select, num_epochs=5, num_clips=20, epoch=epoch)


def test_lines_come_back_as_rows(tmp_path):
    journal = make(tmp_path)
    rows = [make_row(1), make_row(2, "test")]
    for row in rows:
        journal.epoch(row)
    journal.close()
    assert read_rows(tmp_path) == rows
    assert (tmp_path / "curves.png").stat().st_size > 1000


@pytest.mark.parametrize("cut", [0, 1, 20])
def test_what_is_newer_than_the_checkpoint_is_dropped(tmp_path, cut):
    # Three epochs are noted, the third perhaps not to the end of its line; the
    # checkpoint is of the first.
    journal = make(tmp_path)
    for epoch in (1, 2, 3):
        journal.epoch(make_row(epoch))
    journal.close()
    file = tmp_path / "metrics.jsonl"
    text = file.read_text()
    file.write_text(text[: len(text) - cut])
    journal = make(tmp_path, epoch=1)
    assert read_rows(tmp_path) == [make_row(1)]
    journal.epoch(make_row(2))
    journal.close()
    assert read_rows(tmp_path) == [make_row(1), make_row(2)]


@pytest.mark.parametrize("epoch, kept", [(0, 0), (1, 1)])
def test_a_run_that_begins_here_leaves_nothing_of_another(tmp_path, epoch, kept):
    journal = make(tmp_path, "validation")
    journal.epoch(make_row(1, "validation"))
    journal.close()
    (tmp_path / "tensorboard" / "earlier").write_text("")
    make(tmp_path, epoch=epoch).close()
    assert len(read_rows(tmp_path)) == kept
    for name in ("curves.png", "tensorboard/earlier"):
        assert (tmp_path / name).exists() == bool(kept)


CHOSEN = [
    ("last", "test", ""),
    ("test", "test", "chosen on the test split"),
    ("validation", "validation", "chosen on volunteers held out of the training part"),
]


@pytest.mark.parametrize("select, split, chosen", CHOSEN)
def test_how_the_epoch_is_chosen_is_said_beside_every_number(
    tmp_path, capsys, monkeypatch, select, split, chosen
):
    figures = []
    monkeypatch.setattr(
        journal_lib, "Figure", lambda **x: figures.append(Figure(**x)) or figures[-1]
    )
    journal = make(tmp_path, select)
    journal.epoch(make_row(2, split))
    journal.close()
    scores = f"{split} WAR 61.2 %, UAR 60.0 %" + (f" ({chosen})" if chosen else "")
    line = "epoch 2/5  loss 0.500  accuracy 50.0 %  lr 0.015  100 windows/s"
    assert capsys.readouterr().out == f"{line}  {scores}\n"

    board = read_board(tmp_path)
    ((step, text),) = board.pop("scores/text_summary")
    assert (step, text.tensor.string_val[0].decode()) == (2, scores)
    for tag, ((_, value),) in board.items():
        words = "" if tag.startswith("train/") else chosen
        assert value.metadata.summary_description == words, tag

    ((_, right),) = [figure.axes for figure in figures]
    assert right.get_title() == (f"epoch {chosen}" if chosen else "")


@pytest.mark.parametrize("num_epochs", [1, 2, 30])
def test_curves_have_whole_epochs_and_whole_percents(tmp_path, monkeypatch, num_epochs):
    figure = Figure()
    monkeypatch.setattr(journal_lib, "Figure", lambda **x: figure)
    rows = [make_row(i, "test" if i % 2 else None) for i in range(1, num_epochs + 1)]
    journal_lib.draw_curves(tmp_path, rows)
    for axes in figure.axes:
        low, high = axes.get_xlim()
        assert low < 1 and num_epochs < high
        ticks = [x for x in axes.get_xticks() if low < x < high]
        assert ticks and all(x % 1 == 0 for x in ticks)
        assert {label.get_text() for label in axes.get_xticklabels()} >= {
            str(int(x)) for x in ticks
        }
    left, right = figure.axes
    assert left.get_ylim() == (0, 1.05)  # the loss of epoch 1 is 1
    labels = [x.get_text() for x in right.get_yticklabels()]
    assert labels[0] == "0%" and "100%" in labels


def test_the_first_dispatch_says_nothing_of_the_time_left(
    tmp_path, capsys, monkeypatch
):
    clock = types.SimpleNamespace(now=0.0, perf_counter=lambda: clock.now)
    monkeypatch.setattr(journal_lib, "time", clock)

    def steps(*seconds):
        for passed in seconds:
            clock.now += passed
            journal.step(1, 10, 2.0, 0.1)  # half an epoch

    journal = make(tmp_path)
    steps(1000)  # compiles
    journal.epoch(make_row(1))
    assert " left" not in capsys.readouterr().out  # nothing to tell by
    steps(4, 6)
    clock.now += 500  # evaluates
    journal.epoch(make_row(2, "test"))
    assert "  30 s left  " in capsys.readouterr().out  # three epochs of 10 s
    steps(55, 55)
    journal.epoch(make_row(3))
    assert "  2 min 00 s left\n" in capsys.readouterr().out  # two of (10 + 110) / 2
    journal.close()


def test_held_out_volunteers_have_tags_of_their_own(tmp_path):
    journal = make(tmp_path, "validation")
    journal.epoch(make_row(2, "validation"))
    journal.close()
    board = read_board(tmp_path)
    for tag in (
        "train/loss",
        "validation/Metrics/WAR-average",
        "validation/test_num/1",
    ):
        ((step, value),) = board[tag]
        assert (step, value.simple_value) == (2, 0.5)
    assert not [tag for tag in board if "HDR" in tag or tag.startswith("Metrics")]
