"""The journal: no epoch twice or lost, and honest words beside the numbers."""

import pytest

from seen_jax import see
from seen_jax.training import journal as journal_lib
from seen_jax.training.journal import Journal, read_rows

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


@pytest.mark.parametrize(
    "select, split, words",
    [
        ("last", "test", "test WAR 61.2 %, UAR 60.0 %\n"),
        ("test", "test", "test WAR 61.2 %, UAR 60.0 % (chosen on the test split)\n"),
        ("validation", "validation", "(chosen on volunteers held out of the training"),
    ],
)
def test_a_line_says_how_the_epoch_is_chosen(tmp_path, capsys, select, split, words):
    journal = make(tmp_path, select)
    journal.epoch(make_row(2, split))
    journal.close()
    out = capsys.readouterr().out
    assert out.startswith("epoch 2/5  loss 0.500  accuracy 0.500  lr 0.015  100 win")
    assert "  4 min 30 s left  " in out  # three epochs of 90 s
    assert words in out


def test_held_out_volunteers_have_tags_of_their_own(tmp_path, monkeypatch):
    tags = []
    monkeypatch.setattr(
        journal_lib.tensorboardX.SummaryWriter,
        "add_scalar",
        lambda self, tag, value, epoch: tags.append((tag, value, epoch)),
    )
    journal = make(tmp_path, "validation")
    journal.epoch(make_row(2, "validation"))
    journal.close()
    assert ("train/loss", 0.5, 2) in tags
    assert ("validation/Metrics/WAR-average", 0.5, 2) in tags
    assert ("validation/test_num/1", 0.5, 2) in tags
    assert not [tag for tag, *_ in tags if "HDR" in tag or tag.startswith("Metrics")]
