"""Texts -> HTML: `Html` is markup, other text, such as a clip's name, is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape


class Html(str):
    """Markup."""


Part = Html | str | int | float
SHORT = 15  # letters of a title that is not broken within a word
SEVERAL, MANY = 6, 8  # columns; more have upright titles on a phone, or everywhere


def tag(name: str, *parts: Part, **attributes: str) -> Html:
    """Returns an element; `class_` and `data_x` become class and data-x."""
    inside = join(parts)
    attributes = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
    )
    return Html(f"<{name}{attributes}>{inside}</{name}>")


def join(parts: Sequence[Part], between: str = "") -> Html:
    return Html(between.join(map(_text, parts)))


def _text(part: Part) -> str:
    return part if isinstance(part, Html) else escape(str(part))


def table(head: Sequence[Part], rows: Sequence[Sequence[Part]], kind: str = "") -> Html:
    """Returns a table that scrolls by itself where it is wider than the page.

    Args:
      head: titles of the columns.
      rows: a row's first cell is its title; an empty row begins a group, and a row of
        one cell is a title across all columns.
      kind: of the element, for its looks.
    """
    titles = tag("tr", *(_title(x, "col") for x in head))
    lines, begins_group = [], False
    for row in rows:
        if row:
            across = {"colspan": str(len(head))} if len(row) == 1 else {}
            cells = [_title(row[0], "row", **across), *(_cell(x) for x in row[1:])]
            kinds = {"class_": "group"} if begins_group else {}
            lines.append(tag("tr", *cells, **kinds))
        begins_group = not row
    inside = tag("thead", titles), tag("tbody", *lines)
    return tag("div", tag("table", *inside, class_=kind), class_="wide")


def _title(part: Part, of: str, **across: str) -> Html:
    is_long = len(str(part)) > SHORT and not isinstance(part, Html)
    return tag("th", part, scope=of, **across, **{"class_": "long"} if is_long else {})


def _cell(part: Part) -> Html:
    """Returns a cell; one that is a cell already stays as it is."""
    done = isinstance(part, Html) and part.startswith("<td")
    return part if done else tag("td", part)


def heat_table(names: Sequence[str], rows: Sequence[Sequence[Part]]) -> Html:
    """Returns a table of `heat`; many columns have upright titles."""
    several = " several" if len(names) > SEVERAL else ""
    kind = "heat many" if len(names) > MANY else f"heat{several}"
    return table(["", *names], rows, kind)


def heat(text: str, share: float, title: str = "") -> Html:
    """Returns a cell whose ground is the darker the nearer the share is to 1."""
    words = {"title": title} if title else {}
    return tag("td", text, style=f"--share: {100 * share:.0f}%", **words)
