"""The journal: no epoch twice or lost, and honest words beside the numbers."""

import json
import types

import pytest

from seen_jax import see
from seen_jax.errors import UserError
from seen_jax.training import journal as journal_lib
from seen_jax.training.journal import Journal
from seen_jax.training.rows import chosen_row, read_rows
from tests.helpers import make_row, read_board


def make(folder, select="last", epoch=0):
    numbers = {"num_epochs": 5, "num_clips": 20, "epoch": epoch}
    return Journal(folder, select, see.EMOTIONS, **numbers)


def write(folder, *rows, **options):
    journal = make(folder, **options)
    for row in rows:
        journal.epoch(row)
    journal.close()


def test_lines_come_back_as_rows(tmp_path):
    rows = [make_row(1), make_row(2, "test")]
    write(tmp_path, *rows)
    assert read_rows(tmp_path) == rows
    assert "training loss by epoch" in (tmp_path / "curves.svg").read_text()


@pytest.mark.parametrize("cut", [0, 1, 20])
def test_what_is_newer_than_the_checkpoint_is_dropped_and_said(tmp_path, capsys, cut):
    # Three epochs are noted, the third perhaps not to the end of its line; the
    # checkpoint is of the first.
    write(tmp_path, *map(make_row, (1, 2, 3)))
    file = tmp_path / "metrics.jsonl"
    text = file.read_text()
    file.write_text(text[: len(text) - cut])
    capsys.readouterr()
    journal = make(tmp_path, epoch=1)
    number = "1 epoch" if cut else "2 epochs"
    line = f"{file}: {number} without a checkpoint, which the run trains again\n"
    assert capsys.readouterr().out.endswith(line)
    assert read_rows(tmp_path) == [make_row(1)]
    journal.epoch(make_row(2))
    journal.close()
    assert read_rows(tmp_path) == [make_row(1), make_row(2)]


# An empty one, bytes that are no text, no object, and another epoch.
@pytest.mark.parametrize("line", [b"\n", b"\xff\xfe\n", b"3\n", b'{"epoch": 1}\n'])
def test_a_spoilt_line_in_between_is_refused_in_a_line(tmp_path, line):
    write(tmp_path, *map(make_row, (1, 2, 3)))
    file = tmp_path / "metrics.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:2], line, *lines[2:]]))
    with pytest.raises(UserError) as error:
        make(tmp_path, epoch=2)
    text = str(error.value)
    assert text.startswith(f"{file}, line 3: expected ") and "\n" not in text


@pytest.mark.parametrize("name", ["loss", "step", "seconds"])
def test_a_row_without_a_field_is_refused(tmp_path, name):
    row, file = make_row(1), tmp_path / "metrics.jsonl"
    rule = "a whole number from 0" if name == "step" else "a finite number"
    for change, got in ({}, "none"), ({name: float("nan")}, "nan"):
        others = {x: y for x, y in row.items() if x != name}
        file.write_text(json.dumps(others | change) + "\n")
        words = f"line 1: expected {name} as {rule}, got {got}"
        with pytest.raises(UserError, match=words):
            read_rows(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"loss": 10**400},
        {"accuracy": 7},
        {"war": 7},
        {"uar": -3},
        {"split": 3},
        {"mean": {}},
        {"mean": {"recalls": 5}},
        {"mean": {"WAR": 5.0}},  # in the form of older runs
        {"passes": ["x"]},
        {"passes": 3},
        {"war": None},
    ],
    ids=str,
)
def test_a_row_of_other_values_is_refused(tmp_path, change):
    row, file = make_row(1, "test") | change, tmp_path / "metrics.jsonl"
    file.write_text(json.dumps(row) + "\n")
    (name,) = change
    with pytest.raises(UserError, match=rf"line 1: expected {name} as .*; copy the fi"):
        read_rows(tmp_path)


