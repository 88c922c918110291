"""SEEN: from a window's event frames and two intensity frames to class logits.

Branch S looks once at the intensity frames, branch T at every event frame, with the
kernels and the attention of S.

    paper               step                                            here
    eqs. 2-7, S         conv0 mixes the intensity frames                spatial_branch
                        three scales f2, f3, f4
                        a score for each scale; softmax: w1, w2, w3     Score, attend
                        [w1 f2, w2 f3, w3 f4] -> conv1_cat              weigh
                        conv2_f2, conv3_f2, one spike step: J_s         spatial_branch
    eqs. 8-11, T        the same stages on each event frame, with
                        LIF1, LIF2, LIF3 after conv1_cat, conv2_f2,
                        conv3_f2; no bias                               temporal_branch
                        LIF3 + J_s (0, 1 or 2)                          fuse
                        fc1, LIF4, fc2, LIF5                            classify
                        logits: mean over time of LIF5's membrane       READOUTS
    eq. 13              the neuron                                      lif.lif_step

Only the neurons are sequential, so each stage runs on all T frames at once and its
neurons scan over the result. Where the paper and the published program differ (the
program fires strictly above the threshold), this file follows the program.

Note: kernels and attention are constants in T (weight copy): they learn through S
alone, while fc1 and fc2 learn from both branches.

Reference: Zhang et al., "In the Blink of an Eye: Event-based Emotion Recognition",
SIGGRAPH 2023. Letters A to L are the rows of its Table 2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from seen_jax.data.windows import INTENSITIES, intensity_places
from seen_jax.errors import check_option, refuse
from seen_jax.models.capture import Capture
from seen_jax.models.layers import BatchNorm, Conv, Dense
from seen_jax.models.lif import LIF, LIFState
from seen_jax.models.precision import in_full


class Stage(NamedTuple):
    """A convolution, padded by half its kernel."""

    features: int
    kernel_size: int
    stride: int


NUM_CHANNELS = 3  # the program reads grey images as RGB
STAGES = {  # what enters -> what leaves, for images of 90 x 90
    "conv1_f2": Stage(64, 3, 2),  # (90, 90, 3) -> (45, 45, 64)
    "conv1_f3": Stage(64, 5, 2),  # the same
    "conv1_f4": Stage(64, 7, 2),  # the same
    "conv1_cat": Stage(64, 1, 1),  # (45, 45, 3 * 64) -> (45, 45, 64)
    "conv2_f2": Stage(256, 3, 2),  # -> (23, 23, 256)
    "conv3_f2": Stage(512, 3, 4),  # -> (6, 6, 512)
}
SCALES = ("conv1_f2", "conv1_f3", "conv1_f4")
CHANNELS = {  # that each stage reads
    **dict.fromkeys(SCALES, NUM_CHANNELS),
    "conv1_cat": sum(STAGES[name].features for name in SCALES),
    "conv2_f2": STAGES["conv1_cat"].features,
    "conv3_f2": STAGES["conv2_f2"].features,
}
SCORES = ("mlp_f1", "mlp_f2", "mlp_f3")  # the published names: f1 scores conv1_f2

# What T has beside S: see `SEEN`.
KERNELS = ("copied", "own", "shared")
ATTENTIONS = ("copied", "own")
READOUTS: dict[str, Callable[[LIFState], jax.Array]] = {
    "mean_membrane": lambda lif5: lif5.membrane.mean(axis=1),
    "last_membrane": lambda lif5: lif5.membrane[:, -1],
    "last_spike": lambda lif5: lif5.spike[:, -1],
    "mean_spike": lambda lif5: lif5.spike.mean(axis=1),
}


class SEEN(nn.Module):
    """The published network; each option is one change that the paper measures.

    Attributes:
      num_classes: K, size of the logits.
      intensity: the intensity frames that S sees: "first_and_last", "first" (A),
        "first_and_second" (B) or "all" (C); see `windows.intensity_places`.
      kernels: T's kernels: "copied" from S without gradient, its "own" (D), or "shared"
        with S and learned through both, which the paper does not try.
      attention: T's attention: "copied" from S without gradient, or its "own" for each
        event frame, from separate scores (E). The BatchNorm of those takes its
        statistics over B and T together, with one update per batch: this project's
        choice.
      readout: "mean_membrane", "last_membrane" (J), "last_spike" (K) or
        "mean_spike" (L), all of LIF5.
      neuron: from currents (B, T, ...) to states (B, T, ...).
      axis_name: `pmap` axis over whose devices the batch extends, None for one device.
    """

    num_classes: int = 7
    intensity: str = "first_and_last"
    kernels: str = "copied"
    attention: str = "copied"
    readout: str = "mean_membrane"
    neuron: Callable[[jax.Array], LIFState] = LIF()
    axis_name: str | None = None

    def setup(self):
        check_option("intensity", self.intensity, INTENSITIES)
        check_option("kernels", self.kernels, KERNELS)
        check_option("attention", self.attention, ATTENTIONS)
        check_option("readout", self.readout, READOUTS)
        self.conv0 = Conv(NUM_CHANNELS, kernel_size=1)
        self.convs = {name: Conv(*stage, name=name) for name, stage in STAGES.items()}
        self.scores = [Score(self.axis_name, name=name) for name in SCORES]
        self.own_convs = {
            name: Conv(*stage, use_bias=False, name=f"{name}_t")
            for name, stage in STAGES.items()
        }
        self.own_scores = [Score(self.axis_name, name=f"{name}_t") for name in SCORES]
        self.fc1 = Dense(256)
        self.fc2 = Dense(self.num_classes)

    @in_full
    def __call__(
        self,
        *,
        event_frames: jax.Array,
        intensity_frames: jax.Array,
        train: bool = False,
        mask: jax.Array | None = None,
        capture: bool = False,
    ) -> jax.Array | tuple[jax.Array, Capture]:
        """Classifies a batch of windows.

        Args:
          event_frames: (B, T, H, W), normalised grey; H = W.
          intensity_frames: (B, I, H, W), normalised grey, of the event frames' dtype;
            I is 2, or as many as `intensity_places` names for another `intensity`.
          train: normalise by the batch and update "batch_stats", which must be mutable.
          mask: (B,) bool, False where an example is padding, which BatchNorm leaves
            out; None if none is.
          capture: also return a `Capture`.

        Returns:
          Logits (B, K), and the capture if it was asked for.

        Raises:
          UserError: an input or option is not as described, or does not fit the
            variables.
        """
        fused, captured = self.fuse(
            event_frames=event_frames,
            intensity_frames=intensity_frames,
            train=train,
            mask=mask,
        )
        logits, lif4, lif5 = self.classify(fused)
        if not capture:
            return logits
        return logits, replace(captured, temporal=(*captured.temporal, lif4, lif5))

    def fuse(self, *, train: bool = False, **inputs) -> tuple[jax.Array, Capture]:
        """Runs both branches, up to fc1; arguments and errors as for the call.

        Returns:
          LIF3 + J_s (B, T, h, w, 512), and a `Capture` that ends with LIF3.
        """
        event_frames, intensity_frames, mask = self.check(**inputs)
        weights, j_s = self.spatial_branch(intensity_frames, train, mask)
        lif1, lif2, lif3 = self.temporal_branch(event_frames, weights, train, mask)
        fused = lif3.spike + j_s.spike  # J_s is the same for every t
        return fused, Capture(weights, j_s, (lif1, lif2, lif3))

    def spatial_branch(self, intensity_frames, train, mask):
        """Branch S: attention weights (B, 3) and J_s (B, 1, h, w, 512)."""
        x = self.conv0(grey_to_rgb(jnp.moveaxis(intensity_frames, 1, -1)))
        scales = [self.convs[name](x) for name in SCALES]
        weights = attend(self.scores, scales, train, mask)
        x = self.convs["conv1_cat"](weigh(scales, weights))
        x = self.convs["conv3_f2"](self.convs["conv2_f2"](x))
        return weights, self.neuron(x[:, None])

    def temporal_branch(self, event_frames, weights, train, mask):
        """Branch T: LIF1 (B, T, 45, 45, 64), LIF2 (B, T, 23, 23, 256), LIF3 as J_s."""
        frames = grey_to_rgb(event_frames[..., None])  # (B, T, H, W, 3)
        scales = [self.temporal_conv(name, frames) for name in SCALES]
        if self.attention == "own":
            if mask is not None:
                mask = jnp.broadcast_to(mask[:, None], frames.shape[:2])
            weights = attend(self.own_scores, scales, train, mask)
        else:
            weights = lax.stop_gradient(weights)[:, None]
        lif1 = self.neuron(self.temporal_conv("conv1_cat", weigh(scales, weights)))
        lif2 = self.neuron(self.temporal_conv("conv2_f2", lif1.spike))
        lif3 = self.neuron(self.temporal_conv("conv3_f2", lif2.spike))
        return lif1, lif2, lif3

    def temporal_conv(self, name: str, images: jax.Array) -> jax.Array:
        """Convolves (B, T, H, W, C) with S's kernel or T's own, without bias."""
        if self.kernels == "own":
            return self.own_convs[name](images)
        learn = self.kernels == "shared"
        return self.convs[name](images, add_bias=False, learn=learn)

    def classify(
        self, fused: jax.Array, product: Callable = jnp.matmul
    ) -> tuple[jax.Array, LIFState, LIFState]:
        """Reads LIF3 + J_s (B, T, h, w, 512): logits (B, K), LIF4 and LIF5.

        `product` multiplies (..., C) by (C, D) in fc1 and fc2; see `precision`.
        """
        x = fused.reshape(*fused.shape[:2], -1)  # (B, T, h * w * 512), channel last
        return self.read_out(self.fc1(x, product), product)

    def read_out(
        self, currents: jax.Array, product: Callable = jnp.matmul
    ) -> tuple[jax.Array, LIFState, LIFState]:
        """Reads what fc1 gives (B, T, 256); otherwise as `classify`."""
        lif4 = self.neuron(currents)
        lif5 = self.neuron(self.fc2(lif4.spike, product))  # (B, T, K)
        return READOUTS[self.readout](lif5), lif4, lif5

    def check(self, event_frames, intensity_frames, mask=None):
        """Returns the inputs as arrays.

        Raises:
          UserError: they are not as `__call__` describes them, or there are weights
            that the options leave unread.
        """
        event_frames = jnp.asarray(event_frames)
        intensity_frames = jnp.asarray(intensity_frames)
        mask = None if mask is None else jnp.asarray(mask)
        check_inputs(self.intensity, event_frames, intensity_frames, mask)
        for option, names in {"kernels": STAGES, "attention": SCORES}.items():
            value, own = getattr(self, option), {f"{name}_t" for name in names}
            if value != "own" and own & set(self.variables.get("params", {})):
                refuse(option, "'own', as the weights have it", repr(value))
        return event_frames, intensity_frames, mask


class Score(nn.Module):
    """Scores one scale for the attention; fields and arguments as of `BatchNorm`."""

    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, features: jax.Array, *, train: bool, mask: jax.Array | None = None
    ) -> jax.Array:
        """Scores images (..., H, W, C): (...), any number."""
        x = features.mean(axis=(-3, -2))
        x = Dense(8, name="reduce")(x)
        x = BatchNorm(self.axis_name, name="norm")(x, train=train, mask=mask)
        return Dense(1, name="score")(nn.relu(x))[..., 0]


def attend(scores: Sequence[Score], scales: Sequence[jax.Array], train, mask):
    """Returns the attention over three scales (..., H, W, C): (..., 3), of sum 1."""
    each = [
        score(x, train=train, mask=mask)
        for score, x in zip(scores, scales, strict=True)
    ]
    return nn.softmax(jnp.stack(each, axis=-1))


def weigh(scales: Sequence[jax.Array], weights: jax.Array) -> jax.Array:
    """Concatenates the scales, each times its weight: (..., H, W, 3 C).

    Args:
      scales: three of (..., H, W, C).
      weights: (..., 3), or of axes that broadcast against those of the scales.
    """
    weighed = [
        weights[..., i, None, None, None] * scale for i, scale in enumerate(scales)
    ]
    return jnp.concatenate(weighed, axis=-1)


def grey_to_rgb(images: jax.Array) -> jax.Array:
    """Repeats every channel thrice: (..., C) to (..., 3 C), [c1 c1 c1 c2 c2 c2 ...].

    The published program reads grey images as RGB, so the first kernels have three
    equal input channels for each frame.
    """
    return jnp.repeat(images, NUM_CHANNELS, axis=-1)


def check_inputs(
    intensity: str,
    event_frames: jax.Array,
    intensity_frames: jax.Array,
    mask: jax.Array | None,
) -> None:
    """Raises a UserError unless the inputs are as `SEEN.__call__` describes them.

    Note: which intensity frames these are cannot be checked, only their number.
    """

    def check(name, array, fits, rule):
        if not fits:
            refuse(name, rule, f"{array.dtype} of shape {array.shape}")

    x, shape, dtype = event_frames, event_frames.shape, event_frames.dtype
    square = len(shape) == 4 and shape[2] == shape[3]
    check("event_frames", x, square, "(B, T, H, W) with H = W")
    check("event_frames", x, all(shape), "B, T, H and W of 1 or more")
    floating = jnp.issubdtype(dtype, jnp.floating)
    check("event_frames", x, floating, "floats, normalised as in training")
    x, num_frames = intensity_frames, len(intensity_places(intensity, shape[1]))
    expected = (shape[0], num_frames, *shape[2:])
    rule = f"{expected}, since intensity is {intensity!r}"
    check("intensity_frames", x, x.shape == expected, rule)
    check("intensity_frames", x, x.dtype == dtype, f"{dtype}, as event_frames")
    if mask is not None:
        fits = mask.shape == shape[:1] and mask.dtype == bool
        check("mask", mask, fits, f"bool of shape {shape[:1]}")
