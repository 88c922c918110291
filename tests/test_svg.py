"""Pictures: where things are, and that names are escaped."""

import math

import pytest

from seen_jax import svg
from tests.pictures import elements, texts


@pytest.mark.parametrize(
    "low, high, least, ticks",
    [
        (0, 1, 0, ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        (0.5, 30.5, 1, ["10", "20", "30"]),
        (0.5, 1.5, 1, ["1"]),
        (-20, 20, 0, ["-20", "-10", "0", "10", "20"]),
        (0, 0.002, 0, ["0", "0.0005", "0.001", "0.0015", "0.002"]),
    ],
)
def test_ticks_are_round_and_inside(low, high, least, ticks):
    axis = svg.axis("x", low, high, least)
    assert [*axis.ticks.values()] == ticks
    assert all(low - 1e-9 <= x <= high + 1e-9 for x in axis.ticks)


def test_points_are_where_their_numbers_say():
    points = [(0, 0), (5, math.nan), (10, 1)]
    line = svg.Line("<b>", points, "#123456", sizes=[1, 1, 3], intervals=[None] * 3)
    picture = svg.plot([line], svg.axis("x", 0, 10), svg.axis("y", 0, 1), "words <")
    (path,) = elements(picture, "polyline")
    (left, bottom), (right, top) = (
        map(float, x.split(",")) for x in path.get("points").split()
    )
    assert (left, right) == (svg.LEFT, svg.WIDTH - svg.RIGHT)
    assert bottom == svg.HEIGHT - svg.BOTTOM and top < bottom
    assert [x.get("r") for x in elements(picture, "circle")] == ["1.0", "3.0"]
    assert "<b>" in texts(picture) and "x" in texts(picture)


def test_an_interval_is_a_line_from_its_low_to_its_high_end():
    line = svg.Line("", [(1, 0.5)], "red", intervals=[(0.25, 0.75)])
    picture = svg.plot([line], svg.axis("x", 0, 2), svg.axis("y", 0, 1), "")
    (bar,) = [x for x in elements(picture, "line") if x.get("stroke") == "red"]
    low, high = float(bar.get("y1")), float(bar.get("y2"))
    whole = svg.HEIGHT - svg.BOTTOM - 10  # nothing is in the legend
    assert low - high == pytest.approx(whole / 2)


def test_points_without_an_order_are_not_joined():
    line = svg.Line("here", [(1, 0.5), (2, 0.2)], "red", sizes=[4, 4], is_joined=False)
    picture = svg.plot([line], svg.axis("x", 0, 2), svg.axis("y", 0, 1), "")
    assert not elements(picture, "polyline")
    assert not [x for x in elements(picture, "line") if x.get("stroke") == "red"]
    assert len(elements(picture, "circle")) == 3  # one is in the legend


def test_a_legend_takes_as_many_rows_as_it_needs():
    lines = [svg.Line("a long name of a run " * 2, [(0, 0), (1, 1)], "red")] * 4
    axis = svg.axis("", 0, 1)
    names = [
        x for x in elements(svg.plot(lines, axis, axis, ""), "text")
        if x.text and x.text.startswith("a long")
    ]  # fmt: skip
    assert len({x.get("y") for x in names}) == 4  # one in a row
    assert all(len(x.text) <= svg.LONGEST for x in names)


def test_a_long_name_loses_its_middle():
    """Runs of a folder are alike in all but their ends."""
    name = "data/quickstart/by_volunteer/E4_S3/seed_2022"
    assert svg.shortened(name) == "data/quickstar…E4_S3/seed_2022"
    assert svg.shortened(name[: svg.LONGEST]) == name[: svg.LONGEST]


def test_dots_at_the_same_place_are_above_each_other():
    shares = [(0.5, "ada"), (0.501, "<bob>"), (0.9, "eve")]
    dots = elements(svg.dots(shares, "red", svg.percents("right"), ""), "circle")
    (x1, y1), (x2, y2), (x3, y3) = (
        (float(x.get("cx")), float(x.get("cy"))) for x in dots
    )
    # Each is at its share of the axis, 400 - 56 - 18 wide; the second is covered less.
    assert [x1, x2, x3] == [56 + 163.0, 56 + 163.3, 56 + 293.4]
    assert y1 - y2 == 11 and y3 == y1
    assert "<bob>" in [x[0].text for x in dots]


def test_bars_are_percents_of_their_cell():
    picture = svg.bar(0.589, "red", (0.124, 0.935))
    assert 'width="58.90%"' in picture and 'x1="12.40%" x2="93.50%"' in picture
    assert svg.bar(math.nan, "red") == "" and svg.bar(0, "red").count("<line") == 0


def test_a_deviation_of_nothing_is_in_the_middle():
    picture = svg.deviation(0.0, (-0.05, 0.1), reach=0.1)
    assert 'cx="50.00%"' in picture and 'x1="25.00%" x2="100.00%"' in picture
    assert svg.deviation(math.nan, None, 1) == ""
