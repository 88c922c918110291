"""python -m seen_jax.simulator --out DIR: a simulated SEE folder; --serve: a camera."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from seen_jax import see
from seen_jax.cameras import server
from seen_jax.errors import counted, run_command
from seen_jax.simulator import stream, writer
from seen_jax.simulator.difficulty import DIFFICULTIES, EASY, HARD


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m seen_jax.simulator",
        description="Writes a simulated SEE folder in the published format. "
        "Depends on the arguments alone; if killed, rerun the same command to resume.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--out", type=Path, help="the folder to write")
    target.add_argument(
        "--serve",
        type=server.parse_address,
        metavar="HOST:PORT",
        help="serve a virtual DAVIS in real time instead: events on PORT, intensity "
        "frames on PORT + 1, for any client of iniVation's protocol",
    )
    parser.add_argument("--volunteers", type=int, default=see.NUM_VOLUNTEERS)
    parser.add_argument("--clips", type=int, default=see.NUM_CLIPS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--difficulty",
        choices=[*DIFFICULTIES],
        default=argparse.SUPPRESS,
        help="hard is meant to be as hard as the real SEE, easy is what the "
        "demonstration's network learns; default: hard for --out, easy for --serve",
    )
    parser.add_argument(
        "--raw", action="store_true", help="write each clip's events as AEDAT4 too"
    )
    parser.add_argument("--workers", type=int, help="processes; default: processors")
    args = parser.parse_args(argv)
    by_default = EASY if args.serve else HARD
    difficulty = DIFFICULTIES[getattr(args, "difficulty", by_default.name)]
    if args.serve:
        now_us = time.time_ns() // 1000
        packets = stream.stream(args.seed, now_us, difficulty=difficulty)
        server.serve(packets, *args.serve)
        return 0
    began = time.monotonic()
    cast = args.volunteers, args.clips, args.seed
    others = {"raw": args.raw, "num_workers": args.workers, "difficulty": difficulty}
    writer.write_see_folder(args.out, *cast, **others)
    took = time.monotonic() - began
    print(
        f"{counted(args.clips, 'clip')} of {counted(args.volunteers, 'volunteer')}, "
        f"{took:.0f} s: {args.out}"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
