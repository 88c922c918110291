"""Networks without spikes, rows F to I of the paper's Table 2.

Each takes the convolutions, attention and weight copy of `SEEN`, with ReLU in place of
the spikes of LIF1 to LIF3 and J_s, and another network in place of fc1 to LIF5. All are
called as `README.md` says: `**inputs` are event_frames (B, T, H, W), intensity_frames
(B, I, H, W), train and mask, as `SEEN.fuse` describes and checks them; they return
logits (B, K). `intensity` is as of `SEEN`; `stem` makes `SEEN`, or what is the same and
faster, `fast.network.fastest`.

Note: the paper does not state the sizes of these networks; those here are this
project's choice.

Reference: Zhang et al., "In the Blink of an Eye: Event-based Emotion Recognition",
SIGGRAPH 2023, Table 2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from seen_jax.models.layers import Dense, param
from seen_jax.models.lif import LIFState
from seen_jax.models.precision import in_full
from seen_jax.models.seen import SEEN

NUM_FEATURES = 256  # per frame, as in fc1
NUM_HEADS = 4
NUM_BLOCKS = 2


def relu_neuron(currents: jax.Array) -> LIFState:
    """A neuron without memory or threshold, in place of `LIF`; (B, T, ...)."""
    return LIFState(membrane=currents, spike=nn.relu(currents))


class Frames(nn.Module):
    """Both branches up to fc1, with ReLU: (B, T, h, w, 512)."""

    intensity: str
    axis_name: str | None
    stem: Callable[..., nn.Module]

    @in_full
    @nn.compact
    def __call__(self, **inputs) -> jax.Array:
        options = {"intensity": self.intensity, "axis_name": self.axis_name}
        stem = self.stem(neuron=relu_neuron, name="stem", **options)
        return stem.fuse(**inputs)[0]


class CNN(nn.Module):
    """F: each event frame by itself; logits are the mean over the frames."""

    num_classes: int = 7
    intensity: str = "first_and_last"
    axis_name: str | None = None
    stem: Callable[..., nn.Module] = SEEN

    @in_full
    @nn.compact
    def __call__(self, **inputs) -> jax.Array:
        x = _flat(_fuse(self, inputs))
        x = nn.relu(Dense(NUM_FEATURES, name="fc1")(x))
        return Dense(self.num_classes, name="fc2")(x).mean(axis=1)


class LSTM(nn.Module):
    """G: an LSTM over the frames; logits are the mean over its outputs."""

    num_classes: int = 7
    intensity: str = "first_and_last"
    axis_name: str | None = None
    stem: Callable[..., nn.Module] = SEEN

    @in_full
    @nn.compact
    def __call__(self, **inputs) -> jax.Array:
        x = _flat(_fuse(self, inputs))
        x = nn.relu(Dense(NUM_FEATURES, name="fc1")(x))
        cell = nn.OptimizedLSTMCell(NUM_FEATURES, param_dtype=x.dtype)
        x = nn.RNN(cell, name="lstm")(x)
        return Dense(self.num_classes, name="fc2")(x).mean(axis=1)


class Transformer(nn.Module):
    """H: self-attention between the frames; logits are the mean over its outputs.

    Each of the T positions has its own weights, so T is fixed by training.

    Reference: the pre-norm blocks of Xiong et al., "On layer normalization in the
    transformer architecture", 2020.
    """

    num_classes: int = 7
    intensity: str = "first_and_last"
    axis_name: str | None = None
    stem: Callable[..., nn.Module] = SEEN

    @in_full
    @nn.compact
    def __call__(self, **inputs) -> jax.Array:
        x = _flat(_fuse(self, inputs))
        x = Dense(NUM_FEATURES, name="fc1")(x)
        norm = partial(
            nn.LayerNorm, param_dtype=x.dtype, force_float32_reductions=False
        )
        attend = partial(nn.MultiHeadDotProductAttention, param_dtype=x.dtype)
        position = nn.initializers.normal(0.02)
        x = x + param(self, "position", position, x.shape[1:], x.dtype)
        for _ in range(NUM_BLOCKS):
            x = x + attend(NUM_HEADS)(norm()(x))
            hidden = nn.relu(Dense(2 * NUM_FEATURES)(norm()(x)))
            x = x + Dense(NUM_FEATURES)(hidden)
        return Dense(self.num_classes, name="fc2")(norm()(x)).mean(axis=1)


class CNN3D(nn.Module):
    """I: convolutions over time, rows and columns; logits from the mean over all."""

    num_classes: int = 7
    intensity: str = "first_and_last"
    axis_name: str | None = None
    stem: Callable[..., nn.Module] = SEEN

    @in_full
    @nn.compact
    def __call__(self, **inputs) -> jax.Array:
        x = _fuse(self, inputs)
        for _ in range(NUM_BLOCKS):
            x = nn.relu(nn.Conv(NUM_FEATURES, (3, 3, 3), param_dtype=x.dtype)(x))
        x = x.mean(axis=(1, 2, 3))
        return Dense(self.num_classes, name="fc2")(x)


def _fuse(model: nn.Module, inputs: Mapping[str, jax.Array]) -> jax.Array:
    """Calls the `Frames` of a network: (B, T, h, w, 512)."""
    frames = Frames(model.intensity, model.axis_name, model.stem, name="frames")
    return frames(**inputs)


def _flat(images: jax.Array) -> jax.Array:
    return jnp.reshape(images, (*images.shape[:2], -1))
