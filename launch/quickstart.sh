#!/usr/bin/env bash
# From a clean clone and nothing but Python 3.11 to 3.13: makes a virtual environment,
# installs, simulates the demonstration set, checks it, builds it with the TFDS builder,
# draws a sheet of it, trains on it, evaluates on people who were never seen in training,
# writes a report and, where there is a C compiler, a bundle for a board, through which it
# replays a clip. The bundle has all formats whose packages are installed. Rerun it to
# resume.
#
#   bash launch/quickstart.sh [--tiny] [--cuda] [--export] [--config.FIELD=VALUE] [FOLDER]
#
# --tiny   three volunteers, a few clips, one epoch: to see that everything runs
# --cuda   installs JAX's CUDA wheels, for a machine with an NVIDIA GPU
# --export installs torch, a large download, so that the bundle is for torch, TorchScript
#          and ONNX (and so TensorRT), too, this time and whenever it is rerun; a network
#          that cannot be exported is refused before it is trained
# --config.FIELD=VALUE  of train.py, any number of them
# FOLDER   where everything is written; default: data/quickstart, data/quickstart_tiny
set -euo pipefail
cd "$(dirname "$0")/.."
tiny= volunteers=16 clips=220 passes=20 options=() export= exported=yes bundle= folder=
for argument in "$@"; do
  case "$argument" in
    --tiny)
      tiny=_tiny
      volunteers=3 clips=21 passes=2
      options=(--config.num_epochs=1 --config.eval_passes=1 ${options[@]+"${options[@]}"})
      ;;
    --cuda) export EXTRA_PACKAGES="jax[cuda12]" ;;
    --export)
      export=torch REQUIREMENTS="requirements.txt requirements-export.txt"
      options+=(--for_export)
      ;;
    --config.*=*)
      options+=("$argument")
      if [[ "$argument" == --config.network=* && "$argument" != *=seen ]]; then
        exported=
      fi
      ;;
    -*)
      echo "$argument: expected --tiny, --cuda, --export, --config.FIELD=VALUE or a folder; see launch/quickstart.sh" >&2
      exit 2
      ;;
    *) folder=$argument ;;
  esac
done
: "${folder:=data/quickstart$tiny}"
source launch/venv.sh

# The easy set: what minutes and 13 people teach; the whole, hard one is for comparisons.
python -m seen_jax.simulator --out="$folder/see" --volunteers=$volunteers --clips=$clips \
  --difficulty=easy
python -m seen_jax.see_folder "$folder/see"
bash launch/build_see.sh "$folder/see" "$folder/tfds" --config=by_volunteer
python -m seen_jax.simulator.calibration "$folder/see" --sheet="$folder/sheet.png"
python train.py --config=configs/demo.py --workdir="$folder/run" \
  --config.data_dir="$folder/tfds" ${options[@]+"${options[@]}"}
python eval.py --workdir="$folder/run" --passes=$passes --out="$folder/evaluation"
python -m seen_jax.evaluation report "$folder/evaluation" \
  --html "$folder/report.html" >/dev/null
# Where this fails, it says why, and the summary follows all the same.
if [ "$exported" ] && python -m seen_jax.export ${export:-bundle} --workdir="$folder/run" \
  --out="$folder/bundle"; then
  bundle="$folder/bundle"
  clip=$(find "$folder/see/event" -mindepth 2 -maxdepth 2 | sort | head -n 1)
  python "$folder/bundle/seen_runtime.py" --events="$clip" \
    --frames="$folder/see/frame/${clip#"$folder/see/event/"}"
fi

echo
echo "simulated SEE   $folder/see"
echo "contact sheet   $folder/sheet.png"
echo "records         $folder/tfds"
echo "training        $folder/run (curves.svg, metrics.jsonl, checkpoints)"
echo "evaluation      $folder/evaluation"
echo "report          $folder/report.html"
if [ "$bundle" ]; then
  echo "bundle          $bundle (launch/jetson.md)"
  echo "live            bash launch/demo.sh ${tiny:+--tiny }$(printf %q "$folder")"
elif [ -z "$exported" ]; then
  echo "no bundle       this network is evaluated here alone; seen and its variants are exported"
else
  echo "no bundle       the export says why, above; then rerun this"
fi
if [ "$exported" ] && [ -z "$export" ] && [ ! -e "$bundle/seen.onnx" ]; then
  echo "for TensorRT    bash launch/quickstart.sh ${*:+$* }--export"
fi
echo "in a new shell  cd $(printf %q "$PWD") && source $(printf %q "$VENV")/bin/activate && seen --help"
# Without a compiler that is how it ends; with one, or with --export, it is an error.
if [ "$exported" ] && [ -z "$bundle" ] && { [ "$export" ] || command -v ${CC:-cc} >/dev/null; }; then
  exit 1
fi
