"""What a person sees of a run: the bar, a line per epoch, TensorBoard, curves.

`metrics.jsonl` is the record of it: one line per epoch, from 1, written before the
checkpoint of that epoch. A run that goes on from epoch e first drops the lines after e,
so that no kill, at whatever moment, leaves an epoch twice or not at all. Shares are 0
to 1 in the files and percent in print.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorboardX
import tqdm
from matplotlib.figure import Figure

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
      num_windows: done in the epoch after that.
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
        self._workdir, self._select, self._num_epochs = workdir, select, num_epochs
        with reported(workdir):
            self._rows = [row for row in read_rows(workdir) if row["epoch"] <= epoch]
            text = "".join(map(_line, self._rows))
            write_atomically(workdir / METRICS_FILE, text)
            self._board = tensorboardX.SummaryWriter(
                str(workdir / "tensorboard"), purge_step=epoch + 1
            )
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
        shown = f"epoch {epoch} loss {loss:.3f} accuracy {accuracy:.3f}"
        self._bar.set_postfix_str(shown, refresh=False)
        self._bar.update(num_windows)

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
                draw_curves(self._workdir, self._rows)
        self.say(self._text(row))

    def _text(self, row):
        text = (
            f"epoch {row['epoch']}/{self._num_epochs}  loss {row['loss']:.3f}  "
            f"accuracy {row['accuracy']:.3f}  lr {row['learning_rate']:.2g}  "
            f"{row['windows_per_s']:.0f} windows/s"
        )
        left = (self._num_epochs - row["epoch"]) * row["seconds"]
        text += f"  {_clock(left)} left" if left else ""
        if "war" not in row:
            return text
        # Where the epoch is chosen by these numbers, that is said beside each of them.
        chosen = f" ({CHOICES[self._select]})" if row["split"] == self._select else ""
        return f"{text}  {scores_text(row)}{chosen}"

    def _write_board(self, row: Row) -> None:
        """Writes the published tags; of held out volunteers below `validation/`."""
        scalars = {
            "train/loss": row["loss"],
            "train/acc": row["accuracy"],
            "train/lr": row["learning_rate"],
        }
        if "war" in row:
            prefix = "" if row["split"] == "test" else f"{row['split']}/"
            scalars |= {prefix + tag: x for tag, x in _published_tags(row).items()}
        for tag, value in scalars.items():
            if value is not None:
                self._board.add_scalar(tag, value, row["epoch"])
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


def draw_curves(workdir: Path, rows: list[Row]) -> None:
    """Draws loss, accuracy and the evaluations by epoch."""
    epochs = [row["epoch"] for row in rows]
    evaluated = [row for row in rows if "war" in row]
    figure = Figure(figsize=(8, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(epochs, [row["loss"] for row in rows], marker=".")
    left.set(xlabel="epoch", ylabel="training loss", ylim=(0, None))
    right.plot(epochs, [row["accuracy"] for row in rows], label="training accuracy")
    for name in ("war", "uar"):
        values = [row[name] for row in evaluated]
        label = f"{evaluated[0]['split']} {name.upper()}"
        right.plot([row["epoch"] for row in evaluated], values, ".-", label=label)
    right.axhline(1 / len(see.EMOTIONS), color="grey", lw=0.8, ls=":", label="chance")
    right.set(xlabel="epoch", ylim=(0, 1))
    right.legend(fontsize="small")
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=120)
    write_atomically(workdir / CURVES_FILE, image.getvalue())
