"""The figure of a training: axes, lines and what they say."""

import pytest

from seen_jax import curves


def row(epoch, split=None):
    numbers = {"epoch": epoch, "loss": 1 / epoch, "accuracy": 0.5}
    return numbers | ({"split": split, "war": 0.6, "uar": 0.55} if split else {})


@pytest.mark.parametrize("num_epochs", [1, 2, 30])
def test_epochs_and_percents_are_whole(num_epochs):
    rows = [row(i, "test" if i % 2 else None) for i in range(1, num_epochs + 1)]
    figure = curves.draw(rows, num_classes=7)
    figure.draw_without_rendering()
    for axes in figure.axes:
        low, high = axes.get_xlim()
        assert low < 1 and num_epochs < high
        ticks = [x for x in axes.get_xticks() if low < x < high]
        assert ticks and all(x % 1 == 0 for x in ticks)
        texts = {label.get_text() for label in axes.get_xticklabels()}
        assert texts >= {str(int(x)) for x in ticks}
    left, right = figure.axes
    assert left.get_ylim() == (0, 1.05)  # the loss of epoch 1 is 1
    texts = [x.get_text() for x in right.get_yticklabels()]
    assert texts[0] == "0%" and "100%" in texts


def test_lines():
    rows = [row(1), row(2, "validation"), row(3), row(4, "validation")]
    figure = curves.draw(rows, num_classes=5, chosen_epoch=2, choice="chosen by hand")
    right = figure.axes[1]
    lines = {line.get_label(): line for line in right.lines}
    assert [*lines] == [
        "training accuracy", "validation WAR", "validation UAR", "chance", "epoch 2",
    ]  # fmt: skip
    assert lines["training accuracy"].get_xdata().tolist() == [1, 2, 3, 4]
    assert lines["validation WAR"].get_xdata().tolist() == [2, 4]
    assert {*lines["chance"].get_ydata()} == {1 / 5}
    assert {*lines["epoch 2"].get_xdata()} == {2}
    assert right.get_title() == "epoch chosen by hand"


def test_lines_of_a_run_that_was_never_evaluated():
    right = curves.draw([row(1), row(2)], num_classes=7).axes[1]
    assert [x.get_label() for x in right.lines] == ["training accuracy", "chance"]
    assert right.get_title() == ""
