"""Overrides of a config: what is wrong with one is said in a line."""

import sys

import pytest
from absl import flags

from seen_jax.training import overrides

FILE = "configs/demo.py"  # below the folder that tests run in


pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")


@pytest.mark.parametrize(
    "argument, name, near",
    [
        ("--config.num_epoch=1", "num_epoch", "num_epochs"),
        ("--noconfig.selct", "selct", "select"),
        ("--config.seed.x=1", "seed.x", "seed"),
        ("--config.select.=3", "select.", "select"),
    ],
)
def test_a_field_that_is_not_there(argument, name, near):
    with pytest.raises(ValueError) as error:
        overrides.check(["train.py", f"--config={FILE}", "--workdir=a", argument])
    assert str(error.value) == (
        f"{name}: expected a field of {FILE}, got none of that name; give one of {near}"
    )


@pytest.mark.parametrize(
    "argument, message",
    [
        ("num_epochs=many: 3", "num_epochs: expected int, such as 30, got 'many'"),
        ("momentum=", "momentum: expected float, such as 0.9, got ''"),
    ],
)
def test_a_value_of_another_type(argument, message):
    with pytest.raises(ValueError) as error:
        overrides.check(["train.py", f"--config={FILE}", f"--config.{argument}"])
    field = argument.partition("=")[0]
    assert str(error.value) == f"{message}; mend --config.{field}"


def test_where_nothing_is_near_all_fields_are_named():
    with pytest.raises(ValueError, match=r"attention, batch_size, .*decay$"):
        overrides.check(["train.py", f"--config={FILE}", "--config.x=1"])


def test_a_file_that_is_not_there():
    with pytest.raises(ValueError, match=r"^config: expected .*, got 'no\.py'; give"):
        overrides.check(["train.py", "--config=no.py", "--config.seed=1"])


def test_a_field_without_a_name():
    with pytest.raises(
        ValueError, match=r"^--config\.: expected a field of .* one of attention, b"
    ):
        overrides.check(["train.py", f"--config={FILE}", "--config.=3"])


@pytest.mark.parametrize(
    "content, argument, got",
    [
        ("get_config = 3", "", "'int' object is not callable"),
        ("x = 3", "", "module .* has no attribute 'get_config'"),
        ("def get_config():\n  return 3", ":x", "takes 0 positional arguments but 1"),
        ("def get_config(x):\n  return 3", "", "missing 1 required .* 'x'"),
        ("Not Python", "", "invalid syntax"),
    ],
)
def test_a_file_that_is_no_config(tmp_path, monkeypatch, content, argument, got):
    monkeypatch.delitem(sys.modules, "config_config", raising=False)  # what was read
    file = tmp_path / "config.py"
    file.write_text(content)
    words = rf"^config: expected a Python file with get_config\(\), got .*{got}.*; give"
    with pytest.raises(ValueError, match=words):
        overrides.check(["train.py", f"--config={file}{argument}"])


def test_an_error_in_a_files_own_code_keeps_its_traceback(tmp_path):
    file = tmp_path / "config.py"
    file.write_text("def get_config():\n  return 1 + '1'")
    with pytest.raises(flags.Error, match=r"line 2, in get_config\n.*\n(?s:.*)TypeErr"):
        overrides.check(["train.py", f"--config={file}"])


def test_fields_before_the_file():
    with pytest.raises(flags.Error, match=r"config\.seed=1 .* before"):
        overrides.check(["train.py", "--config.seed=1", f"--config={FILE}"])


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--unknown", "--config.seed=many"],  # no config: someone else says so
        ["--config", FILE, "--config.seed", "3", "--unknown"],
        [f"--config={FILE}", "--config.select=test", "--config.momentum=1"],
    ],
)
def test_what_is_right_passes(arguments, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["pytest", "--config.no=1"])  # not what is read
    overrides.check(["train.py", *arguments])
