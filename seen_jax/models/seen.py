"""SEEN: from a window's event frames and two intensity frames to emotion logits.

The spatial branch S looks once at the intensity frames. The temporal branch T looks at
every event frame with the convolutions of S: the same kernels, no bias. What a reader
would get wrong: nothing is learned through T's convolutions. Kernels and attention are
constants there (weight copy) and learn only through S; fc1 and fc2 learn from both.

    paper               step                                            here
    eqs. 2-7, S         conv0 mixes the intensity frames                SEEN.spatial
                        three scales f2, f3, f4; a score for each       STAGES, Score
                        softmax of the scores: attention w1, w2, w3     SEEN.attend
                        [w1 f2, w2 f3, w3 f4] -> conv1_cat              weigh
                        conv2_f2, conv3_f2, one spike step: J_s         SEEN.spatial
    eqs. 8-11, T        the same stages on each event frame, with
                        LIF1, LIF2, LIF3 after conv1_cat, conv2_f2,
                        conv3_f2; kernels and attention copied          SEEN.temporal
                        LIF3 + J_s (0, 1 or 2)                          SEEN.fuse
                        fc1, LIF4, fc2, LIF5                            SEEN.__call__
                        logits: mean over time of LIF5's membrane       READOUTS
    eq. 13              the neuron                                      lif.lif_step

Only the neurons are sequential, so each stage runs on all T frames at once and its
neurons scan over the result. Where the paper and the published program differ (the
program fires strictly above the threshold), this file follows the program.

Reference: Zhang et al., "In the Blink of an Eye: Event-based Emotion Recognition",
SIGGRAPH 2023. Letters A to L are the rows of its Table 2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from seen_jax.data.windows import INTENSITIES
from seen_jax.errors import check_option
from seen_jax.models.capture import Capture
from seen_jax.models.inputs import check_inputs
from seen_jax.models.layers import BatchNorm, Conv, Dense
from seen_jax.models.lif import LIF, LIFState
from seen_jax.models.precision import Product, in_full

STAGES = {  # name: features, kernel size, stride; what they leave of 90 x 90
    "conv1_f2": (64, 3, 2),  # 45 x 45
    "conv1_f3": (64, 5, 2),
    "conv1_f4": (64, 7, 2),
    "conv1_cat": (64, 1, 1),
    "conv2_f2": (256, 3, 2),  # 23 x 23
    "conv3_f2": (512, 3, 4),  # 6 x 6
}
SCALES = ("conv1_f2", "conv1_f3", "conv1_f4")
SCORES = ("mlp_f1", "mlp_f2", "mlp_f3")  # the published names: f1 scores conv1_f2

COPIES = ("copied", "own", "shared")
READOUTS: dict[str, Callable[[LIFState], jax.Array]] = {
    "mean_membrane": lambda lif5: lif5.membrane.mean(axis=1),
    "last_membrane": lambda lif5: lif5.membrane[:, -1],
    "last_spike": lambda lif5: lif5.spike[:, -1],
    "mean_spike": lambda lif5: lif5.spike.mean(axis=1),
}


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


class SEEN(nn.Module):
    """The published network; each option is one change that the paper measures.

    Attributes:
      num_classes: K, size of the logits.
      intensity: which intensity frames S sees: "first_and_last", "first" (A),
        "first_and_second" (B) or "all" (C); see `inputs`.
      kernels: T's kernels: "copied" from S without gradient, its "own" (D), or "shared"
        with S and learned through both, which the paper does not try.
      attention: T's attention: "copied" from S without gradient, or its "own" for each
        event frame, by scores of its own (E). Their BatchNorm takes its statistics over
        B and T together, one update for a batch: the project's choice.
      readout: "mean_membrane", "last_membrane" (J), "last_spike" (K) or
        "mean_spike" (L), all of LIF5.
      neuron: from currents (B, T, ...) to states (B, T, ...).
      product: multiplies (..., C) by (C, D) in fc1 and fc2; see `precision`.
      axis_name: `pmap` axis over whose devices the batch extends, None for one device.
    """

    num_classes: int = 7
    intensity: str = "first_and_last"
    kernels: str = "copied"
    attention: str = "copied"
    readout: str = "mean_membrane"
    neuron: Callable[[jax.Array], LIFState] = LIF()
    product: Product = jnp.matmul
    axis_name: str | None = None

    def setup(self):
        check_option("intensity", self.intensity, INTENSITIES)
        check_option("kernels", self.kernels, COPIES)
        check_option("attention", self.attention, COPIES[:2])
        check_option("readout", self.readout, READOUTS)
        self.conv0 = Conv(3, kernel_size=1)
        self.convs = {name: Conv(*size, name=name) for name, size in STAGES.items()}
        self.scores = [Score(self.axis_name, name=name) for name in SCORES]
        self.own_convs = {
            name: Conv(*size, use_bias=False, name=f"{name}_t")
            for name, size in STAGES.items()
        }
        self.own_scores = [Score(self.axis_name, name=f"{name}_t") for name in SCORES]
        self.fc1 = Dense(256, self.product)
        self.fc2 = Dense(self.num_classes, self.product)

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
          intensity_frames: (B, 2, H, W), normalised grey, of the event frames' dtype;
            with another `intensity` as many frames as `intensity_places` names.
          train: normalise by the batch and update "batch_stats", which must be mutable.
          mask: (B,) bool, False where an example is padding, which BatchNorm leaves
            out; None where there is none.
          capture: return a `Capture` too.

        Returns:
          Logits (B, K), and the capture if it was asked for.

        Raises:
          ValueError: an input or option is not as described, or not as the variables.
        """
        fused, seen = self.fuse(
            event_frames=event_frames,
            intensity_frames=intensity_frames,
            train=train,
            mask=mask,
        )
        logits, *last = self.classify(fused)
        if not capture:
            return logits
        return logits, replace(seen, temporal=(*seen.temporal, *last))

    def classify(self, fused: jax.Array) -> tuple[jax.Array, LIFState, LIFState]:
        """Reads LIF3 + J_s (B, T, h, w, 512): logits (B, K), LIF4 and LIF5."""
        x = fused.reshape(*fused.shape[:2], -1)  # (B, T, h * w * 512), channel last
        lif4 = self.neuron(self.fc1(x))  # (B, T, 256)
        lif5 = self.neuron(self.fc2(lif4.spike))  # (B, T, K)
        return READOUTS[self.readout](lif5), lif4, lif5

    def fuse(
        self,
        *,
        event_frames: jax.Array,
        intensity_frames: jax.Array,
        train: bool = False,
        mask: jax.Array | None = None,
    ) -> tuple[jax.Array, Capture]:
        """Runs both branches, up to fc1; arguments and errors as for the call.

        Returns:
          LIF3 + J_s (B, T, h, w, 512), and a `Capture` that ends with LIF3.
        """
        event_frames, intensity_frames, mask = self.check(
            event_frames, intensity_frames, mask
        )
        attention, spatial = self.spatial(intensity_frames, train, mask)
        temporal = self.temporal(event_frames, attention, train, mask)
        fused = temporal[-1].spike + spatial.spike  # J_s is the same for every t
        return fused, Capture(attention, spatial, temporal)

    def check(self, event_frames, intensity_frames, mask):
        """Returns the inputs as arrays.

        Raises:
          ValueError: they are not as `__call__` describes them, or there are weights
            that the options leave unread.
        """
        event_frames = jnp.asarray(event_frames)
        intensity_frames = jnp.asarray(intensity_frames)
        mask = None if mask is None else jnp.asarray(mask)
        check_inputs(self.intensity, event_frames, intensity_frames, mask)
        for option, names in {"kernels": STAGES, "attention": SCORES}.items():
            value, unread = getattr(self, option), {f"{name}_t" for name in names}
            if value != "own" and unread & set(self.variables.get("params", {})):
                rule = f"expected 'own', as the weights have it, got {value!r}"
                raise ValueError(f"{option}: {rule}")
        return event_frames, intensity_frames, mask

    def spatial(self, intensity_frames, train, mask):
        """Branch S: attention (B, 3) and J_s (B, 1, h, w, 512)."""
        x = self.conv0(grey_to_rgb(jnp.moveaxis(intensity_frames, 1, -1)))
        features = [self.convs[name](x) for name in SCALES]
        attention = self.attend(self.scores, features, train, mask)
        x = self.convs["conv1_cat"](weigh(features, attention))
        x = self.convs["conv3_f2"](self.convs["conv2_f2"](x))
        return attention, self.neuron(x[:, None])

    def temporal(self, event_frames, attention, train, mask):
        """Branch T: LIF1 (B, T, 45, 45, 64), LIF2 (B, T, 23, 23, 256), LIF3 as J_s."""
        frames = grey_to_rgb(event_frames[..., None])  # (B, T, H, W, 3)
        features = [self.read(name, frames) for name in SCALES]
        if self.attention == "own":
            if mask is not None:
                mask = jnp.broadcast_to(mask[:, None], frames.shape[:2])
            attention = self.attend(self.own_scores, features, train, mask)
        else:
            attention = lax.stop_gradient(attention)[:, None]
        lif1 = self.neuron(self.read("conv1_cat", weigh(features, attention)))
        lif2 = self.neuron(self.read("conv2_f2", lif1.spike))
        lif3 = self.neuron(self.read("conv3_f2", lif2.spike))
        return lif1, lif2, lif3

    def read(self, name: str, images: jax.Array) -> jax.Array:
        """Convolves (B, T, H, W, C) by the kernel of S or T's own, without bias."""
        if self.kernels == "own":
            return self.own_convs[name](images)
        learn = self.kernels == "shared"
        return self.convs[name](images, add_bias=False, learn=learn)

    def attend(self, scores, features, train, mask):
        """Weighs three scales (..., H, W, C): attention (..., 3), positive, sum 1."""
        each = [
            score(x, train=train, mask=mask)
            for score, x in zip(scores, features, strict=True)
        ]
        return nn.softmax(jnp.stack(each, axis=-1))


def grey_to_rgb(images: jax.Array) -> jax.Array:
    """Repeats every channel thrice: (..., C) to (..., 3 C), [c1 c1 c1 c2 c2 c2 ...].

    The published program reads grey images as RGB, so the first kernels have three
    input channels for one.
    """
    return jnp.repeat(images, 3, axis=-1)


def weigh(features: Sequence[jax.Array], attention: jax.Array) -> jax.Array:
    """Concatenates the scales, each times its weight: (..., H, W, 3 C).

    Args:
      features: three of (..., H, W, C).
      attention: (..., 3), or of axes that broadcast against those of the features.
    """
    weighed = [
        attention[..., i, None, None, None] * scale for i, scale in enumerate(features)
    ]
    return jnp.concatenate(weighed, axis=-1)
