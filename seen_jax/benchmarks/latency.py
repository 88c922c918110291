"""Predicting one window, here and in plain PyTorch.

    python -m seen_jax.benchmarks latency [--json] [--plot FILE.png]

As `forward` for a batch of one.
"""

from __future__ import annotations

from seen_jax.benchmarks import forward, side_by_side


def main(argv: list[str]) -> int:
    args = side_by_side.parser("latency", batch_size=1).parse_args(argv)
    return side_by_side.run(args, "latency", forward.make_calls)
