#!/usr/bin/env bash
# Trains and evaluates the paper's tables: the six settings and Table 2's networks, on the
# published split and by volunteer, with several seeds, and writes FOLDER/tables.md. Whole
# tables come seed by seed. Kill it whenever you like and rerun it to resume: what is
# evaluated is not done again, and the page shows what there is.
#
#   bash launch/tables.sh FOLDER [--seeds="1 2 3"] [--rows="E4_S3 A F"] [--epochs=20]
#                         [--splits="published by_volunteer"] --config.data_dir=DATA_DIR
#                         [--config.FIELD=VALUE ...]
#
# The epochs are cut to 20 for two cores; a GPU has time for all 180. Two FOLDERs on two
# machines can share the work by --seeds or --splits; copy one into the other, and
# python -m seen_jax.evaluation.tables page FOLDER writes the page again.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:?expected a FOLDER for the runs}
if [[ "$folder" == -* ]]; then
  echo "$folder: expected a FOLDER for the runs before the flags" >&2
  exit 2
fi
shift
epochs=20 choice=() flags=()
for argument in "$@"; do
  case "$argument" in
    --seeds=* | --rows=* | --splits=*) choice+=("$argument") ;;
    --epochs=*) epochs=${argument#*=} ;;
    --config.*=*) flags+=("$argument") ;;
    *)
      echo "$argument: expected --seeds, --rows, --splits, --epochs or --config.FIELD=VALUE; see launch/tables.sh" >&2
      exit 2
      ;;
  esac
done
flags=(--config.num_epochs="$epochs" --config.eval_every="$epochs" ${flags[@]+"${flags[@]}"})
python=${PYTHON:-python}
runs=$("$python" -m seen_jax.evaluation.tables runs "$folder" ${choice[@]+"${choice[@]}"} \
  --recipe="${flags[*]}")
while read -r workdir of_row; do
  [ "$workdir" ] || continue
  # shellcheck disable=SC2086 # flags of a row are words
  "$python" train.py --workdir="$workdir" $of_row "${flags[@]}" </dev/null
  "$python" eval.py --workdir="$workdir" --out="$workdir/evaluation/test" </dev/null
done <<<"$runs"
"$python" -m seen_jax.evaluation.tables page "$folder"
