"""Fits a run to one person by a few labelled clips of them.

    python -m seen_jax.adapt --run=RUN --clips=CLIPS --out=RUN2 [--bundle=BUNDLE]

RUN2 is a run as train.py leaves it; a table of clips is cut into RUN2/clips. If it was
killed or stopped, rerun the command to resume.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import jax
from absl import logging

from seen_jax import memory
from seen_jax.adapt import recipe, wearer
from seen_jax.clip_files import Clip
from seen_jax.data.batches import Batches
from seen_jax.data.mixed import from_files
from seen_jax.errors import refuse, run_command
from seen_jax.evaluation.restored import (
    Restored,
    evaluate,
    find_data,
    open_batches,
    restore,
)
from seen_jax.event_folder import parse_crop
from seen_jax.export import bundle, start
from seen_jax.runtime import seen_runtime
from seen_jax.staleness import add_reading_arguments
from seen_jax.training import loop, setup, workdir
from seen_jax.training.step import AXIS

NUM_PASSES = 5  # over the clips that are left


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    logging.set_verbosity(logging.ERROR)
    memory.keep_freed()
    cache = args.compilation_cache or args.out.resolve().parent / "compilation_cache"
    jax.config.update("jax_compilation_cache_dir", str(cache))
    return fit(args)


def fit(args: argparse.Namespace) -> int:
    """Reads, trains, shows and exports; returns the exit code."""
    clips, is_table = wearer.find(args.clips)
    formats = bundle.check_ready(args.bundle, args.formats) if args.bundle else ()
    run = restore(args.run, args.step)
    if args.bundle:
        bundle.check_network(run.model)
    others = open_batches(run, "train", args.data_dir, args.store_dir)
    with workdir.claimed(args.out):
        check_out(args.out)
        if is_table:
            options = {"crop": args.crop, "recover": args.recover}
            options |= {"max_stale_s": args.max_stale_s}
            table, clips = clips, args.out / "clips"
            wearer.cut(table, clips, others.clips.frames_per_s, **options)
        signal, left = adapt(run, others, clips, args)
    if signal:
        return 128 + signal
    adapted = restore(args.out)
    if left:
        print(tell(run, adapted, left, others))
    if args.bundle:
        places = args.data_dir, args.store_dir
        test = open_batches(adapted, "test", *places)
        manifest = bundle.write_bundle(adapted, test, args.bundle, formats)
        print(f"\n{bundle.to_text(manifest)}\n\n{args.bundle}")
    return 0


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m seen_jax.adapt",
        description="Fits a run to one person: trains its last layers on a few "
        "labelled clips of that person, with clips of its training mixed in.",
        epilog="If it was killed, the same command resumes.",
    )
    parser.add_argument("--run", type=Path, required=True, metavar="RUN")
    text = "a SEE folder, a CLIPS.csv, or a folder with one, of one person"
    parser.add_argument("--clips", type=Path, required=True, metavar="CLIPS", help=text)
    text = "a new folder, the run of that person"
    parser.add_argument("--out", type=Path, required=True, metavar="RUN2", help=text)
    text = "the first N clips of each label, the others show how it does; default: all"
    parser.add_argument("--per_label", type=positive, metavar="N", help=text)
    parser.add_argument("--volunteer", help="whose clips, where they are of several")
    text = "write this bundle for a board, too"
    parser.add_argument("--bundle", type=Path, metavar="BUNDLE", help=text)
    text = "of the bundle; default: %(default)s"
    parser.add_argument("--formats", type=names, default=["native"], help=text)
    text = "of the checkpoint to begin with; default: the selected one"
    parser.add_argument("--step", type=int, help=text)
    text = "where RUN's records are, if they are not where they were"
    parser.add_argument("--data_dir", metavar="DIR", help=text)
    text = "where decoded frames are kept; default: as in the training"
    parser.add_argument("--store_dir", metavar="DIR", help=text)
    text = "of the rows of a table without one; default: the centre"
    parser.add_argument("--crop", type=parse_crop, metavar="X,Y,SIZE", help=text)
    add_reading_arguments(parser)
    text = "where compiled steps are kept; default: beside RUN2"
    parser.add_argument("--compilation_cache", metavar="DIR", help=text)
    return parser.parse_args(argv)


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {text!r}")
    return int(text)


def names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def check_out(out: Path) -> None:
    """Raises a UserError if a folder is another run's."""
    if workdir.has_checkpoint(out) and "wearer" not in (workdir.load_origin(out) or {}):
        rule, got = "a new folder, or one of this command", "another run"
        refuse(out, rule, got, "give another --out")


def adapt(
    run: Restored, others: Batches, folder: Path, args: argparse.Namespace
) -> tuple[int, list[Clip]]:
    """Trains until it is done, or until a signal asks to stop.

    Args:
      run: whose weights are adapted.
      others: of its training clips.
      folder: the person's clips, in SEE's form.
      args: of the command.

    Returns:
      0 when done, else the number of the signal, and the clips that are left.
    """
    facts = others.clips
    parts = folder, facts.labels, others.setting, facts.frames_per_s, args.volunteer
    clips, volunteer = wearer.read(*parts)
    chosen, left = wearer.choose(clips, args.per_label)
    counts = wearer.counts_of(chosen, facts.labels)
    text = f"{len(chosen)} clips of {volunteer or 'one person'}, {args.clips}"
    each = ", ".join(f"{label} {count}" for label, count in counts.items())
    print(f"adapts to {text}: {each}", flush=True)
    store = from_files(chosen, facts.labels, facts.frames_per_s, facts.source)
    places = {"data_dir": args.data_dir or find_data(run)}
    places |= {"store_dir": args.store_dir} if args.store_dir is not None else {}
    config = recipe.config_of(run) | places
    mixed = recipe.mix(config, recipe.draw_others(others, config["seed"]), store)
    task = replace(setup.prepare(config, AXIS, mixed), wearer=store.clips.fingerprint)
    weights, origin = start.begin(task, args.out)
    if origin:
        origin["history"] += f", adapted to {text}"
        origin["wearer"] = {
            "volunteer": volunteer,
            "clips": [clip.name for clip in chosen],
            "per_label": counts,
        }
    for line in workdir.check_config(args.out, task.config, task.fingerprints, origin):
        print(f"a run that left no checkpoint starts anew with {line}")
    return loop.train(task, args.out, weights), left


def tell(
    run: Restored, adapted: Restored, left: Sequence[Clip], others: Batches
) -> str:
    """Says what the networks before and after make of clips that neither has seen."""
    facts = others.clips
    store = from_files(left, facts.labels, facts.frames_per_s, facts.source)
    batches = recipe.batches_of(run.config, store, store.clips, "eval")
    before, after = (
        100 * (evaluate(x, batches, NUM_PASSES).argmax(-1) == truth).mean()
        for truth in [store.clips.label_index]
        for x in (run, adapted)
    )
    text = f"{before:.1f} % right before, {after:.1f} % now"
    return f"{len(left)} clips that are left: {text}"


if __name__ == "__main__":
    raise SystemExit(run_command(main, seen_runtime.ERRORS))
