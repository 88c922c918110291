"""A script with absl's flags: its exit codes, and what it prints where."""

import subprocess
import sys

import pytest

from tests.helpers import ROOT

SCRIPT = """
from absl import flags
from seen_jax import absl_command
from seen_jax.errors import refuse

NAME = flags.DEFINE_string("name", None, "A name.")

def main():
    print(NAME.value)
    return 3

def check(argv):
    if "--name=bad" in argv:
        refuse("name", "a good one", "bad")

if __name__ == "__main__":
    absl_command.run(main, ["name"], check)
"""


@pytest.mark.parametrize(
    "flags, code, printed, error",
    [
        (["--help"], 0, "--name: A name.", ""),
        (["--helpfull"], 0, "--name: A name.", ""),
        (["--name=x"], 3, "x\n", ""),
        (["--name=bad"], 1, "", "name: expected a good one, got bad\n"),
        (["--name=x", "y"], 1, "", "flags: expected --NAME=VALUE, got ['y']\n"),
        (["--nam=x"], 1, "", "Unknown command line flag 'nam'"),
        ([], 1, "", "Flag --name must have a value other than None."),
    ],
)
def test_exit_codes(flags, code, printed, error, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, tmp_path / "script.py", *flags]
    env = {"PYTHONPATH": str(ROOT)}
    ran = subprocess.run(command, env=env, capture_output=True, text=True)
    assert ran.returncode == code
    assert printed in ran.stdout and bool(ran.stdout) == bool(printed)
    assert error in ran.stderr and bool(ran.stderr) == bool(error)
