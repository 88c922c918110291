"""The two programs, this one and plain PyTorch: their trainings and their device.

`Here` and `Plain` train by the published recipe, in the type of their weights. Plain
has all frames on the device and gathers windows there, as this project does;
`loading_epochs` has Pillow decode JPEG files as RGB, T event frames and T intensity
frames for a window as the published program does, in a process for each processor.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence

import jax
import numpy as np
import torch
from torch.utils.data import DataLoader

from seen_jax import see
from seen_jax.benchmarks import timing, torch_seen
from seen_jax.benchmarks.clips import decode_rgb
from seen_jax.data.batches import Batches
from seen_jax.errors import refuse
from seen_jax.export.convert import variables_from_torch
from seen_jax.models.fast.network import network
from seen_jax.protocol import Answer
from seen_jax.training import step
from seen_jax.training.feed import Feed, Frames
from seen_jax.training.optimizer import learning_rate_by_epoch, sgd
from seen_jax.training.state import TrainState

HERE, PLAIN = "JAX", "plain PyTorch"
DEVICES = {"cpu": "cpu", "gpu": "cuda"}  # as JAX and PyTorch call their platform

Weights = Mapping[str, np.ndarray]  # by published name


class Here:
    """This project's training; its `state` is replicated.

    Args:
      precision: as of `network`.
      frames: of the batches' store, on the devices; None sends batches from the host.
      devices: None takes the first one.
    """

    def __init__(
        self,
        weights: Weights,
        batches: Batches,
        precision: str = "float32",
        frames: Frames | None = None,
        devices: Sequence[jax.Device] | None = None,
    ):
        self.batches, self.num_steps = batches, 0
        self.devices = devices or jax.local_devices()[:1]
        self.model = network(precision, axis_name=step.AXIS)
        decay = torch_seen.LEARNING_RATE_DECAY
        by_epoch = {"decay": decay, "steps_per_epoch": len(batches)}
        rate = learning_rate_by_epoch(torch_seen.LEARNING_RATE, **by_epoch)
        momentum, weight_decay = torch_seen.MOMENTUM, torch_seen.WEIGHT_DECAY
        optimizer = sgd(rate, momentum=momentum, weight_decay=weight_decay)
        self.step = step.train_step_fn(self.model, optimizer)
        self._train = Feed(batches, frames, self.devices).make_train(self.step)
        variables, number = variables_from_torch(weights), np.zeros((), np.int32)
        opt_state = optimizer.init(variables["params"])
        state = TrainState(number, **variables, opt_state=opt_state)
        self.state = step.replicate(state, self.devices)

    def start(self, num_steps: int) -> list[step.Sums]:
        """Dispatches steps of one epoch; the devices may not have their sums yet."""
        start, parts = self.num_steps, []
        self.num_steps += num_steps
        for state, _, sums in self._train(self.state, start, self.num_steps):
            self.state = state
            parts.append(sums)
        return parts

    def epoch(self) -> float:
        """Trains an epoch; returns its mean loss."""
        return mean_loss(self.start(len(self.batches)))

    def make_predict(
        self, batches: Batches, frames: Frames | None = None
    ) -> Callable[[int], Iterator[Answer]]:
        """Returns (number of passes) -> answers; compiled once."""
        predict = Feed(batches, frames, self.devices).make_predict(self.model)
        return lambda num_passes: predict(self.state.variables, num_passes)


def mean_loss(parts: list[step.Sums]) -> float:
    """Waits for the sums of some steps and returns their mean loss."""
    parts = [step.first(sums) for sums in parts]
    total, count = (sum(np.sum(x[name]) for x in parts) for name in ("loss", "count"))
    return float(total / count)


class Plain:
    """The counterpart of `Here` in PyTorch."""

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
        loss = torch_seen.train(self.network, self.optimizer, parts)
        self.schedule.step()
        return loss

    def make_predict(self, batches: Batches) -> Callable[[int], Iterator[Answer]]:
        images = self._place(batches)

        def answers(num_passes):
            for number in range(num_passes * len(batches)):
                rows = batches.rows(number, number + 1)
                ((*inputs, _),) = self._inputs(rows, images)
                yield rows, torch_seen.predict(self.network, *inputs)[None]

        return answers

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


def loading_epochs(
    weights: Weights, load: Callable, num_windows: int, batch_size: int, device: str
) -> Callable[[], float]:
    """Returns a function that trains an epoch and returns its mean loss.

    `load` is `load_windows` of some files.
    """
    network = torch_seen.restore(weights, device)
    optimizer, _ = torch_seen.recipe(network)
    workers = {"num_workers": os.cpu_count(), "multiprocessing_context": "spawn"}
    workers |= {"persistent_workers": True, "collate_fn": load}
    loader = DataLoader(range(num_windows), batch_size, **workers)

    def inputs():
        for both in loader:
            event, intensity = both.to(device).permute(0, 1, 2, 5, 3, 4)
            labels = torch.arange(len(event), device=device) % len(see.EMOTIONS)
            yield *torch_seen.inputs(network, event, intensity[:, [0, -1]]), labels

    return lambda: torch_seen.train(network, optimizer, inputs())


def load_windows(
    jpegs: Sequence[bytes], num_event_frames: int, numbers: Sequence[int]
) -> torch.Tensor:
    """Decodes B windows: uint8 (2, B, T, 90, 90, 3), of the files from each number on.

    The first T are the event frames, the others the intensity frames.
    """
    starts = num_event_frames * np.arange(2)[:, None] + numbers
    files = (starts[..., None] + np.arange(num_event_frames)) % len(jpegs)
    images = decode_rgb([jpegs[i] for i in files.ravel()])
    return torch.from_numpy(images.reshape(*files.shape, *images.shape[1:]))


def check_last_batch(num_clips: int, batch_size: int) -> None:
    """Raises a `UserError` if an epoch of plain PyTorch has a batch of one window."""
    if num_clips % batch_size == 1 or batch_size == 1:
        rule = "no batch of one window, which PyTorch's BatchNorm refuses"
        got = f"{num_clips} clips in batches of {batch_size}"
        refuse("batch_size", rule, got, "choose another")


def choose_device(name: str) -> None:
    """Has JAX work on a device of `DEVICES`, or raises a `UserError`.

    PyTorch gets full float32, as JAX has it; its own default on GPUs is TF32.
    """
    jax.config.update("jax_platforms", DEVICES[name])
    # Of a GPU's memory; JAX alone would take three quarters at once.
    os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.5")
    torch.backends.cudnn.allow_tf32 = False
    remedy = "choose cpu, or install PyTorch and JAX for this machine's GPU"
    if name == "gpu" and not torch.cuda.is_available():
        refuse("device", "a GPU that PyTorch sees", "none", remedy)
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:
        refuse("device", f"a {name} that JAX sees", f"none ({error})", remedy)


def machine(device: str) -> str:
    """Names the machine, and its GPU if that is the device."""
    gpu = f"{jax.devices()[0].device_kind}, " if device == "gpu" else ""
    return gpu + timing.machine()
