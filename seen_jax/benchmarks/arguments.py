"""What an argument of a command may be."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable


def at_least(least: int) -> Callable[[str], int]:
    """Returns a type of whole numbers for `ArgumentParser.add_argument`."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least:
            raise argparse.ArgumentTypeError(
                f"expected a whole number from {least} on, got {text!r}"
            )
        return number

    return parse


def seconds(text: str) -> float:
    """A type of durations, 0 or more."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"expected seconds, 0 or more, got {text!r}")
    return number


def check_last_batch(num_clips: int, batch_size: int) -> None:
    """Raises a ValueError where an epoch of plain PyTorch would have to end in one."""
    if num_clips % batch_size == 1 or batch_size == 1:
        raise ValueError(
            "batch_size: expected no batch of one window, which PyTorch's BatchNorm "
            f"refuses, got {num_clips} clips in batches of {batch_size}; choose another"
        )
