# Sourced by the other scripts: creates the virtual environment $VENV (default .venv)
# with $PYTHON (default python3), activates it, and installs the files in $REQUIREMENTS
# (default requirements.txt), $EXTRA_PACKAGES (default none) and this package where it
# is (the command `seen`), again if these changed.
: "${PYTHON:=python3}" "${VENV:=.venv}" "${REQUIREMENTS:=requirements.txt}"

"$PYTHON" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || {
  echo "$PYTHON: expected Python 3.11 to 3.13, got $("$PYTHON" --version 2>&1);" \
    "set PYTHON to one of these" >&2
  exit 1
}
[ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV"
source "$VENV/bin/activate"
export PYTHON=python  # the environment's, for scripts called later
pip=(python -m pip)
if ! python -m pip --version >/dev/null 2>&1; then  # an environment that uv made
  if command -v uv >/dev/null; then
    pip=(uv pip)
  else
    python -m ensurepip >/dev/null || {
      echo "$VENV: expected an environment with pip, got none; remove it" >&2
      exit 1
    }
  fi
fi
wanted="$(cat $REQUIREMENTS pyproject.toml setup.py) ${EXTRA_PACKAGES:-}"
if [ "$wanted" != "$(cat "$VENV/.installed" 2>/dev/null)" ]; then
  "${pip[@]}" install --quiet ${EXTRA_PACKAGES:-} $(printf -- '-r %s ' $REQUIREMENTS)
  "${pip[@]}" install --quiet --no-deps --editable .
  echo "$wanted" >"$VENV/.installed"
fi
