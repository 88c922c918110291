"""What launch/quickstart.sh says of further formats where it was not asked for them."""

import subprocess

import pytest

from tests.helpers import ROOT


@pytest.mark.parametrize("arguments", [[], ["--tiny"], ["--tiny", "folder"]], ids=str)
def test_the_command_that_goes_on_to_other_formats(arguments):
    lines = (ROOT / "launch" / "quickstart.sh").read_text().splitlines()
    (line,) = (x for x in lines if "for TensorRT" in x)
    command = ["bash", "-c", line, "quickstart.sh", *arguments]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    again = " ".join(["bash launch/quickstart.sh", *arguments, "--export"])
    assert said == f"for TensorRT    {again}\n"
