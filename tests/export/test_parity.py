import numpy as np
import pytest

from seen_jax.export import parity

LOGITS = np.array([[1.0, 2.0, -4.0], [0.5, 0.25, 0.0]])
NAMES = ["one", "two"]


def test_figures():
    got = LOGITS + np.array([[0.0, 0.002, 0.0], [0.0, 0.0, 0.0001]])
    found = parity.check("torch", LOGITS, got, NAMES)
    assert found.num_windows == 2 and found.share_equal == 1
    assert found.largest_difference == pytest.approx(0.002)
    assert found.largest_relative == pytest.approx(0.002 / 4)


def test_a_logit_too_far_off():
    got = LOGITS + np.array([[0.0, 0.0, 0.0], [0.001, 0.0, 0.0]])
    words = r"torch: expected JAX's .*1 of 2 windows\n  two: 2.0e-03 of its largest"
    with pytest.raises(ValueError, match=words):
        parity.check("torch", LOGITS, got, NAMES)


def test_not_a_number():
    with pytest.raises(ValueError, match="  one: nan"):
        parity.check("torch", LOGITS, LOGITS * [[np.nan], [1]], NAMES)


def test_another_emotion_first():
    close = np.array([[1.0, 1.0005]])  # the margin is within the tolerance
    swapped = np.array([[1.0, 0.9998]])
    assert parity.check("torch", close, swapped, NAMES).share_equal == 0
    clear = np.array([[1.0, 1.0015]])
    near = np.array([[1.00125, 1.0005]])  # each logit wrong by more, so named anyhow
    with pytest.raises(ValueError, match="another emotion first"):
        parity.check("torch", clear, near, NAMES)
