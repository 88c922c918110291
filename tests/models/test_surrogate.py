from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seen_jax.models.surrogate import arctan, fast_sigmoid, rectangle, spike, triangle

# Includes the threshold (0), the rectangle's edges (+-0.5) and their neighbours.
EDGES = np.float32([0, 0.5, -0.5])
BESIDE = [np.nextafter(EDGES, np.float32(x)) for x in (9, -9)]
GRID = np.unique([*np.linspace(-2, 2, 81, dtype=np.float32), *EDGES, *np.ravel(BESIDE)])
FORMULAS = {
    "rectangle": (rectangle, lambda x: (abs(x) < 0.5).astype(x.dtype)),
    "wide": (partial(rectangle, width=1.0), lambda x: (abs(x) < 1).astype(x.dtype)),
    "triangle": (triangle, lambda x: np.maximum(0, 1 - abs(x))),
    "narrow": (partial(triangle, width=0.5), lambda x: np.maximum(0, 1 - 2 * abs(x))),
    "arctan": (arctan, lambda x: 1 / (1 + (np.pi * x) ** 2)),
    "steep": (partial(arctan, slope=6.0), lambda x: 3 / (1 + (3 * np.pi * x) ** 2)),
    "fast sigmoid": (fast_sigmoid, lambda x: 1 / (1 + 10 * abs(x)) ** 2),
    "flat": (partial(fast_sigmoid, slope=3.0), lambda x: 1 / (1 + 3 * abs(x)) ** 2),
}


def test_spike_fires_strictly_above_the_threshold():
    offsets = jnp.array([-1, -1e-30, 0, 1e-30, 1], jnp.float32)
    assert spike(offsets).tolist() == [0, 0, 0, 1, 1]
    assert spike(offsets).dtype == jnp.float32


def test_offsets_are_floats():
    words = r"offset: expected floats, got int32 .*\(2,\)"
    with pytest.raises(ValueError, match=words):
        spike(jnp.array([0, 1]))


@pytest.mark.parametrize("surrogate, formula", FORMULAS.values(), ids=FORMULAS)
def test_gradient_is_the_written_formula(surrogate, formula):
    gradient = jax.vmap(jax.grad(lambda x: 3 * spike(x, surrogate)))(GRID)
    np.testing.assert_allclose(gradient, 3 * formula(GRID), rtol=1e-5)
