"""Predicting one window, here and in plain PyTorch.

    python -m seen_jax.benchmarks latency [--json] [--plot FILE.png]

As `forward` for a batch of one.
"""

from __future__ import annotations

from seen_jax.benchmarks import forward, side_by_side


def main(argv: list[str]) -> int:
    return side_by_side.main(argv, "latency", forward.make_calls, batch_size=1)
