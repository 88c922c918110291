"""Overrides of a config: what is wrong with one is said in a line."""

import pytest

from seen_jax.errors import UserError
from seen_jax.training import overrides

FILE = "configs/demo.py"  # below the folder that tests run in


@pytest.mark.parametrize(
    "argument, message",
    [
        *(
            (
                f"--config.{name}=1",
                f"{name}: expected a field of {FILE}, got none of that name; "
                f"give one of {near}$",
            )
            for name, near in (
                ("num_epoch", "num_epochs, warmup_epochs"),
                ("seed.x", "seed"),
                ("select.", "select"),
                ("x", "attention, .*decay"),  # where nothing is near all are named
            )
        ),
        ("--config.=3", r"--config\.: expected a field of .* one of attention, "),
        (
            "--config.num_epochs=many: 3",
            "num_epochs: expected int, such as 30, got 'many: 3'; "
            "fix --config.num_epochs$",
        ),
        (
            "--config.momentum=",
            "momentum: expected float, such as 0.9, got ''; fix --config.momentum$",
        ),
        ("--config=no.py", r"config: expected .*, got 'no\.py', which is not a file;"),
    ],
)
def test_what_is_not_there_or_of_another_type(argument, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        overrides.check(["train.py", f"--config={FILE}", "--workdir=a", argument])


@pytest.mark.parametrize(
    "content, got",
    [
        ("get_config = 3", "without it"),
        ("x = 3", "without it"),
        ("def get_config():\n  return 3", "int"),
        ("Not Python", "invalid syntax"),
    ],
)
def test_a_file_that_is_no_config(tmp_path, content, got):
    file = tmp_path / "config.py"
    file.write_text(content)
    with pytest.raises(UserError, match=rf"^config: expected .*{got}.*; give one of"):
        overrides.check(["train.py", f"--config={file}"])


def test_an_error_in_a_files_own_code_is_its_own(tmp_path):
    file = tmp_path / "config.py"
    file.write_text("def get_config():\n  return 1 + '1'")
    with pytest.raises(TypeError):
        overrides.check(["train.py", f"--config={file}"])


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--unknown", "--config.seed=many"],  # no config: someone else says so
        ["--config", FILE, "--config.seed", "3", "--unknown"],
        [f"--config={FILE}", "--config.select=test", "--config.momentum=1"],
    ],
)
def test_what_is_right_passes(arguments):
    overrides.check(["train.py", *arguments])
