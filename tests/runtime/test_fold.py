"""The folded network by numpy alone: against the published one and that of training."""

import jax
import numpy as np

from seen_jax.export.convert import torch_from_variables
from seen_jax.models.seen import SEEN
from seen_jax.runtime import seen_runtime
from tests import golden
from tests.models import variables


def forward(folded, event_frames, intensity_frames):
    """The network's logits by numpy alone, and the mean of the spikes of each layer."""
    f, rates = folded, []
    num_windows, num_event_frames = event_frames.shape[:2]

    def rows(x, places):  # (..., P, C) to (..., len(places), taps * C)
        return x[..., places, :].reshape(*x.shape[:-2], len(places), -1)

    def pixels(images):
        flat = images.reshape(*images.shape[:2], -1)
        return np.concatenate([flat, np.zeros_like(flat[..., :1])], -1)[..., None]

    def spikes(x):
        rates.append((x > 0.3).mean())
        return (x > 0.3).astype(np.float64)

    def lif(currents):
        membrane = spike = 0.0
        for current in currents.swapaxes(0, 1):
            membrane = 0.2 * membrane * (1 - spike) + current
            spike = (membrane > 0.3).astype(np.float64)
            yield membrane, spike

    def fire(currents):
        x = np.stack([spike for _, spike in lif(currents)], 1)
        rates.append(x.mean())
        return x

    means = f["moments"].T @ intensity_frames @ f["moments"]
    x = means.reshape(num_windows, -1) @ f["hidden"] + f["hidden_bias"]
    attention = np.exp(np.maximum(x, 0) @ f["scores"] + f["scores_bias"])
    attention /= attention.sum(1, keepdims=True)
    kernel = (attention @ f["intensity"]).reshape(num_windows, -1, 49, 64)
    patches = rows(pixels(intensity_frames), seen_runtime.PATCHES)
    x = rows((patches @ kernel).sum(1), seen_runtime.READS) @ f["deep"]
    spatial = spikes(x.reshape(num_windows, -1) + attention @ f["deep_bias"])
    kernel = (attention @ f["event"]).reshape(num_windows, 1, 49, 64)
    x = fire(rows(pixels(event_frames), seen_runtime.PATCHES) @ kernel)
    x = fire(rows(x, seen_runtime.CONV2_READS) @ f["conv2"])
    x = fire(x.reshape(num_windows, num_event_frames, 36, -1) @ f["conv3"])
    x = x.reshape(num_windows, num_event_frames, -1) + spatial[:, None]
    x = fire(x @ f["fc1"] + f["fc1_bias"])
    membranes = [membrane for membrane, _ in lif(x @ f["fc2"] + f["fc2_bias"])]
    return np.mean(membranes, 0), rates


def test_the_folded_network_gives_the_published_logits():
    # Those that the released program computed, tests/golden/README.md
    arrays = golden.load()
    folded = seen_runtime.fold(golden.state_dict(), np.float64)
    inputs = {name: x[:2] for name, x in golden.inputs(arrays).items()}
    logits, rates = forward(folded, **inputs)
    np.testing.assert_allclose(logits, arrays["logits_eval"][:2], rtol=1e-11)
    assert all(0.01 < rate < 0.99 for rate in rates), rates
    assert seen_runtime.num_intensity_frames(folded) == 2


def test_the_folded_network_is_that_of_training():
    model, rng = SEEN(intensity="all"), np.random.default_rng(0)
    inputs = {
        "event_frames": rng.normal(size=(1, 3, 90, 90)),
        "intensity_frames": rng.normal(size=(1, 3, 90, 90)),
    }
    with jax.enable_x64(True):
        weights = variables.draw(model, inputs)
        expected = model.apply(weights, **inputs)
    folded = seen_runtime.fold(torch_from_variables(weights), np.float64)
    logits, rates = forward(folded, **inputs)
    np.testing.assert_allclose(logits, expected, rtol=1e-10)
    assert all(0.01 < rate < 0.99 for rate in rates), rates
    assert seen_runtime.num_intensity_frames(folded) == 3


def test_what_is_left_out():
    # 39 of the first stage's 45 rows, 17 of conv2_f2's 23: 3 in each of 6 blocks, whose
    # first is padding in the first block.
    assert seen_runtime.PATCHES.shape == (39 * 39 + 1, 49)
    assert set(seen_runtime.PATCHES[-1]) == {8100}
    assert seen_runtime.READS.shape == (36, 49)
    assert set(seen_runtime.READS.ravel()) == set(range(39 * 39 + 1))
    assert seen_runtime.CONV2_READS.shape == (36 * 9, 9)
    middle = seen_runtime.PATCHES[0, 24]  # of the patch that the first position reads
    assert middle == 0
    folded = seen_runtime.fold(golden.state_dict())
    assert {x.dtype for x in folded.values()} == {np.dtype(np.float32)}
