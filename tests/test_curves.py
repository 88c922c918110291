"""The picture of a training: axes, lines and what they say."""

import pytest

from seen_jax import curves, palette
from tests.pictures import elements, texts


def row(epoch, split=None):
    numbers = {"epoch": epoch, "loss": 1 / epoch, "accuracy": 0.5}
    return numbers | ({"split": split, "war": 0.6, "uar": 0.55} if split else {})


@pytest.mark.parametrize("num_epochs", [1, 2, 30])
def test_epochs_and_percents_are_whole(num_epochs):
    rows = [row(i, "test" if i % 2 else None) for i in range(1, num_epochs + 1)]
    for picture in curves.plots([("", [rows])], num_classes=7):
        # Numbers below the horizontal axis, whose title is the lowest text.
        words = elements(picture, "text")
        words = [x for x in words if x.get("text-anchor") == "middle"]
        lowest = max(float(x.get("y")) for x in words)
        ticks = [x.text for x in words if float(x.get("y")) == lowest - 16]
        assert ticks and all(1 <= int(x) <= num_epochs for x in ticks)
    assert {"0 %", "100 %", "right", "epoch"} <= {*texts(picture)}


def test_lines():
    rows = [row(1), row(2, "validation"), row(3), row(4, "validation")]
    loss, shares = curves.plots([("", [rows])], num_classes=5, chosen=[2])
    names = ["training accuracy", "validation WAR", "validation UAR"]
    names += ["epoch 2", "chance"]
    assert [x for x in texts(shares) if x in names] == names
    assert len(elements(loss, "polyline")) == 1
    lines = [x.get("points").split() for x in elements(shares, "polyline")]
    assert [len(x) for x in lines] == [4, 2, 2, 2, 2]
    (low, high), (left, right) = lines[3:]
    assert low.split(",")[0] == high.split(",")[0]  # epoch 2
    across, down = zip(*(x.split(",") for x in (left, right)), strict=True)
    assert down[0] == down[1] and float(across[0]) < float(across[1])  # chance
    # 1/5 is a fifth of the way up from 0, where 60 % is three fifths.
    heights = {text.text: float(text.get("y")) for text in elements(shares, "text")}
    of_axis = heights["0 %"] - heights["100 %"]
    assert heights["0 %"] - float(down[0]) - 4 == pytest.approx(of_axis / 5, abs=0.2)


def test_a_file_of_its_own_says_how_the_epoch_was_chosen():
    rows = [row(1), row(2, "test")]
    picture = curves.draw(rows, num_classes=7, choice="chosen by hand")
    assert "epoch chosen by hand" in texts(picture)
    assert len(elements(picture, "style")) == 1
    assert texts(picture).count("epoch") == 2  # of both plots


def test_lines_of_a_run_that_was_never_evaluated():
    _, shares = curves.plots([("", [[row(1), row(2)]])], num_classes=7)
    assert [x for x in texts(shares) if x in ("training accuracy", "chance")] == [
        "training accuracy", "chance",
    ]  # fmt: skip
    assert len(elements(shares, "polyline")) == 2


def test_several_runs_are_in_the_same_plots():
    runs = [("<a>", [[row(1), row(2, "test")]]), ("b", [[row(i) for i in range(1, 9)]])]
    loss, shares = curves.plots(runs, num_classes=7, chosen=[8])
    assert [x for x in texts(loss) if x in ("<a>", "b")] == ["<a>", "b"]
    # A name each: of the WAR, which is solid, where there is one.
    assert [x for x in texts(shares) if "a" in x or "b" in x] == ["<a>", "b", "chance"]
    dashes = [x.get("stroke-dasharray") for x in elements(shares, "polyline")]
    assert dashes == ["5 4", None, "5 4", None, "5 4"]  # <a>, b, the epoch, chance
    points = [x.get("points").split() for x in elements(loss, "polyline")]
    assert [len(x) for x in points] == [2, 8]
    # Epoch 2 of both is at the same place, since the axis is of both.
    assert points[0][1].split(",")[0] == points[1][1].split(",")[0]


def test_runs_of_a_column_have_one_colour_and_one_name():
    of_a, of_c = ([[row(1), row(2, "test")]] * number for number in (3, 1))
    columns = [("a", of_a), ("nothing known", []), ("c", of_c)]
    loss, shares = curves.plots(columns, num_classes=7, chosen=[2])
    lines = elements(loss, "polyline")
    colours = [x.get("stroke") for x in lines]
    assert len({*colours[:3]}) == 1 and colours[3] == palette.colours("abc")[2]
    assert [x.get("stroke-width") for x in lines] == ["1", "1", "1", "2"]
    assert [x for x in texts(loss) if x in ("a", "nothing known", "c")] == ["a", "c"]
    names = [x for x in texts(shares) if x in ("a", "c", "epoch 2", "chance")]
    assert names == ["a", "c", "epoch 2", "chance"]
