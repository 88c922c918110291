#!/usr/bin/env bash
# From a clean clone and nothing but Python 3.11 to 3.13: makes a virtual environment,
# installs, and runs linter and tests. Arguments go to pytest.
#
#   bash launch/test.sh [pytest arguments]
#   PYTHON=python3.12 VENV=/tmp/seen312 bash launch/test.sh -k windows
set -euo pipefail
cd "$(dirname "$0")/.."
REQUIREMENTS="requirements.txt requirements-test.txt"
source launch/venv.sh

ruff check .
ruff format --check .
python -m pytest -m "" "$@"
