"""What launch/quickstart.sh says of the export where it was not asked for one."""

import subprocess

import pytest

from tests.helpers import ROOT


@pytest.mark.parametrize("arguments", [[], ["--tiny"], ["--tiny", "folder"]], ids=str)
def test_the_command_that_goes_on_to_a_bundle(arguments):
    lines = (ROOT / "launch" / "quickstart.sh").read_text().splitlines()
    (line,) = (x for x in lines if "for the Jetson" in x)
    command = ["bash", "-c", line, "quickstart.sh", *arguments]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    again = " ".join(["bash launch/quickstart.sh", *arguments, "--export"])
    assert said == f"for the Jetson  {again}\n"
