"""The loss of an example, against sums done by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from seen_jax.training import loss as loss_lib

# Probabilities 1/2, 1/4, 1/4: by class -log p is 0.693 or 1.386.
LOGITS = jnp.log(jnp.array([[2.0, 1, 1], [2, 1, 1]]))
LABEL = jnp.array([0, 2])
HALF, QUARTER = np.log(2), np.log(4)


def test_cross_entropy():
    loss = loss_lib.make_loss()
    assert loss is loss_lib.cross_entropy  # so that the published step is the same
    np.testing.assert_allclose(loss(LOGITS, LABEL), [HALF, QUARTER], rtol=1e-6)


def test_smoothed_labels():
    # Targets 0.7 + 0.1, 0.1, 0.1 for the first, and 0.1, 0.1, 0.7 + 0.1 for the second.
    expected = [0.8 * HALF + 0.2 * QUARTER, 0.1 * HALF + 0.9 * QUARTER]
    loss = loss_lib.make_loss(label_smoothing=0.3)
    np.testing.assert_allclose(loss(LOGITS, LABEL), expected, rtol=1e-6)


def test_class_weights():
    loss = loss_lib.make_loss(class_weights=np.array([3.0, 1.0, 0.5]))
    expected = [3 * HALF, 0.5 * QUARTER]
    np.testing.assert_allclose(loss(LOGITS, LABEL), expected, rtol=1e-6)
    assert loss(LOGITS, LABEL).dtype == LOGITS.dtype


@pytest.mark.parametrize(
    "label_index, expected",
    [([0, 0, 0, 1], [4 / 6, 2]), ([1, 1, 0, 0], [1, 1]), ([0, 0, 2], [0.75, 0, 1.5])],
)
def test_every_class_counts_as_much(label_index, expected):
    weights = loss_lib.balanced(np.array(label_index), len(expected))
    np.testing.assert_allclose(weights, expected)
    assert weights[label_index].mean() == pytest.approx(1)
