# Sourced by the scripts beside it: makes the virtual environment $VENV (default .venv)
# with $PYTHON (default python3), installs the files in $REQUIREMENTS (default
# requirements.txt) and activates it. Installs again when one of them has changed.
: "${PYTHON:=python3}" "${VENV:=.venv}" "${REQUIREMENTS:=requirements.txt}"

"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "$PYTHON: expected Python 3.11 or newer, got $("$PYTHON" --version 2>&1);" \
    "set PYTHON to a newer one" >&2
  exit 1
}
[ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV"
source "$VENV/bin/activate"
for requirements in $REQUIREMENTS; do
  stamp="$VENV/.installed-$requirements"
  if ! cmp -s "$requirements" "$stamp"; then
    python -m pip install --quiet --disable-pip-version-check -r "$requirements"
    cp "$requirements" "$stamp"
  fi
done
