#!/usr/bin/env bash
# Trains one config with several seeds, one after the other, and leaves a table of mean
# and spread in FOLDER/seeds.md. Rerun it to resume.
#
#   SEEDS="0 1 2" bash launch/seeds.sh FOLDER --config=configs/demo.py [--config.FIELD=VALUE ...]
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:?expected a FOLDER for the runs, then the flags of train.py}
if [[ "$folder" == -* ]]; then
  echo "$folder: expected a FOLDER for the runs before the flags of train.py" >&2
  exit 2
fi
shift
for seed in ${SEEDS:-2022 2023 2024}; do
  "${PYTHON:-python}" train.py --workdir="$folder/seed_$seed" "$@" --config.seed="$seed"
done
"${PYTHON:-python}" -m seen_jax.training.seeds "$folder"
