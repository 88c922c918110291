"""The command of the export, in this process."""

import contextlib
import io
import sys
import warnings
from unittest import mock

from absl import logging

from seen_jax.errors import run_command
from seen_jax.export.__main__ import main
from seen_jax.runtime import seen_runtime
from tests.helpers import ROOT


def export(*arguments):
    """Runs the command in this process; returns its exit code and what it said."""
    said, verbosity = io.StringIO(), logging.get_verbosity()
    with contextlib.ExitStack() as stack:
        stack.callback(logging.set_verbosity, verbosity)
        stack.enter_context(contextlib.redirect_stdout(said))
        stack.enter_context(contextlib.redirect_stderr(said))
        stack.enter_context(contextlib.chdir(ROOT))  # where configs/ is
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore", DeprecationWarning)  # of ml_collections
        argv = ["export", *map(str, arguments)]
        stack.enter_context(mock.patch.object(sys, "argv", argv))
        code = run_command(main, seen_runtime.ERRORS)
        return code, said.getvalue()
