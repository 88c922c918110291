"""A script whose flags absl parses, as a command."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from absl import app, flags

from seen_jax.errors import run_command


def run(
    main: Callable[[], int | None],
    required: Sequence[str],
    check: Callable[[list[str]], None] = lambda argv: None,
    also: tuple[type[Exception], ...] = (),
) -> None:
    """Parses the flags, calls `main` and ends with its exit code.

    Args:
      main: reads the flags that it needs.
      required: names of flags.
      check: raises a `UserError` if the command line, as `sys.argv`, does not fit.
      also: kinds of errors that are printed as a `UserError` is.
    """
    flags.mark_flags_as_required(required)

    def start(argv):
        if len(argv) > 1:
            raise app.UsageError(f"flags: expected --NAME=VALUE, got {argv[1:]}")
        return run_command(main, also)

    def parse(argv):
        if code := run_command(lambda: check(argv)):
            raise SystemExit(code)
        return parse_flags(argv)

    app.run(start, flags_parser=parse)


def parse_flags(argv: list[str]) -> list[str]:
    """Parses flags as absl does, but exits with 0 after --help, not with 1."""
    try:
        return app.parse_flags_with_usage(argv)
    except SystemExit as end:
        if isinstance(end.__context__, flags.Error):  # which absl has printed
            raise
        raise SystemExit(0) from None
