# Sourced by the other scripts: creates the virtual environment $VENV (default .venv)
# with $PYTHON (default python3), activates it, and installs the files in $REQUIREMENTS
# (default requirements.txt) and $EXTRA_PACKAGES (default none), again if these changed.
: "${PYTHON:=python3}" "${VENV:=.venv}" "${REQUIREMENTS:=requirements.txt}"

"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "$PYTHON: expected Python 3.11 or newer, got $("$PYTHON" --version 2>&1);" \
    "set PYTHON to a newer one" >&2
  exit 1
}
[ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV"
source "$VENV/bin/activate"
export PYTHON=python  # the environment's, for scripts called later
wanted="$(cat $REQUIREMENTS) ${EXTRA_PACKAGES:-}"
if [ "$wanted" != "$(cat "$VENV/.installed" 2>/dev/null)" ]; then
  python -m pip install --quiet --disable-pip-version-check ${EXTRA_PACKAGES:-} \
    $(printf -- '-r %s ' $REQUIREMENTS)
  echo "$wanted" >"$VENV/.installed"
fi
