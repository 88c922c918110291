#!/usr/bin/env bash
# From a clean clone and nothing but Python 3.11 or newer: makes a virtual environment,
# installs, simulates the demonstration set, checks it, builds it with the TFDS builder
# and draws a sheet of it. Run again, it goes on where it stopped.
#
#   bash launch/quickstart.sh [--tiny] [FOLDER]
#
# --tiny   two volunteers and a few clips, to see that everything runs
# FOLDER   where everything goes; default: data/quickstart
set -euo pipefail
cd "$(dirname "$0")/.."
volunteers=16 clips=220
if [ "${1:-}" = --tiny ]; then
  volunteers=2 clips=14
  shift
fi
folder=${1:-data/quickstart}
source launch/venv.sh

python -m seen_jax.simulator --out="$folder/see" --volunteers=$volunteers --clips=$clips
python -m seen_jax.see "$folder/see"
bash launch/build_see.sh "$folder/see" "$folder/tfds"
python -m seen_jax.simulator.calibration "$folder/see" --sheet="$folder/sheet.png"

echo
echo "simulated SEE   $folder/see"
echo "records         $folder/tfds"
echo "contact sheet   $folder/sheet.png"
