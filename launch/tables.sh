#!/usr/bin/env bash
# Trains and evaluates the paper's tables: the six settings and Table 2's networks, on the
# published split and by volunteer, both of which are to be built, with several seeds. After
# each run FOLDER/tables.md and FOLDER/tables.html show what there is; whole tables come
# seed by seed. Kill it whenever you like and rerun it to resume: what is evaluated is not
# done again. A run that fails is named and the others continue, unless the first three all
# fail or the page cannot be written.
#
#   bash launch/tables.sh FOLDER [--seeds="1 2 3"] [--rows="E4_S3 A F"] [--epochs=20]
#                         [--splits="published by_volunteer"] --config.data_dir=DATA_DIR
#                         [--config.FIELD=VALUE ...]
#
# The epochs are cut to 20 for two cores; a GPU has time for all 180. Two of these can share
# a FOLDER, or each have one on a machine of its own, with other --seeds or --splits. Then
# copy one FOLDER into the other, and
# python -m seen_jax.evaluation.tables page FOLDER writes the page again.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1-}
if [[ -z "$folder" || "$folder" == -* ]]; then
  echo "expected a FOLDER for the runs before the flags, got '$folder'; see launch/tables.sh" >&2
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
if ! [[ "$epochs" =~ ^[1-9][0-9]*$ ]]; then
  echo "--epochs: expected a number from 1, got '$epochs'; see launch/tables.sh" >&2
  exit 2
fi
flags=(--config.num_epochs="$epochs" --config.eval_every="$epochs" ${flags[@]+"${flags[@]}"})
python=${PYTHON:-python}
tables() {
  "$python" -m seen_jax.evaluation.tables "$@"
}
run() { # WORKDIR, then the flags of its row
  "$python" train.py --workdir="$1" "${@:2}" "${flags[@]}" </dev/null || return
  "$python" eval.py --workdir="$1" --out="$1/evaluation/test" </dev/null \
    >"$1/evaluation.txt" || return
  tables page "$folder" >/dev/null || exit # which no later run fixes
}
runs=$(tables runs ${choice[@]+"${choice[@]}"} -- "$folder" "${flags[@]}")
number=0 failed=() code=0
while IFS=$'\t' read -r workdir of_row; do
  [ "$workdir" ] || continue
  echo "run $((number += 1)) of $(wc -l <<<"$runs"): $workdir"
  # shellcheck disable=SC2086 # flags of a row are words
  run "$workdir" $of_row || {
    ended=$?
    ((ended < 128)) || exit $ended # a signal, such as Ctrl-C
    failed+=("$workdir")
    if ((number == 3 && ${#failed[@]} == 3)); then
      echo "the first three runs failed: it is the data or a flag, not the rows" >&2
      break
    fi
  }
done <<<"$runs"
tables page "$folder" || code=$?
if ((${#failed[@]})); then
  printf '%s: failed, see above; rerun to try again, --splits and --rows leave out\n' "${failed[@]}" >&2
  code=1
fi
exit "$code"
