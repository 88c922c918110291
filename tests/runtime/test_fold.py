"""The folded network: its arrays, and the places that no later layer reads."""

import numpy as np

from seen_jax.runtime import seen_runtime
from tests import golden


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
    assert seen_runtime.num_intensity_frames(folded) == 2
