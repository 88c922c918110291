"""What a person sees of a run: the bar, a line per epoch, TensorBoard, curves.

A run that resumes after epoch e drops the rows of metrics.jsonl after e and writes them
again, so that no kill, at any point, leaves an epoch twice or not at all. Shares are 0
to 1 in the files and percent where people read them; beside every number that the epoch
is chosen by, a note says so.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorboardX
import tqdm

from seen_jax import curves, files, metrics
from seen_jax.errors import counted, refuse
from seen_jax.training import rows as rows_lib
from seen_jax.training.rows import CHOICES, Row
from seen_jax.training.workdir import RESUME

CURVES_FILE = "curves.svg"


class Journal:
    """Writes down a run; for process 0 alone.

    Args:
      select: how the epoch is selected, one of `CHOICES`.
      num_epochs, num_clips: epochs of the run, training clips of an epoch.
      epoch: epochs that have ended; rows of later ones are dropped.
      num_windows: done in the epoch after that; a run that begins here drops all.

    Attributes:
      rows: of the epochs that have ended.
    """

    def __init__(
        self,
        workdir: Path,
        select: str,
        labels: Sequence[str],
        *,
        num_epochs: int,
        num_clips: int,
        epoch: int = 0,
        num_windows: int = 0,
    ):
        self._workdir, self._select, self._labels = workdir, select, labels
        self._num_epochs, self._num_clips = num_epochs, num_clips
        self._last: float | None = None  # when windows were last done
        self._seconds, self._num_windows = 0.0, 0  # since the first dispatch
        path = workdir / rows_lib.FILE
        rows, tail = rows_lib.read_rows_and_tail(workdir)
        if tail:
            self.say(f"{path}: the last line was cut off and is dropped")
        if len(rows) < epoch:
            rule = f"rows of {counted(epoch, 'epoch')}, as the checkpoint has seen"
            refuse(path, rule, len(rows), rows_lib.REMEDY)
        if dropped := len(rows) - epoch:
            text = f"{path}: {counted(dropped, 'epoch')} without a checkpoint"
            self.say(f"{text}, which the run trains again")
        self.rows = rows[:epoch]
        with files.explained(workdir, RESUME):
            files.write_whole(path, "".join(map(rows_lib.to_line, self.rows)))
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

    def first_dispatch(self, num_steps: int, seconds: float) -> None:
        """Says when the first steps of the run were done."""
        steps = "step" if num_steps == 1 else f"{num_steps} steps"
        self.say(f"first {steps} after {seconds:.1f} s, compilation included")

    def step(self, epoch: int, num_windows: int, loss: float, accuracy: float) -> None:
        """Advances the bar; loss and accuracy are the epoch's so far.

        The first dispatch is mostly compilation and says nothing of the time left.
        """
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
        """Writes the row of an epoch, which has ended with that."""
        self.rows.append(row)
        with files.explained(self._workdir, RESUME):
            rows_lib.append_row(self._workdir, row)
            self._write_board(row)
            if "war" in row:
                drawn = {"num_classes": len(self._labels), "choice": self._chosen(row)}
                picture = curves.draw(self.rows, **drawn)
                files.write_whole(self._workdir / CURVES_FILE, picture)
        self.say(self._text(row))
        if self._last is not None:  # the evaluation is not training time
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
        """How the epoch is chosen, if by these numbers: stated beside each of them."""
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
            for tag, value in _published_tags(row, self._labels).items():
                if value is not None:
                    self._board.add_scalar(
                        prefix + tag, value, epoch, summary_description=chosen
                    )
            self._board.add_text("scores", self._scores(row), epoch)
        self._board.flush()

    def close(self) -> None:
        self._bar.close()
        self._board.close()


def _published_tags(row: Row, labels: Sequence[str]) -> dict[str, float | None]:
    mean, passes = row["mean"], [x["overall"] for x in row["passes"]]
    blends = [metrics.blend(x["UAR"], x["WAR"]) for x in passes]
    lightings = mean["lightings"].items()
    return {
        **{f"test_num/{number}": x for number, x in enumerate(blends, 1)},
        **{f"acc/{label}": mean["recalls"][label] for label in labels},
        "Metrics/UAR-average": mean["overall"]["UAR"],
        "Metrics/WAR-average": mean["overall"]["WAR"],
        "Metrics/F1-p=0.33-average": float(np.mean(blends)),
        **{f"situation/{name}--average": share for name, share in lightings},
    }


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"


def scores_text(row: Row) -> str:
    return f"{row['split']} WAR {100 * row['war']:.1f} %, UAR {100 * row['uar']:.1f} %"
