"""A run and one person's clips -> a run of that person; see command.py."""

from seen_jax.errors import run_command
from seen_jax.runtime import seen_runtime


def main() -> int:
    from seen_jax.adapt import command  # takes seconds, in which Ctrl-C may come

    return command.main()


if __name__ == "__main__":
    raise SystemExit(run_command(main, seen_runtime.ERRORS))
