"""What a person sees of a run: the bar, a line per epoch, TensorBoard, curves.

`metrics.jsonl` is the record of it: one line per epoch, from 1. A run that goes on from
epoch e drops the lines after e and writes them again, so that no kill, at whatever
moment, leaves an epoch twice or not at all. Shares are 0 to 1 in the files and percent
where people read them; beside every number that the epoch is chosen by, that is said.
What a reader would get wrong: a run's first dispatch is mostly compilation, and tells
nothing of the time left.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import tensorboardX
import tqdm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from seen_jax import metrics, see
from seen_jax.training.checkpoint import CHOICES
from seen_jax.training.workdir import reported, write_atomically

Row = dict[str, Any]
METRICS_FILE, CURVES_FILE = "metrics.jsonl", "curves.png"


def read_rows(workdir: str | Path) -> list[Row]:
    """Returns the epochs of a run, in order; a line cut short by a kill is left out."""
    path = Path(workdir) / METRICS_FILE
    if not path.exists():
        return []
    lines = path.read_text().split("\n")[:-1]  # what follows the last newline is cut
    return [json.loads(line) for line in lines]


class Journal:
    """Writes down a run; for process 0 alone.

    Args:
      workdir: of the run.
      select: how the epoch that counts is chosen, one of `CHOICES`.
      num_epochs, num_clips: epochs of the run, training clips of an epoch.
      epoch: epochs done; what was noted of later ones is dropped.
      num_windows: done in the epoch after that; a run that begins here drops all.
    """

    def __init__(
        self,
        workdir: Path,
        select: str,
        *,
        num_epochs: int,
        num_clips: int,
        epoch: int = 0,
        num_windows: int = 0,
    ):
        self._workdir, self._select = workdir, select
        self._num_epochs, self._num_clips = num_epochs, num_clips
        self._last: float | None = None  # when windows were last done
        self._seconds, self._num_windows = 0.0, 0  # since the first dispatch
        with reported(workdir):
            self._rows = [row for row in read_rows(workdir) if row["epoch"] <= epoch]
            text = "".join(map(_line, self._rows))
            write_atomically(workdir / METRICS_FILE, text)
            board = workdir / "tensorboard"
            if not epoch and not num_windows:  # another config may have been here
                (workdir / CURVES_FILE).unlink(missing_ok=True)
                shutil.rmtree(board, ignore_errors=True)
            self._board = tensorboardX.SummaryWriter(str(board), purge_step=epoch + 1)
        self._bar = tqdm.tqdm(
            total=num_epochs * num_clips,
            initial=epoch * num_clips + num_windows,
            desc="train",
            unit="window",
            disable=None,  # on a terminal only; elsewhere the lines are enough
            dynamic_ncols=True,
        )

    def step(self, epoch: int, num_windows: int, loss: float, accuracy: float) -> None:
        """Moves the bar on; loss and accuracy are the epoch's so far."""
        now = time.perf_counter()
        shown = f"epoch {epoch} loss {loss:.3f} accuracy {100 * accuracy:.1f} %"
        self._bar.set_postfix_str(shown, refresh=False)
        if self._last is None:
            self._bar.n += num_windows
            self._bar.initial = self._bar.last_print_n = self._bar.n
            self._bar.unpause()
        else:
            self._seconds += now - self._last
            self._num_windows += num_windows
            self._bar.update(num_windows)
        self._last = now

    def say(self, text: str) -> None:
        """Prints a line above the bar."""
        tqdm.tqdm.write(text, file=sys.stdout)
        sys.stdout.flush()

    def epoch(self, row: Row) -> None:
        """Notes an epoch that is done.

        Args:
          row: epoch, step, loss, accuracy, learning_rate, seconds, windows_per_s; where
            it was evaluated also split, war, uar, war_std, passes (a `metrics.measure`
            each) and mean (of the passes).
        """
        self._rows.append(row)
        with reported(self._workdir):
            with open(self._workdir / METRICS_FILE, "a") as file:
                file.write(_line(row))
            self._write_board(row)
            if "war" in row:
                draw_curves(self._workdir, self._rows, self._chosen(row))
        self.say(self._text(row))
        if self._last is not None:  # the evaluation is no training time
            self._last = time.perf_counter()
            self._bar.unpause()

    def _text(self, row):
        text = (
            f"epoch {row['epoch']}/{self._num_epochs}  loss {row['loss']:.3f}  "
            f"accuracy {100 * row['accuracy']:.1f} %  lr {row['learning_rate']:.2g}  "
            f"{row['windows_per_s']:.0f} windows/s"
        )
        left = (self._num_epochs - row["epoch"]) * self._num_clips
        if left and self._num_windows:
            text += f"  {_clock(left * self._seconds / self._num_windows)} left"
        return f"{text}  {self._scores(row)}" if "war" in row else text

    def _scores(self, row):
        chosen = self._chosen(row)
        return scores_text(row) + (f" ({chosen})" if chosen else "")

    def _chosen(self, row):
        """How the epoch is chosen, if by these numbers: is said beside each of them."""
        return CHOICES[self._select] if row["split"] == self._select else ""

    def _write_board(self, row: Row) -> None:
        """Writes the published tags; of held out volunteers below `validation/`."""
        epoch = row["epoch"]
        self._board.add_scalar("train/loss", row["loss"], epoch)
        self._board.add_scalar("train/acc", row["accuracy"], epoch)
        self._board.add_scalar("train/lr", row["learning_rate"], epoch)
        if "war" in row:
            prefix = "" if row["split"] == "test" else f"{row['split']}/"
            chosen = self._chosen(row)
            for tag, value in _published_tags(row).items():
                if value is not None:
                    self._board.add_scalar(
                        prefix + tag, value, epoch, summary_description=chosen
                    )
            self._board.add_text("scores", self._scores(row), epoch)
        self._board.flush()

    def close(self) -> None:
        self._bar.close()
        self._board.close()


