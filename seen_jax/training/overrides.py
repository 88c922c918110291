"""The overrides on a command line, `--config.FIELD=VALUE`, checked before absl's parse.

ml_collections parses them, but meets a field that does not exist, or a file that is no
config, with a traceback.
"""

from __future__ import annotations

import difflib
import re
import runpy
from pathlib import Path

import ml_collections

from seen_jax.errors import one_of, refuse

_FLAG = re.compile(r"--?config(\.[^=]*)?(?:=(.*))?", re.DOTALL)


def check(argv: list[str]) -> None:
    """Checks the overrides against the config file; does nothing where none is given.

    Args:
      argv: as `sys.argv`, with --config=FILE; other flags are left alone.

    Raises:
      UserError: there is no such file, it is not a config, or an override names a field
        that it does not have, or gives it a value of another type.
    """
    overrides = {}
    for argument, following in zip(argv, [*argv[1:], ""], strict=True):
        if match := _FLAG.fullmatch(argument):
            overrides[match[1]] = following if match[2] is None else match[2]
    file = overrides.pop(None, None)
    if file is None:
        return
    config = load(file)
    for name, value in overrides.items():
        name = name.removeprefix(".")
        if name not in config:
            near = difflib.get_close_matches(name, config) or sorted(config)
            rule = f"a field of {file}"
            refuse(
                name or "--config.", rule, "none of that name", f"give {one_of(near)}"
            )
        kind = type(config[name])
        try:
            kind(value)
        except ValueError:
            rule = f"{kind.__name__}, such as {config[name]!r}"
            refuse(name, rule, repr(value), f"fix --config.{name}")


def load(file: str) -> ml_collections.ConfigDict:
    """Returns the config of a file; errors in its own code keep their traceback."""
    rule, remedy = "a Python file with get_config()", "give one of configs/"
    if not Path(file).is_file():
        refuse("config", rule, f"{file!r}, which is not a file", remedy)
    try:
        get_config = runpy.run_path(file).get("get_config")
    except SyntaxError as error:
        refuse("config", rule, error, remedy)
    if not callable(get_config):
        refuse("config", rule, f"{file} without it", remedy)
    config = get_config()
    if not isinstance(config, ml_collections.ConfigDict):
        refuse("config", f"a ConfigDict of {file}", type(config).__name__, remedy)
    return config
