"""SEEN and its training as a plain PyTorch program: what this project is compared with.

Written from the published equations and the published program's behaviour, eager, a
loop over time, every grey image as three equal channels, nothing left out. Modules have
the names of a published checkpoint, so its `state_dict` loads with `strict=True`.

Note: the temporal branch reads the spatial branch's kernels through `detach`, so
nothing learns through it before fc1.

Reference: Zhang et al., "In the Blink of an Eye: Event-based Emotion Recognition",
SIGGRAPH 2023; see `seen_jax.models.seen` for what is what.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import ExponentialLR, LRScheduler

from seen_jax import see

DECAY, THRESHOLD, SURROGATE_WIDTH = 0.2, 0.3, 0.5

# The published recipe.
LEARNING_RATE, LEARNING_RATE_DECAY = 0.015, 0.94  # the decay after every epoch
MOMENTUM, WEIGHT_DECAY = 0.9, 1e-3


class Spike(torch.autograd.Function):
    """1 where the membrane is above the threshold; the derivative is a rectangle."""

    @staticmethod
    def forward(ctx, membrane):
        ctx.save_for_backward(membrane)
        return (membrane > THRESHOLD).to(membrane.dtype)

    @staticmethod
    def backward(ctx, gradient):
        (membrane,) = ctx.saved_tensors
        inside = (membrane - THRESHOLD).abs() < SURROGATE_WIDTH
        return gradient * inside.to(gradient.dtype)


class Neurons(NamedTuple):
    """The state of a layer of LIF neurons; numbers at rest, then tensors."""

    membrane: Tensor | float = 0.0
    spike: Tensor | float = 0.0

    def step(self, current: Tensor) -> Neurons:
        membrane = DECAY * self.membrane * (1 - self.spike) + current
        return Neurons(membrane, Spike.apply(membrane))


class SEEN(nn.Module):
    """The published network, for images of 90 x 90."""

    def __init__(self, num_classes: int = 7):
        super().__init__()
        self.conv0 = nn.Conv2d(6, 3, 1)
        self.conv1_f2 = nn.Conv2d(3, 64, 3, stride=2, padding=1)
        self.conv1_f3 = nn.Conv2d(3, 64, 5, stride=2, padding=2)
        self.conv1_f4 = nn.Conv2d(3, 64, 7, stride=2, padding=3)
        self.mlp_f1, self.mlp_f2, self.mlp_f3 = (_score() for _ in range(3))
        self.conv1_cat = nn.Conv2d(192, 64, 1)
        self.conv2_f2 = nn.Conv2d(64, 256, 3, stride=2, padding=1)
        self.conv3_f2 = nn.Conv2d(256, 512, 3, stride=4, padding=1)
        self.fc1 = nn.Linear(512 * 6 * 6, 256)
        self.fc2 = nn.Linear(256, num_classes)

    def forward(self, event_frames: Tensor, intensity_frames: Tensor) -> Tensor:
        """Returns logits (B, K).

        Args:
          event_frames: (B, T, 3, H, W), normalised.
          intensity_frames: (B, 2, 3, H, W), normalised; the window's first and last.
        """
        attention, spatial = self.spatial(intensity_frames)
        attention = attention.detach()
        lif1 = lif2 = lif3 = lif4 = lif5 = Neurons()
        membranes = []
        for frame in event_frames.unbind(1):
            features = [_read(conv, frame) for conv in self.scales()]
            lif1 = lif1.step(_read(self.conv1_cat, _weigh(features, attention)))
            lif2 = lif2.step(_read(self.conv2_f2, lif1.spike))
            lif3 = lif3.step(_read(self.conv3_f2, lif2.spike))
            x = (lif3.spike + spatial).flatten(1)  # channel, row, column
            lif4 = lif4.step(self.fc1(x))
            lif5 = lif5.step(self.fc2(lif4.spike))
            membranes.append(lif5.membrane)
        return torch.stack(membranes).mean(0)

    def spatial(self, intensity_frames: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the attention (B, 3) and the spikes J_s (B, 512, 6, 6)."""
        x = self.conv0(intensity_frames.flatten(1, 2))  # [first RGB, last RGB]
        features = [conv(x) for conv in self.scales()]
        scores = (self.mlp_f1, self.mlp_f2, self.mlp_f3)
        each = [score(f).flatten(1) for score, f in zip(scores, features, strict=True)]
        attention = torch.cat(each, dim=1).softmax(dim=1)
        x = self.conv2_f2(self.conv1_cat(_weigh(features, attention)))
        return attention, Neurons().step(self.conv3_f2(x)).spike

    def scales(self) -> tuple[nn.Conv2d, ...]:
        return self.conv1_f2, self.conv1_f3, self.conv1_f4


