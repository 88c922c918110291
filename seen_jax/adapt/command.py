"""Fits a run to one person by a few labelled clips of them.

    python -m seen_jax.adapt --run=RUN --clips=CLIPS --out=RUN2 [--bundle=BUNDLE]

RUN2 is a run as train.py leaves it; a table of clips is cut into RUN2/clips. If it was
killed or stopped, rerun the command to resume.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping, Sized
from dataclasses import replace
from pathlib import Path

import jax
from absl import logging

from seen_jax import memory, recordings
from seen_jax.adapt import recipe, wearer
from seen_jax.data.batches import Batches
from seen_jax.data.mixed import from_files, in_both
from seen_jax.data.store import Store
from seen_jax.errors import counted, refuse
from seen_jax.evaluation.restored import (
    Restored,
    evaluate,
    find_data,
    open_batches,
    restore,
)
from seen_jax.event_folder import parse_crop
from seen_jax.export import bundle, start
from seen_jax.files import check_writable
from seen_jax.staleness import add_reading_arguments
from seen_jax.training import loop, setup, workdir
from seen_jax.training.rows import read_rows

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
    check_places(args)
    if args.bundle:
        formats = bundle.check_ready(args.bundle, args.formats or ["native"])
    run = restore(args.run.resolve(), args.step)  # the same by whatever path
    if args.bundle:
        bundle.check_network(run.model)
    args.data_dir, _ = find_data(run, args.data_dir)
    places = args.data_dir, args.store_dir
    others, test = (open_batches(run, x, *places) for x in ("train", "test"))
    if is_table:
        known = others.clips.labels, others.setting, others.clips.frames_per_s
        wearer.check_table(clips, *known, args.volunteer, args.crop)
    with workdir.claimed(args.out):
        if is_table:
            options = {"crop": args.crop, "recover": args.recover}
            options |= {"max_stale_s": args.max_stale_s}
            table, clips = clips, args.out / "clips"
            if not workdir.has_checkpoint(args.out):  # the table may be another by now
                shutil.rmtree(clips, ignore_errors=True)
            wearer.cut(table, clips, others.clips.frames_per_s, **options)
        chosen, left, person = read(clips, others, test, args)
        if not left and args.per_label:
            print("no clips are left to compare with", flush=True)
        if code := adapt(run, others, test, chosen, person, args):
            return code
    adapted = restore(args.out)
    if left:
        print(tell(run, adapted, left, others))
    print(tell_of_others(run, test, read_rows(args.out)[-1]["war"]))
    if args.bundle:
        manifest = bundle.write_bundle(adapted, test, args.bundle, formats)
        print(f"\n{bundle.to_text(manifest)}\n\n{args.bundle}")
    return 0


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m seen_jax.adapt",
        description="Fits a run to one person: trains its last layers on a few "
        "labelled clips of that person, with clips of its training mixed in.",
        epilog="If it is killed, rerun the command: it resumes.",
    )
    text = "a folder of train.py, whose records must exist"
    parser.add_argument("--run", type=Path, required=True, metavar="RUN", help=text)
    text = "a SEE folder, a CLIPS.csv, or a folder with one, of one person"
    parser.add_argument("--clips", type=Path, required=True, metavar="CLIPS", help=text)
    text = "a new folder, the run of that person"
    parser.add_argument("--out", type=Path, required=True, metavar="RUN2", help=text)
    text = "the first N clips of each label, the others show how it does; default: all"
    parser.add_argument("--per_label", type=positive, metavar="N", help=text)
    parser.add_argument("--volunteer", help="whose clips, if there are several people")
    text = "also write this bundle for a board"
    parser.add_argument("--bundle", type=Path, metavar="BUNDLE", help=text)
    text = "of the bundle; default: native"
    parser.add_argument("--formats", type=names, help=text)
    text = "of the checkpoint to begin with; default: the selected one"
    parser.add_argument("--step", type=int, help=text)
    text = "where RUN's records are, if they were moved"
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


def check_places(args: argparse.Namespace) -> None:
    """Raises a UserError if a folder to write holds something else."""
    if args.formats and not args.bundle:
        refuse("--formats", "--bundle=BUNDLE beside it", "none", "give both or neither")
    out = args.out.resolve()
    if args.bundle:
        place = args.bundle.resolve()
        if place.is_relative_to(out) or out.is_relative_to(place):
            refuse("--bundle", "a folder apart from --out", place, "give another one")
    there = {path.name for path in out.iterdir()} - {"lock"} if out.is_dir() else set()
    if workdir.CONFIG_FILE in there:
        is_ours, got = "wearer" in (workdir.load_origin(out) or {}), "another run"
    else:
        is_cut = (out / "clips" / recordings.SOURCES_FILE).is_file()
        is_ours = not there - ({"clips"} if is_cut else set())
        got = f"one with {min(there, default='')} in it"
    if not is_ours:
        rule = "a new or empty folder, or one of this command"
        refuse(args.out, rule, got, "give another --out")
    check_writable(out)


def read(
    folder: Path, others: Batches, test: Batches, args: argparse.Namespace
) -> tuple[Store, Store | None, str]:
    """Reads the person's clips in a SEE folder.

    Args:
      others, test: the run's own clips, of its training and its test split.

    Returns:
      The clips to adapt to, those that are left, if any, and who it is.

    Raises:
      UserError: as of `wearer.read`, or a clip is one of the test split.
    """
    facts = others.clips
    parts = folder, facts.labels, others.setting, facts.frames_per_s, args.volunteer
    clips, person = wearer.read(*parts)
    chosen, left = (
        from_files(part, facts.labels, facts.frames_per_s, facts.source)
        if part
        else None
        for part in wearer.choose(clips, args.per_label)
    )
    for store in filter(None, (chosen, left)):
        if known := in_both(store, test.images, test.clips):
            more = f" and {len(known) - 1} more" if known[1:] else ""
            rule = f"clips that are not in the test split of {args.run}"
            remedy = "adapt to someone else: RUN2 is evaluated on that split"
            refuse(args.clips, rule, f"{known[0]}{more}", remedy)
    return chosen, left, person


def adapt(
    run: Restored,
    others: Batches,
    test: Batches,
    chosen: Store,
    person: str,
    args: argparse.Namespace,
) -> int:
    """Trains a run from `run`'s weights on what `read` returned, as `loop.train`."""
    names, counts = chosen.clips.names, wearer.counts_of(chosen.clips)
    text = f"{number_of(names)} of {person or 'one person'}, {args.clips}"
    lines = [f"adapts to {text}: {each_of(counts)}", *notes_on(counts, args.per_label)]
    print("\n".join(lines), flush=True)
    check_same(args.out, [*names], counts)
    config = recipe.config_of(run) | {"data_dir": args.data_dir}
    if args.store_dir is not None:
        config["store_dir"] = args.store_dir
    rehearsed = recipe.draw_others(others)
    print(f"among {number_of(rehearsed.clips)} that {args.run} was trained on")
    mixed = recipe.mix(config, rehearsed, chosen)
    shown = setup.batches_of(config, test.images, test.clips, "eval")
    task = setup.prepare(config, mixed, shown)
    records = {**task.fingerprints, "wearer": chosen.clips.fingerprint}
    task = replace(task, fingerprints=records)
    weights, origin = start.begin(task, args.out)
    if origin:
        origin["history"] += f", adapted to {text}"
        origin["wearer"] = dict(volunteer=person, clips=[*names], per_label=counts)
    for line in workdir.check_config(args.out, task.config, task.fingerprints, origin):
        print(f"a run that left no checkpoint starts again with {line}")
    return loop.train(task, args.out, weights)


