"""Networks without spikes, rows F to I of the paper's Table 2.

Each takes the convolutions, attention and weight copy of `SEEN`, puts ReLU where LIF1
to LIF3 and J_s spike, and has something else than LIF4 and LIF5 behind them. All are
called as `SEEN` is, without `capture`. What a reader would get wrong: the paper does
not say how large these networks are; the sizes here are this project's own.

Reference: Zhang et al., "In the Blink of an Eye: Event-based Emotion Recognition",
SIGGRAPH 2023, Table 2.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen as nn

from seen_jax.models.layers import Dense
from seen_jax.models.lif import LIFState
from seen_jax.models.seen import SEEN

NUM_FEATURES = 256  # of a frame, as many as fc1 has
NUM_HEADS = 4
NUM_BLOCKS = 2


def relu_neuron(currents: jax.Array) -> LIFState:
    """A neuron without memory or threshold, in place of `LIF`; (B, T, ...)."""
    return LIFState(membrane=currents, spike=nn.relu(currents))


class Frames(nn.Module):
    """Both branches up to fc1, without spikes: (B, T, h, w, 512)."""

    axis_name: str | None = None

    @nn.compact
    def __call__(self, **inputs) -> jax.Array:
        stem = SEEN(neuron=relu_neuron, axis_name=self.axis_name, name="stem")
        return stem.fuse(**inputs)[0]


class CNN(nn.Module):
    """F: each event frame by itself; logits are the mean over the frames."""

    num_classes: int = 7
    axis_name: str | None = None

    @nn.compact
    def __call__(self, **inputs) -> jax.Array:
        x = _flat(Frames(self.axis_name, name="frames")(**inputs))
        x = nn.relu(Dense(NUM_FEATURES, name="fc1")(x))
        return Dense(self.num_classes, name="fc2")(x).mean(axis=1)


class LSTM(nn.Module):
    """G: an LSTM over the frames; logits are the mean over its outputs."""

    num_classes: int = 7
    axis_name: str | None = None

    @nn.compact
    def __call__(self, **inputs) -> jax.Array:
        x = _flat(Frames(self.axis_name, name="frames")(**inputs))
        x = nn.relu(Dense(NUM_FEATURES, name="fc1")(x))
        x = nn.RNN(nn.OptimizedLSTMCell(NUM_FEATURES), name="lstm")(x)
        return Dense(self.num_classes, name="fc2")(x).mean(axis=1)


class Transformer(nn.Module):
    """H: self-attention between the frames; logits are the mean over its outputs.

    Reference: the pre-norm blocks of Xiong et al., "On layer normalization in the
    transformer architecture", 2020.
    """

    num_classes: int = 7
    axis_name: str | None = None

    @nn.compact
    def __call__(self, **inputs) -> jax.Array:
        x = _flat(Frames(self.axis_name, name="frames")(**inputs))
        x = Dense(NUM_FEATURES, name="fc1")(x)
        position = nn.initializers.normal(0.02)
        x = x + self.param("position", position, x.shape[1:], x.dtype)
        for _ in range(NUM_BLOCKS):
            x = x + nn.MultiHeadDotProductAttention(NUM_HEADS)(nn.LayerNorm()(x))
            hidden = nn.relu(Dense(2 * NUM_FEATURES)(nn.LayerNorm()(x)))
            x = x + Dense(NUM_FEATURES)(hidden)
        return Dense(self.num_classes, name="fc2")(nn.LayerNorm()(x)).mean(axis=1)


class CNN3D(nn.Module):
    """I: convolutions over time, rows and columns; logits from the mean over all."""

    num_classes: int = 7
    axis_name: str | None = None

    @nn.compact
    def __call__(self, **inputs) -> jax.Array:
        x = Frames(self.axis_name, name="frames")(**inputs)
        for _ in range(NUM_BLOCKS):
            x = nn.relu(nn.Conv(NUM_FEATURES, kernel_size=(3, 3, 3))(x))
        x = x.mean(axis=(1, 2, 3))
        return Dense(self.num_classes, name="fc2")(x)


def _flat(images: jax.Array) -> jax.Array:
    return jnp.reshape(images, (*images.shape[:2], -1))
