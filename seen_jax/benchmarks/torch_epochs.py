"""Epochs of the plain PyTorch program: its data on the device, or loaded as it goes.

`Training` has every frame on the device once and gathers and normalises windows there,
as this project does. `loading_epochs` does what the published program does: Pillow
decodes JPEG files as RGB, n event frames and n intensity frames for a window, here in
one process for each of the CPU's processors.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from seen_jax import see
from seen_jax.benchmarks import torch_seen
from seen_jax.benchmarks.clips import decode_rgb
from seen_jax.benchmarks.here import Weights
from seen_jax.data.batches import Batches
from seen_jax.protocol import Answer

NUM_FILES = 256  # that windows are decoded from, again and again


class Training:
    """The counterpart of `here.Training`, in the type of the weights."""

    def __init__(self, weights: Weights, batches: Batches, device: str = "cpu"):
        self.batches, self.device, self.num_epochs = batches, device, 0
        self.network = torch_seen.restore(weights, device)
        self.optimizer, self.schedule = torch_seen.recipe(self.network)
        self.images = self._place(batches)

    def epoch(self) -> float:
        """Trains an epoch; returns its mean loss."""
        size = len(self.batches)
        rows = self.batches.rows(self.num_epochs * size, (self.num_epochs + 1) * size)
        self.num_epochs += 1
        counts = rows["mask"].sum(axis=1).tolist()  # windows; the padding comes last
        inputs = zip(counts, self._inputs(rows, self.images), strict=True)
        parts = ([x[:count] for x in batch] for count, batch in inputs)
        loss = train(self.network, self.optimizer, parts)
        self.schedule.step()
        return loss

    def answers(self, batches: Batches, num_passes: int) -> Iterator[Answer]:
        """Predicts the passes of an evaluation, as `protocol.evaluate` wants them."""
        images = self._place(batches)
        for number in range(num_passes * len(batches)):
            rows = batches.rows(number, number + 1)
            ((*inputs, _),) = self._inputs(rows, images)
            yield rows, torch_seen.predict(self.network, *inputs)[None]

    def weights(self) -> Weights:
        state_dict = self.network.state_dict()
        return {name: x.cpu().numpy() for name, x in state_dict.items()}

    def _place(self, batches):
        store = batches.images
        frames = store.event_frames, store.intensity_frames
        return [torch.tensor(x, device=self.device) for x in frames]

    def _inputs(self, rows, images):
        """Yields event frames, intensity frames and labels of each batch."""
        names = ("event_rows", "intensity_rows", "label")
        on_device = [torch.from_numpy(rows[name]).to(self.device) for name in names]
        for *both, label in zip(*on_device, strict=True):
            frames = [x[at] for x, at in zip(images, both, strict=True)]
            yield *torch_seen.inputs(self.network, *frames), label


class Files(Dataset):
    """Windows (2, T, 90, 90, 3) uint8, decoded when asked for; T files of each kind."""

    def __init__(self, jpegs: list[bytes], num_windows: int, num_event_frames: int):
        self.jpegs = jpegs
        self.num_windows = num_windows
        self.num_event_frames = num_event_frames

    def __len__(self) -> int:
        return self.num_windows

    def __getitem__(self, number: int) -> np.ndarray:
        numbers = number + np.arange(2 * self.num_event_frames)
        images = decode_rgb([self.jpegs[i % len(self.jpegs)] for i in numbers])
        return images.reshape(2, self.num_event_frames, *images.shape[1:])


def loading_epochs(
    weights: Weights,
    windows: Dataset,
    batch_size: int,
    device: str,
    num_workers: int | None = None,
) -> Callable[[], float]:
    """Returns a function that trains an epoch on files and returns its mean loss.

    Args:
      windows: those of an epoch, as of `Files`.
      num_workers: processes that decode; None takes one for each processor.
    """
    network = torch_seen.restore(weights, device)
    optimizer, _ = torch_seen.recipe(network)
    num_workers = os.cpu_count() if num_workers is None else num_workers
    loader = DataLoader(
        windows,
        batch_size,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        multiprocessing_context="spawn" if num_workers else None,
    )

    def inputs():
        for batch in loader:
            kinds = batch.to(device).permute(1, 0, 2, 5, 3, 4)  # (2, B, T, 3, H, W)
            labels = torch.arange(len(batch), device=device) % len(see.EMOTIONS)
            yield *torch_seen.inputs(network, kinds[0], kinds[1][:, [0, -1]]), labels

    return lambda: train(network, optimizer, inputs())


def train(
    network: torch_seen.SEEN,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[Sequence[torch.Tensor]],
) -> float:
    """Takes a step on each batch, as of `torch_seen.train_step`.

    Returns:
      The mean loss of the windows; the device is asked for it at the end alone.
    """
    total, count = 0.0, 0
    for batch in batches:
        total += torch_seen.train_step(network, optimizer, *batch) * len(batch[0])
        count += len(batch[0])
    return float(total) / count
