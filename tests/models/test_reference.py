"""SEEN of every option against plain numpy (reference.py), in float64."""

from functools import partial

import jax
import numpy as np
import pytest

from seen_jax.data.windows import INTENSITIES
from seen_jax.models.seen import ATTENTIONS, KERNELS, READOUTS, SEEN
from tests.models import reference
from tests.models.variables import draw

B, T, SIZE = 3, 3, 17  # images of 17 x 17; 9, 5, then 2 left
EVERY = {
    "intensity": INTENSITIES,
    "kernels": KERNELS,
    "attention": ATTENTIONS,
    "readout": READOUTS,
}
VARIANTS = [{}, *({name: value} for name in EVERY for value in [*EVERY[name]][1:])]
CASES = [(options, False) for options in VARIANTS]
CASES += [({}, True), ({"attention": "own"}, True)]  # BatchNorm in one branch, in both
SHOWN = {"first_and_last": [0, -1], "first": [0], "first_and_second": [0, 1]}


@pytest.mark.parametrize("options, train", CASES, ids=str)
def test_equals_plain_numpy(options, train):
    rng = np.random.default_rng(0)
    frames, images = rng.normal(size=(2, B, T, SIZE, SIZE))
    intensity = options.get("intensity", "first_and_last")
    shown = images if intensity == "all" else images[:, SHOWN[intensity]]
    inputs = {"event_frames": frames, "intensity_frames": shown}
    model = SEEN(**options)
    with jax.enable_x64(True):
        variables = jax.device_get(draw(model, inputs))
        for norm in variables["batch_stats"].values():
            norm["norm"]["mean"] = rng.normal(size=8)
            norm["norm"]["var"] = rng.uniform(0.5, 2, size=8)
        apply = partial(model.apply, capture=True, mutable=["batch_stats"], train=train)
        (logits, captured), updates = jax.jit(apply)(variables, **inputs)
        rates = jax.device_get(captured.spike_rates)
    options = {name: x for name, x in options.items() if name != "intensity"}
    expected = reference.seen(variables, **inputs, train=train, **options)
    np.testing.assert_allclose(rates, expected[1], rtol=1e-12)
    np.testing.assert_allclose(logits, expected[0], rtol=1e-9)
    for name, running in expected[2].items():
        for field, value in running.items():
            got = updates["batch_stats"][name]["norm"][field]
            np.testing.assert_allclose(got, value, rtol=1e-9)
    assert all(0.02 < rate < 0.98 for rate in rates), "a layer is silent"