def _published_tags(row: Row) -> dict[str, float | None]:
    mean = row["mean"]
    blends = [metrics.blend(x["UAR"], x["WAR"]) for x in row["passes"]]
    return {
        **{f"test_num/{number}": x for number, x in enumerate(blends, 1)},
        **{f"acc/{emotion}": mean[emotion] for emotion in see.EMOTIONS},
        "Metrics/UAR-average": mean["UAR"],
        "Metrics/WAR-average": mean["WAR"],
        "Metrics/F1-p=0.33-average": float(np.mean(blends)),
        **{f"situation/{name}--average": mean[name] for name in see.LIGHTINGS},
    }


def _line(row: Row) -> str:
    return json.dumps(row, allow_nan=False) + "\n"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"


def scores_text(row: Row) -> str:
    return f"{row['split']} WAR {100 * row['war']:.1f} %, UAR {100 * row['uar']:.1f} %"


def draw_curves(workdir: Path, rows: list[Row], chosen: str = "") -> None:
    """Draws loss, accuracy and the evaluations by epoch.

    Args:
      workdir: of the run.
      rows: its epochs, one evaluated or more.
      chosen: how the epoch is chosen, if by these evaluations; else empty.
    """
    epochs = [row["epoch"] for row in rows]
    losses = [row["loss"] for row in rows]
    evaluated = [row for row in rows if "war" in row]
    split = evaluated[0]["split"]
    figure = Figure(figsize=(8, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(epochs, losses, ".-")
    left.set(ylabel="training loss", ylim=(0, 1.05 * max(losses)))
    lines = [("training accuracy", "accuracy", rows)]
    lines += [(f"{split} {x.upper()}", x, evaluated) for x in ("war", "uar")]
    for label, name, measured in lines:
        x, y = zip(*((row["epoch"], row[name]) for row in measured), strict=True)
        right.plot(x, y, ".-", label=label)
    right.axhline(1 / len(see.EMOTIONS), color="grey", lw=0.8, ls=":", label="chance")
    right.set(ylim=(0, 1.02))  # a dot at 1 is whole
    right.yaxis.set_major_formatter(PercentFormatter(1))
    if chosen:
        right.set_title(f"epoch {chosen}", fontsize="small")
    right.legend(fontsize="small")
    for axes in (left, right):
        axes.set(xlabel="epoch", xlim=(epochs[0] - 0.5, epochs[-1] + 0.5))
        axes.xaxis.set_major_locator(
            MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10])
        )
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=120)
    write_atomically(workdir / CURVES_FILE, image.getvalue())
