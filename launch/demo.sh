#!/usr/bin/env bash
# From a clean clone to emotions on a page in a browser: the quickstart, unless its bundle
# is there, then `seen live simulator` with that bundle. Ctrl-C ends it.
#
#   bash launch/demo.sh [--tiny] [FOLDER] [-- SOURCE and flags of seen live]
#   bash launch/demo.sh -- tcp://192.168.1.7:7777 --record=data/own
#
# --tiny, FOLDER   of launch/quickstart.sh
set -euo pipefail
cd "$(dirname "$0")/.."
quickstart=() folder=data/quickstart
while [ $# -gt 0 ]; do
  case "$1" in
    --) shift; break ;;
    --tiny) quickstart+=("$1") folder=data/quickstart_tiny ;;
    -*)
      echo "$1: expected --tiny, a folder, or -- and flags of seen live; see launch/demo.sh" >&2
      exit 2
      ;;
    *) given=$1 ;;
  esac
  shift
done
folder=${given:-$folder}
bundle="$folder/bundle"
if [ ! -e "$bundle/manifest.json" ]; then
  bash launch/quickstart.sh ${quickstart[@]+"${quickstart[@]}"} "$folder"
fi
source launch/venv.sh
[ $# -gt 0 ] || set -- simulator:1
exec python -m seen_jax.live "$@" --bundle="$bundle" --open
