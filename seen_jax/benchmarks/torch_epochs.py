"""Epochs of the plain PyTorch program: its data on the device, or loaded as it goes.

What a reader would get wrong: on the device PyTorch is given what this project has too,
every frame there once, windows gathered and normalised there. Loading is what the
published program does: JPEG files decoded with Pillow as RGB, n event frames and n
intensity frames for a window, here by one process for each of the CPU's processors.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from seen_jax import see
from seen_jax.benchmarks import torch_seen
from seen_jax.data.batches import Batches

NUM_FILES = 256  # that windows are decoded from, again and again


class Files(Dataset):
    """Windows (2, T, 90, 90, 3) uint8, decoded when asked for; T files of each kind."""

    def __init__(self, jpegs: list[bytes], num_windows: int, num_event_frames: int):
        self.jpegs = jpegs
        self.num_windows = num_windows
        self.num_event_frames = num_event_frames

    def __len__(self) -> int:
        return self.num_windows

    def __getitem__(self, number: int) -> np.ndarray:
        shape = see.INPUT_SIZE, see.INPUT_SIZE
        images = []
        for i in range(2 * self.num_event_frames):
            jpeg = self.jpegs[(number + i) % len(self.jpegs)]
            with Image.open(io.BytesIO(jpeg)) as image:
                rgb = image.convert("RGB").resize(shape, Image.Resampling.BILINEAR)
            images.append(np.asarray(rgb))
        return np.stack(images).reshape(2, self.num_event_frames, *shape, 3)


def resident_epochs(batches: Batches, device: str) -> Callable[[], float]:
    """Returns a function that trains an epoch and returns its mean loss.

    Args:
      batches: of a store, whose frames are copied to the device at once.
      device: PyTorch's name of it.
    """
    network = torch_seen.SEEN().to(device)
    optimizer, schedule = torch_seen.recipe(network)
    store = batches.provider.store
    events, intensities = (
        torch.from_numpy(np.ascontiguousarray(x)).to(device)
        for x in (store.event_frames, store.intensity_frames)
    )
    epoch = 0

    def run():
        nonlocal epoch
        rows = batches.rows(epoch * len(batches), (epoch + 1) * len(batches))
        num_windows = rows["mask"].sum(axis=1).tolist()  # here: the device is not asked
        rows = {name: torch.from_numpy(x).to(device) for name, x in rows.items()}
        total = torch.zeros((), device=device)
        for i, num_rows in enumerate(num_windows):
            event = events[rows["event_rows"][i, :num_rows]]
            intensity = intensities[rows["intensity_rows"][i, :num_rows]]
            inputs = normalise(event, see.EVENT_MEAN, see.EVENT_STD)
            pair = normalise(intensity, see.INTENSITY_MEAN, see.INTENSITY_STD)
            labels = rows["label"][i, :num_rows].long()
            loss = torch_seen.train_step(network, optimizer, inputs, pair, labels)
            total += loss * num_rows
        schedule.step()
        epoch += 1
        return total.item() / sum(num_windows)

    return run


def loading_epochs(
    jpegs: list[bytes],
    num_windows: int,
    num_event_frames: int,
    batch_size: int,
    device: str,
    num_workers: int | None = None,
) -> Callable[[], float]:
    """Returns a function that trains an epoch on files and returns its mean loss.

    Args:
      jpegs: the files.
      num_windows, num_event_frames, batch_size: of an epoch.
      device: PyTorch's name of it.
      num_workers: processes that decode; None takes one for each processor.
    """
    network = torch_seen.SEEN().to(device)
    optimizer, _ = torch_seen.recipe(network)
    num_workers = os.cpu_count() if num_workers is None else num_workers
    loader = DataLoader(
        Files(jpegs, num_windows, num_event_frames),
        batch_size,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        multiprocessing_context="spawn" if num_workers else None,
    )

    def run():
        total = 0.0
        for windows in loader:
            kinds = windows.to(device).permute(1, 0, 2, 5, 3, 4)  # (2, B, T, 3, H, W)
            inputs = _scaled(kinds[0], see.EVENT_MEAN, see.EVENT_STD)
            pair = _scaled(kinds[1][:, [0, -1]], see.INTENSITY_MEAN, see.INTENSITY_STD)
            labels = torch.arange(len(windows), device=device) % len(see.EMOTIONS)
            loss = torch_seen.train_step(network, optimizer, inputs, pair, labels)
            total += loss.item() * len(windows)
        return total / num_windows

    return run


def normalise(frames: torch.Tensor, mean: float, std: float) -> torch.Tensor:
    """Scales uint8 (B, T, H, W) to three equal channels (B, T, 3, H, W)."""
    return _scaled(frames, mean, std)[:, :, None].expand(-1, -1, 3, -1, -1)


def _scaled(frames, mean, std):
    return (frames.float() / 255 - mean) / std
