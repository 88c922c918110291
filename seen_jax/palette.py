"""One colour per label, the same everywhere.

Reference: the colours are "bright" and, from the eighth on, of "muted" of Paul Tol's
schemes for colour-blind readers (Colour Schemes, SRON/EPS/TN/09-002, issue 3.2).
"""

from __future__ import annotations

from collections.abc import Sequence

BRIGHT = ["#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb"]
MUTED = ["#332288", "#999933", "#882255", "#44aa99", "#cc6677", "#117733", "#ddcc77"]


def colours(labels: Sequence[str]) -> list[str]:
    """Returns a colour, #rrggbb, for each label; after fourteen they come again."""
    known = BRIGHT + MUTED
    return [known[i % len(known)] for i in range(len(labels))]
