"""The overrides on a command line, `--config.FIELD=VALUE` -> one line on what is wrong.

ml_collections parses them, but meets a field that does not exist with a traceback. What
a reader would get wrong: nothing is parsed here in another way than there; it is asked
for the config as it is in its file, and then with the overrides.
"""

from __future__ import annotations

import difflib
import re
import traceback
from pathlib import Path

import ml_collections
from absl import flags
from ml_collections import config_flags

from seen_jax import see

_OVERRIDE = re.compile(r"--?(?:no)?config\.([^=]*)")
_REFUSED = re.compile(r"flag --config\.([^=]+)=(.*?): ", re.DOTALL)


def check(argv: list[str]) -> None:
    """Checks overrides against the config file; returns at once where none is given.

    Args:
      argv: as `sys.argv`, with --config=FILE; other flags are left alone.

    Raises:
      ValueError: there is no such file, or an override names a field that it does not
        have, or gives it a value of another type; or the file is no config.
      flags.Error: what else may be wrong with --config.
    """
    file, config = _parse_file(argv)
    if file is None:
        return
    if not isinstance(config, ml_collections.ConfigDict):
        raise ValueError(
            f"config: expected a file that can be read, got {file!r}; give one of "
            "configs/"
        )
    for match in filter(None, map(_OVERRIDE.match, argv)):
        name = match[1]
        if name not in config:
            near = difflib.get_close_matches(name, config)
            raise ValueError(
                f"{name or match[0]}: expected a field of {file}, got none of that "
                f"name; give {see.one_of(near or sorted(config))}"
            )
    try:
        _parse(argv, overridden=True)
    except flags.IllegalFlagValueError as error:
        if not (match := _REFUSED.match(str(error))):
            raise
        (name, value), now = match.groups(), config[match[1]]
        raise ValueError(
            f"{name}: expected {type(now).__name__}, such as {now!r}, got {value!r}; "
            f"mend --config.{name}"
        ) from error


def _parse_file(argv):
    """Calls `_parse` without the overrides; a file that is no config has one line."""
    try:
        return _parse(argv, overridden=False)
    except (AttributeError, SyntaxError, flags.IllegalFlagValueError) as error:
        first = error
        while first.__context__ is not None:
            first = first.__context__
        code = Path(traceback.extract_tb(first.__traceback__)[-1].filename)
        own = code.parent != Path(config_flags.__file__).parent  # the file's own code
        if own and not isinstance(first, SyntaxError):
            raise
        raise ValueError(
            f"config: expected a Python file with get_config(), got {first}; give one "
            "of configs/"
        ) from error


def _parse(argv, overridden):
    """Returns the file of the config and the config; None where none is given."""
    values = flags.FlagValues()
    config = config_flags.DEFINE_config_file(
        "config", flag_values=values, sys_argv=argv if overridden else []
    )
    values(argv, known_only=True)
    if config.value is None:
        return None, None
    return config_flags.get_config_filename(values["config"]), config.value
