"""simulator[:SEED] -> packets of a virtual volunteer, in real time."""

from __future__ import annotations

import os
from collections.abc import Iterator

from seen_jax.errors import refuse
from seen_jax.events import Recording


def is_simulated(source: str) -> bool:
    return source == "simulator" or source.startswith("simulator:")


def packets_of(source: str) -> Iterator[Recording]:
    """Simulates without an end, on the CPU: a GPU is left to the reader.

    Raises:
      UserError: the seed is not a number.
    """
    _, colon, seed = source.partition(":")
    if colon and not (seed.isascii() and seed.isdigit()):
        refuse("source", "simulator or simulator:SEED", repr(source), "give a number")
    os.environ["JAX_PLATFORMS"] = "cpu"  # before JAX is imported
    from seen_jax.simulator.stream import stream

    yield from stream(int(seed or 0))
