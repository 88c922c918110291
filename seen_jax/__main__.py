"""The command `seen`, as python -m seen_jax."""

from seen_jax.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
