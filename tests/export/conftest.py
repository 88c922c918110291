"""A run to export."""

import jax
import numpy as np
import pytest

from seen_jax.models.seen import SEEN
from tests.helpers import ROTATED, write_run
from tests.models.variables import whole, windows


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A run of E2_S1, four clips to evaluate, classes in another order than SEE's.

    Its weights are whole numbers and its images have two levels, with which rounding
    decides nothing: see `test_no_neuron_hangs_on_rounding`.
    """
    root = tmp_path_factory.mktemp("export")
    variables = jax.device_get(whole(SEEN(), windows(90, 1)))
    fc2 = variables["params"]["fc2"]
    fc2["bias"] = fc2["bias"] + np.linspace(0, 0.1, 7, dtype=np.float32)
    fields = dict(num_event_frames=2, skip=1, batch_size=3, num_epochs=1)
    options = dict(labels=ROTATED, levels=(64, 192))
    return write_run(root, {4: 0.5}, {4: variables}, **options, **fields)