def number_of(clips: Sized) -> str:
    return counted(len(clips), "clip")


def each_of(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{label} {count}" for label, count in counts.items())


def notes_on(counts: Mapping[str, int], per_label: int | None) -> list[str]:
    """Formats the labels that have no clips, or fewer than were asked for."""
    lines = []
    if absent := [label for label, count in counts.items() if not count]:
        text = "the network may now prefer the other labels"
        lines.append(f"no clips of {', '.join(absent)}: {text}")
    fewer = {x: count for x, count in counts.items() if 0 < count < (per_label or 0)}
    if fewer:
        lines.append(f"fewer than --per_label={per_label}: {each_of(fewer)}")
    return lines


def check_same(out: Path, names: list[str], counts: Mapping[str, int]) -> None:
    """Raises a UserError if a run was adapted to other clips than these."""
    if not workdir.has_checkpoint(out):
        return
    before = (workdir.load_origin(out) or {})["wearer"]
    if before["clips"] != names:
        were = f"{number_of(before['clips'])} ({each_of(before['per_label'])})"
        remedy = "repeat --clips, --volunteer and --per_label, or give another --out"
        got = f"{number_of(names)} ({each_of(counts)})"
        refuse(out, f"the clips that it was adapted to, {were}", got, remedy)


def tell(run: Restored, adapted: Restored, left: Store, others: Batches) -> str:
    """Formats the share of the clips that are left which is right before and after.

    The run after was not trained on them; the one before may have been, which a second
    line states.
    """
    batches = setup.batches_of(run.config, left, left.clips, "eval")
    before, after = (share_right(x, batches, NUM_PASSES) for x in (run, adapted))
    verb = "is" if len(left.clips) == 1 else "are"
    text = f"{number_of(left.clips)} that {verb} left: {change_of(before, after)}"
    if known := in_both(left, others.images, others.clips):
        text += (
            f"\n{run.facts['workdir']} was trained on {len(known)} of them: the first "
            "figure does not show how well it reads someone new"
        )
    return text


def tell_of_others(run: Restored, test: Batches, after: float) -> str:
    """Formats the share of the test split that is right before, and `after`."""
    before = share_right(run, test, recipe.RECIPE["eval_passes"])
    return f"{number_of(test.clips)} of the test split: {change_of(before, after)}"


def share_right(run: Restored, batches: Batches, num_passes: int) -> float:
    predicted = evaluate(run, batches, num_passes).argmax(-1)
    return (predicted == batches.clips.label_index).mean()


def change_of(before: float, after: float) -> str:
    return f"{100 * before:.1f} % right before, {100 * after:.1f} % now"
