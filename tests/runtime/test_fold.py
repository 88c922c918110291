"""The folded network by numpy alone: against the published one and that of training."""

import jax
import numpy as np
import pytest

from seen_jax.export.convert import torch_from_variables
from seen_jax.models.seen import SEEN
from seen_jax.runtime import seen_runtime
from tests import golden
from tests.models import variables
from tests.runtime.bundles import forward


def test_the_folded_network_gives_the_published_logits():
    # Those that the released program computed, tests/golden/README.md
    arrays = golden.load()
    folded = seen_runtime.fold(golden.state_dict(), np.float64)
    inputs = {name: x[:2] for name, x in golden.inputs(arrays).items()}
    logits = forward(folded, **inputs)
    np.testing.assert_allclose(logits, arrays["logits_eval"][:2], rtol=1e-11)
    assert seen_runtime.num_intensity_frames(folded) == 2


@pytest.mark.parametrize("own", [(), ("kernels",), ("attention",)], ids=str)
def test_the_folded_network_is_that_of_training(own):
    options = dict.fromkeys(own, "own")
    model, rng = SEEN(intensity="all", **options), np.random.default_rng(0)
    inputs = {
        "event_frames": rng.normal(size=(1, 3, 90, 90)),
        "intensity_frames": rng.normal(size=(1, 3, 90, 90)),
    }
    with jax.enable_x64(True):
        weights = variables.draw(model, inputs)
        expected = model.apply(weights, **inputs)
    folded = seen_runtime.fold(torch_from_variables(weights), np.float64)
    logits = forward(folded, **inputs)
    np.testing.assert_allclose(logits, expected, rtol=1e-10)
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
