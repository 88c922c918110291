"""How well a run knows a new person, by the number of clips that it is adapted to.

    python -m seen_jax.benchmarks adapt --run RUN [--wearers SEE] [--json] [--plot FILE]

Of each person whom the run has not seen, `--most` clips of every label are drawn for
adapting; the others are for testing, the same ones however many of the first are used.
That is done `--draws` times. What `seen adapt` would train on is trained on. The people
are those of the run's test split, or of a folder in SEE's form; the run's test split,
without the person who is adapted to, says what was forgotten.
"""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure

from seen_jax import memory, metrics, protocol, see_folder
from seen_jax.adapt import recipe
from seen_jax.benchmarks import timing
from seen_jax.data.batches import Batches
from seen_jax.data.clips import Clips
from seen_jax.data.mixed import from_files, gather
from seen_jax.data.store import Store
from seen_jax.errors import counted, refuse
from seen_jax.evaluation import statistics
from seen_jax.evaluation.restored import Restored, open_batches, restore
from seen_jax.training import setup, state
from seen_jax.training import step as step_lib

Variables = dict[str, Any]
BATCH_SIZE = 32  # of all predictions, so that they are compiled once


def measure(args: Namespace) -> dict[str, Any]:
    """Adapts to everyone; returns the curve, and each person's."""
    memory.keep_freed()
    run = restore(args.run)
    train, test = (open_batches(run, x, args.data_dir) for x in ("train", "test"))
    images, clips = test.images, test.clips
    if args.wearers is not None:
        images = read_wearers(args.wearers, train.clips)
        clips = images.clips
    of_person = rows_of_people(clips)
    people = [x for x, rows in of_person.items() if fewest(clips, rows) > args.most]
    if not people:
        rule = f"people with {args.most + 1} clips of every label or more"
        remedy = "give --most=1, or --wearers=SEE with more clips of each"
        got = f"none of {len(of_person)}"
        refuse(args.wearers or args.run, rule, got, remedy)
    adapt = make_adapt(run, recipe.draw_others(train), test)
    right = make_right(run, args.passes)
    others = right(run.variables, test.images, test.clips)
    others_rows = of_person if args.wearers is None else {}
    shares, units, changes, seconds = [], [], [], []
    for number, person in enumerate(people):
        for draw in range(args.draws):
            rng = np.random.Generator(np.random.PCG64([number, draw]))
            pool, rest = divide(clips, of_person[person], args.most, rng)
            columns = [right(run.variables, images, clips.take(rest))]
            for count in range(1, args.most + 1):
                begin = time.perf_counter()
                variables = adapt(gather(images, clips.take(pool[:, :count].ravel())))
                seconds.append(time.perf_counter() - begin)
                columns.append(right(variables, images, clips.take(rest)))
            shares.append(np.stack(columns, axis=-1))
            units += [person] * len(rest)
        apart = np.setdiff1d(np.arange(len(others)), others_rows.get(person, []))
        change = right(variables, test.images, test.clips) - others
        changes.append(float(change[apart].mean()))
        wars = 100 * np.concatenate(shares[-args.draws :]).mean(axis=0)
        figures = ", ".join(f"{x:.1f}" for x in wars)
        text = f"{person}: WAR {figures} %, others {100 * changes[-1]:+.1f}"
        print(text, file=sys.stderr, flush=True)
    num_clips = sum(len(of_person[x]) for x in people)
    return {
        "machine": timing.machine(),
        "run": f"{run.facts['setting']}, {run.facts['choice']}",
        "source": clips.source,
        "people": people,
        "num_left_out": len(of_person) - len(people),
        "num_clips": num_clips,
        "draws": args.draws,
        "passes": args.passes,
        "curve": curve(np.concatenate(shares), units, num_clips),
        "each": by_person(np.concatenate(shares), units),
        "others": {
            "before": float(others.mean()),
            "change": interval_of(np.array(changes), people),
        },
        "seconds": median(seconds),
    }


def read_wearers(folder: Path, trained: Clips) -> Store:
    """Reads a SEE folder of the labels and the frame rate that a run was trained on."""
    contents = see_folder.check(see_folder.SeeFolder(folder), divided=False)
    contents.raise_problems()
    got = list(contents.split.labels), contents.split.frames_per_s
    expected = list(trained.labels), trained.frames_per_s
    if got != expected:
        refuse(folder, f"labels and frame rate {expected}", got)
    source = contents.provenance["source"]
    return from_files([*contents.clips.values()], *expected, source)


def rows_of_people(clips: Clips) -> dict[str, np.ndarray]:
    """Returns the rows of each volunteer's clips."""
    who = clips.metadata["volunteer"]
    return {str(x): np.flatnonzero(who == x) for x in np.unique(who)}


def fewest(clips: Clips, rows: np.ndarray) -> int:
    """Returns how many clips there are of the label of which there are fewest."""
    counts = np.bincount(clips.label_index[rows], minlength=len(clips.labels))
    return int(counts.min())