def _score():
    conv, norm = nn.Conv2d(64, 8, 1), nn.BatchNorm2d(8)
    pool = nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(pool, conv, norm, nn.ReLU(), nn.Conv2d(8, 1, 1))


def _weigh(features, attention):
    """Concatenates three of (B, 64, h, w), each times its weight of (B, 3)."""
    weights = attention[:, :, None, None, None].unbind(1)
    return torch.cat([w * f for w, f in zip(weights, features, strict=True)], dim=1)


def _read(conv, x):
    """Convolves with a kernel as it is now: without bias, and nothing is learned."""
    kernel = conv.weight.detach()
    return functional.conv2d(x, kernel, stride=conv.stride, padding=conv.padding)


def load(network: SEEN, state_dict: Mapping[str, np.ndarray]) -> SEEN:
    """Copies arrays of published names into the network, cast to its type."""
    tensors = {name: torch.from_numpy(x.copy()) for name, x in state_dict.items()}
    network.load_state_dict(tensors, strict=True)
    return network


def draw_weights(seed: int) -> dict[str, np.ndarray]:
    """Draws weights as PyTorch does by default, by published name."""
    torch.manual_seed(seed)
    return {name: x.numpy().copy() for name, x in SEEN().state_dict().items()}


def restore(state_dict: Mapping[str, np.ndarray], device: str = "cpu") -> SEEN:
    """Returns a network of these weights, in their type, on a device."""
    dtype = torch.from_numpy(state_dict["fc1.weight"]).dtype
    return load(SEEN(len(state_dict["fc2.bias"])).to(device, dtype), state_dict)


def recipe(network: SEEN) -> tuple[Optimizer, LRScheduler]:
    """Returns the optimiser, and the schedule, which steps after every epoch."""
    rule = {"momentum": MOMENTUM, "weight_decay": WEIGHT_DECAY}
    optimizer = SGD(network.parameters(), LEARNING_RATE, **rule)
    return optimizer, ExponentialLR(optimizer, LEARNING_RATE_DECAY)


def inputs(network: SEEN, *both: Tensor) -> list[Tensor]:
    """Normalises frames: (B, T, 3, H, W) of the network's type, on its device.

    Args:
      both: event and intensity frames, levels 0 to 255; grey (B, T, H, W), or RGB.
    """
    means = see.EVENT_MEAN, see.INTENSITY_MEAN
    stds = see.EVENT_STD, see.INTENSITY_STD
    scaled = (
        (x.to(network.fc1.weight) / 255 - mean) / std
        for x, mean, std in zip(both, means, stds, strict=True)
    )
    return [rgb(x) if x.ndim == 4 else x for x in scaled]


def rgb(frames: Tensor | np.ndarray) -> Tensor:
    """Makes three equal channels without a copy: (B, T, H, W) to (B, T, 3, H, W)."""
    return torch.as_tensor(frames)[:, :, None].expand(-1, -1, 3, -1, -1)


def train_step(
    network: SEEN, optimizer: Optimizer, *inputs_and_labels: Tensor
) -> Tensor:
    """Takes one step in training mode; returns the loss before it, ()."""
    *inputs, labels = inputs_and_labels
    loss = functional.cross_entropy(network.train()(*inputs), labels.long())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def train(network: SEEN, optimizer: Optimizer, batches: Iterable) -> float:
    """Takes a step on each batch, as of `train_step`; returns the windows' mean loss.

    The device is asked for it at the end alone.
    """
    total, count = 0.0, 0
    for batch in batches:
        total += train_step(network, optimizer, *batch) * len(batch[0])
        count += len(batch[0])
    return float(total) / count


@torch.no_grad()
def predict(network: SEEN, *inputs: Tensor) -> np.ndarray:
    """Returns probabilities (B, K), BatchNorm on its running statistics."""
    network.eval()
    return network(*inputs).softmax(dim=1).cpu().numpy()
