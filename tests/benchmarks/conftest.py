"""The bundle of the tests of the program for the board."""

from tests.runtime.conftest import bundle, folded  # noqa: F401