def divide(
    clips: Clips, rows: np.ndarray, most: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draws clips of each label (K, most), and returns the others (M,), as rows."""
    rows = rng.permutation(rows)
    label = clips.label_index[rows]
    pool = np.stack([rows[label == k][:most] for k in range(len(clips.labels))])
    return pool, np.setdiff1d(rows, pool)


def make_adapt(
    run: Restored, others: Store, test: Batches
) -> Callable[[Store], Variables]:
    """Returns a function of clips: the variables that `seen adapt` would train."""
    config = recipe.config_of(run)
    first = recipe.mix(config, others, others)  # of which the length alone counts
    task = setup.prepare(config, first, test)
    take_step = step_lib.make_train_step(task.step)
    opt_state = jax.device_get(jax.jit(task.optimizer.init)(run.variables["params"]))
    begun = state.TrainState(np.int32(0), **run.variables, opt_state=opt_state)

    def adapt(clips: Store) -> Variables:
        batches, now = recipe.mix(config, others, clips), step_lib.replicate(begun)
        for batch in batches.iterate(0, config["num_epochs"] * len(batches)):
            now, _ = take_step(now, batch)
        return step_lib.first(now.variables)

    return adapt


def make_right(run: Restored, num_passes: int) -> Callable[..., np.ndarray]:
    """Returns (variables, images, clips) -> the share of passes that are right (N,)."""
    predict = step_lib.make_predict(run.model)
    config = run.config | {"batch_size": BATCH_SIZE}

    def right(variables, images, clips):
        whole = -(-len(clips) // BATCH_SIZE) * BATCH_SIZE  # one shape of batches
        shown = clips.take(np.resize(np.arange(len(clips)), whole))
        batches = setup.batches_of(config, images, shown, "eval")
        copied = step_lib.replicate(variables)
        answers = (
            (batch, predict(copied, batch))
            for batch in batches.iterate(0, num_passes * len(batches))
        )
        predicted = protocol.evaluate(answers, whole, num_passes).argmax(-1)
        return (predicted == shown.label_index).mean(axis=0)[: len(clips)]

    return right


def curve(
    shares: np.ndarray, units: Sequence[str], num_clips: int
) -> list[dict[str, Any]]:
    """Returns WAR, and its gain, by the number of clips of a label.

    Args:
      shares: (M, most + 1) of passes that are right, a row per clip and draw.
      units: (M,) whose clip it is.
      num_clips: of these people; those that several draws tested count once.
    """
    return [
        {"clips": count, "war": interval_of(shares[:, count], units, num_clips)}
        | {"gain": interval_of(shares[:, count] - shares[:, 0], units)}
        for count in range(shares.shape[1])
    ]


def interval_of(
    values: np.ndarray, units: Sequence[str], num_clips: int | None = None
) -> dict[str, float | None]:
    """Returns the mean of values (M,) with its interval over units (M,), if any.

    Args:
      num_clips: that shares rest on; None of differences.
    """
    members = {metrics.WAR: np.ones(len(values), bool)}
    estimate = statistics.leave_one_out(values, units, members)[metrics.WAR]
    interval = estimate.interval()
    if num_clips is not None:
        interval = estimate.share_interval(num_clips)
    low, high = (interval.low, interval.high) if interval else (None, None)
    return {"mean": estimate.value, "low": low, "high": high}


def by_person(shares: np.ndarray, units: Sequence[str]) -> dict[str, list[float]]:
    """Returns each person's WAR by the number of clips of a label."""
    who = np.array(units)
    return {x: shares[who == x].mean(axis=0).tolist() for x in dict.fromkeys(units)}


def to_text(result: dict[str, Any]) -> str:
    """Formats the curve, and what the others have lost."""
    others, count = result["others"], len(result["people"])
    most = result["curve"][-1]["clips"]
    lines = [
        f"{result['run']}; {result['source']} data; {result['machine']}",
        f"{count} {'person' if count == 1 else 'people'} "
        f"({result['num_left_out']} left out with too few clips), "
        f"{result['num_clips']} clips, {counted(result['draws'], 'draw')}, "
        f"{counted(result['passes'], 'pass')}; 95 % intervals over people",
        f"{'clips of a label':18}{'WAR, percent':>24}{'gain':>24}",
    ]
    for point in result["curve"]:
        gain = _percent(point["gain"], "+") if point["clips"] else ""
        lines.append(f"{point['clips']:<18}{_percent(point['war']):>24}{gain:>24}")
    change = _percent(others["change"], "+")
    lines += [
        f"others: {100 * others['before']:.1f} before, change {change}, with "
        f"{counted(most, 'clip')} of each label, last draw",
        f"{result['seconds']:.1f} s to mix the clips and take the steps, the median",
    ]
    return "\n".join(lines)


def _percent(figures: dict[str, float | None], sign: str = "") -> str:
    mean, low, high = (figures[x] for x in ("mean", "low", "high"))
    text = f"{100 * mean:{sign}.1f}"
    if low is None or high is None:
        return text
    return f"{text} ({100 * low:{sign}.1f} to {100 * high:{sign}.1f})"


def plot(path: Path, result: dict[str, Any]) -> None:
    """Draws the curve with its intervals, over a line for each person."""
    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots()
    counts = [point["clips"] for point in result["curve"]]
    for wars in result["each"].values():
        axes.plot(counts, [100 * x for x in wars], color="0.8", lw=1)
    wars = [point["war"] for point in result["curve"]]
    means, lows, highs = (
        np.array([100 * (x[y] if x[y] is not None else x["mean"]) for x in wars])
        for y in ("mean", "low", "high")
    )
    reach = means - lows, highs - means
    label = f"mean of {len(result['people'])} people, 95 % interval"
    axes.errorbar(counts, means, reach, fmt="o-", capsize=3, label=label)
    axes.set(xlabel="clips of each emotion that the network was adapted to")
    axes.set(ylabel="WAR on the person's other clips, percent", ylim=(None, 101))
    axes.set_xticks(counts)
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=150)
