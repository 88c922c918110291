"""Texts of messages."""

import pytest

from seen_jax.errors import counted


@pytest.mark.parametrize(
    ("number", "noun", "form", "expected"),
    [
        (0, "clip", "", "0 clips"),
        (1, "clip", "", "1 clip"),
        (1, "pass", "", "1 pass"),
        (2, "pass", "", "2 passes"),
        (2405, "clip", ",", "2,405 clips"),
    ],
)
def test_a_number_with_its_noun(number, noun, form, expected):
    assert counted(number, noun, form) == expected
