"""Which periods show an intensity frame that is no longer what the camera saw.

A period shows the last intensity frame before its end. Where a camera sent none for
more than two periods, the image is stale: such periods are counted and named, and a
longest wait above a limit is refused.
"""

from __future__ import annotations

import argparse
import math

import numpy as np

from seen_jax.errors import refuse

MAX_STALE_S = 0.2
_NUM_PERIODS = 2
_SHOWN = 5  # stretches in a sentence


def waits_us(times_us: np.ndarray, edges_us: np.ndarray) -> np.ndarray:
    """Returns how long each period's end is past the last intensity frame.

    Where there was none yet, the wait began with the first period.

    Args:
      times_us: int64 (F,), of the intensity frames, never decreasing.
      edges_us: int64 (N + 1,), see `seen_jax.events.period_edges`.

    Returns:
      int64 (N,), at least 0.
    """
    before = np.searchsorted(times_us, edges_us[1:], side="right")
    since = np.concatenate([edges_us[:1], times_us])[before]
    return edges_us[1:] - since


def check_stale(
    times_us: np.ndarray, edges_us: np.ndarray, max_stale_s: float = MAX_STALE_S
) -> str:
    """Says how many and which periods show a stale intensity frame, or "".

    Args:
      times_us, edges_us: as of `waits_us`.
      max_stale_s: the longest wait that is accepted, seconds; `inf` accepts all.

    Raises:
      UserError: a stale period waited longer.
    """
    waits = waits_us(times_us, edges_us)
    stale = np.flatnonzero(waits > _NUM_PERIODS * np.diff(edges_us))
    if not stale.size:
        return ""
    longest_s = waits[stale].max() / 1e6
    text = f"{stale.size} of {len(waits)} periods show an intensity frame older than "
    text += f"{_NUM_PERIODS} periods, {_stretches(stale)}; the longest without one is "
    text += f"{longest_s:.3f} s"
    if not longest_s <= max_stale_s:
        rule = f"one at least every {max_stale_s:g} s"
        accepted = math.ceil(longest_s * 100) / 100
        remedy = f"take another part, or accept it with --max_stale_s={accepted:g}"
        refuse("intensity frames", rule, text, remedy)
    return text


def _stretches(periods: np.ndarray) -> str:
    """Formats increasing numbers of periods as `00003 to 00007, 00012`."""
    parts = np.split(periods, np.flatnonzero(np.diff(periods) > 1) + 1)
    texts = [
        f"{x[0]:05d} to {x[-1]:05d}" if len(x) > 1 else f"{x[0]:05d}"
        for x in parts[:_SHOWN]
    ]
    more = [f"{len(parts) - _SHOWN} more stretches"] if len(parts) > _SHOWN else []
    return ", ".join(texts + more)


def _seconds(text: str) -> float:
    value = float(text)
    if not value >= 0:
        raise ValueError
    return value


def add_reading_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what is accepted of a recording: --max_stale_s, --recover."""
    text = "the longest time without an intensity frame that is accepted; default: "
    seconds = dict(type=_seconds, default=MAX_STALE_S, metavar="SECONDS")
    parser.add_argument("--max_stale_s", **seconds, help=text + "%(default)s")
    text = "read what is left of an incomplete recording"
    parser.add_argument("--recover", action="store_true", help=text)
