import numpy as np
import pytest

from seen_jax.export import parity

LOGITS = np.array([[1.0, 2.0, -4.0], [0.5, 0.25, 0.0]])
NAMES = ["one", "two"]


def never(numbers):
    return np.zeros(len(numbers), bool)


def always(numbers):
    return np.ones(len(numbers), bool)


def test_figures():
    got = LOGITS + np.array([[0.0, 0.002, 0.0], [0.0, 0.0, 0.0001]])
    figures = parity.check("torch", LOGITS, got, NAMES, never)
    assert figures["num_windows"] == 2 and figures["share_equal"] == 1
    assert figures["largest_difference"] == pytest.approx(0.002)
    assert figures["largest_relative"] == pytest.approx(0.002 / 4)
    assert figures["by_rounding"] == []


def test_a_logit_too_far_off():
    got = LOGITS + np.array([[0.0, 0.0, 0.0], [0.001, 0.0, 0.0]])
    words = r"torch: expected JAX's .*1 of 2 windows\n  two: 2.0e-03 of its largest"
    with pytest.raises(ValueError, match=words):
        parity.check("torch", LOGITS, got, NAMES, never)


def test_not_a_number():
    with pytest.raises(ValueError, match="  one: nan"):
        parity.check("torch", LOGITS, LOGITS * [[np.nan], [1]], NAMES, never)


def test_windows_in_which_no_output_fired():
    silent = np.zeros((2, 3))
    assert parity.check("torch", silent, silent, NAMES, never)["largest_relative"] == 0
    fired = np.array([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    for expected, got in ((silent, fired), (fired, silent)):
        with pytest.raises(ValueError, match="1 of 2 windows\n  two: "):
            parity.check("torch", expected, got, NAMES, never)


def test_another_emotion_first():
    close = np.array([[1.0, 1.0005]])  # the margin is within the tolerance
    swapped = np.array([[1.0, 0.9998]])
    assert parity.check("torch", close, swapped, NAMES, never)["share_equal"] == 0
    # Here it is not: 0.0015, though no logit moves by more than 0.0009.
    clear, moved = np.array([[1.0, 1.0015]]), np.array([[1.0009, 1.0006]])
    assert parity.relative(clear, moved) < parity.TOLERANCE
    with pytest.raises(ValueError, match="another emotion first"):
        parity.check("torch", clear, moved, NAMES, never)


def test_a_few_windows_may_be_decided_by_rounding():
    names = [str(i) for i in range(20)]
    expected = np.tile(LOGITS[:1], (20, 1))
    got = expected.copy()
    got[7, 1] += 1
    got[3, 1] += 0.002
    asked = []

    def by_rounding(numbers):
        asked.extend(numbers)
        return always(numbers)

    figures = parity.check("torch", expected, got, names, by_rounding)
    assert asked == [7] and figures["by_rounding"] == ["7"]
    assert figures["largest_difference"] == pytest.approx(0.002)  # of the others
    with pytest.raises(ValueError, match="1 of 20 windows"):
        parity.check("torch", expected, got, names, never)
    got[8, 1] += 1  # 2 of 20 are more than 5 %
    words = "in 1 of 20 windows at most, got 2, the first 7; e"
    with pytest.raises(ValueError, match=words):
        parity.check("torch", expected, got, names, always)