@pytest.mark.parametrize("step", [-1, 1.5, 10.0, True, "1"])
def test_a_step_is_a_whole_number(tmp_path, step):
    row = make_row(1) | {"step": step}
    (tmp_path / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    words = f"line 1: expected step as a whole number from 0, got {step!r}; copy"
    with pytest.raises(UserError, match=words):
        read_rows(tmp_path)


@pytest.mark.parametrize("tail", [b"\n", b"\0\0\0\n", b'{"epoch": 3, "lo', b"\0" * 50])
def test_a_last_line_that_was_cut_off_is_dropped_and_said(tmp_path, capsys, tail):
    rows = [make_row(1), make_row(2)]
    write(tmp_path, *rows)
    with open(tmp_path / "metrics.jsonl", "ab") as file:
        file.write(tail)
    assert read_rows(tmp_path) == rows
    make(tmp_path, epoch=2).close()
    assert "metrics.jsonl: the last line was cut off" in capsys.readouterr().out
    assert (tmp_path / "metrics.jsonl").read_text().count("\n") == 2


def test_rows_that_are_lost_are_refused(tmp_path):
    make(tmp_path).epoch(make_row(1))
    words = "rows of 3 epochs, as the checkpoint has seen, got 1; copy the file"
    with pytest.raises(UserError, match=words):
        make(tmp_path, epoch=3)


def test_the_epoch_that_counts():
    wars = {1: 0.2, 2: 0.9, 3: None, 4: 0.9, 5: 0.1, 6: None}
    rows = [make_row(e, war and "test", **({"war": war} if war else {}))
            for e, war in wars.items()]  # fmt: skip
    assert chosen_row(rows, "last")["epoch"] == 5
    assert chosen_row(rows, "test")["epoch"] == 4  # of equals the later
    assert chosen_row(rows[:2], "validation")["epoch"] == 2
    assert chosen_row(rows[2:3], "test") is None


@pytest.mark.parametrize("epoch, kept", [(0, 0), (1, 1)])
def test_a_run_that_begins_here_leaves_nothing_of_another(tmp_path, epoch, kept):
    write(tmp_path, make_row(1, "validation"), select="validation")
    (tmp_path / "tensorboard" / "earlier").write_text("")
    make(tmp_path, epoch=epoch).close()
    assert len(read_rows(tmp_path)) == kept
    for name in ("curves.svg", "tensorboard/earlier"):
        assert (tmp_path / name).exists() == bool(kept)


CHOSEN = [
    ("last", "test", ""),
    ("test", "test", "chosen on the test split"),
    ("validation", "validation", "chosen on volunteers held out of the training part"),
]


@pytest.mark.parametrize("select, split, chosen", CHOSEN)
def test_how_the_epoch_is_chosen_is_said_beside_every_number(
    tmp_path, capsys, select, split, chosen
):
    write(tmp_path, make_row(2, split), select=select)
    scores = f"{split} WAR 61.2 %, UAR 60.0 %" + (f" ({chosen})" if chosen else "")
    line = "epoch 2/5  loss 0.500  accuracy 50.0 %  lr 0.015  100 windows/s"
    assert capsys.readouterr().out == f"{line}  {scores}\n"

    board = read_board(tmp_path)
    ((step, text),) = board.pop("scores/text_summary")
    assert (step, text.tensor.string_val[0].decode()) == (2, scores)
    for tag, ((_, value),) in board.items():
        words = "" if tag.startswith("train/") else chosen
        assert value.metadata.summary_description == words, tag

    picture = (tmp_path / "curves.svg").read_text()
    assert picture.count(">epoch chosen") == bool(chosen)
    assert not chosen or f">epoch {chosen}</text>" in picture


def test_the_first_dispatch_says_no_time_left(tmp_path, capsys, monkeypatch):
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
    write(tmp_path, make_row(2, "validation"), select="validation")
    board = read_board(tmp_path)
    of_split = ("validation/Metrics/WAR-average", "validation/test_num/1")
    for tag in ("train/loss", *of_split):
        ((step, value),) = board[tag]
        assert (step, value.simple_value) == (2, 0.5)
    assert not [tag for tag in board if "HDR" in tag or tag.startswith("Metrics")]
