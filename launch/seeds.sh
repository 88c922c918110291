#!/usr/bin/env bash
# Trains and evaluates one config with several seeds, one after the other, leaves a table
# of mean and spread in FOLDER/seeds.md, and prints a report on them. Rerun it to resume.
#
#   SEEDS="0 1 2" bash launch/seeds.sh FOLDER --config=configs/demo.py [--config.FIELD=VALUE ...]
#
# Two such folders, side by side:
#
#   seen report "a=A/seed_*/evaluation/test" "b=B/seed_*/evaluation/test"
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:?expected a FOLDER for the runs, then the flags of train.py}
if [[ "$folder" == -* ]]; then
  echo "$folder: expected a FOLDER for the runs before the flags of train.py" >&2
  exit 2
fi
shift
for seed in ${SEEDS:-2022 2023 2024}; do
  run="$folder/seed_$seed"
  "${PYTHON:-python}" train.py --workdir="$run" "$@" --config.seed="$seed"
  "${PYTHON:-python}" eval.py --workdir="$run" --out="$run/evaluation/test"
done
"${PYTHON:-python}" -m seen_jax.training.seeds "$folder"
"${PYTHON:-python}" -m seen_jax.evaluation report \
  "$(basename "$folder")=$folder/seed_*/evaluation/test"
