#!/usr/bin/env bash
# Builds the TFDS dataset of a SEE folder, real or simulated, without TensorFlow.
#
#   bash launch/build_see.sh SEE_DIR DATA_DIR [--config by_volunteer] [--help]
exec "${PYTHON:-python}" "$(dirname "$0")/../datasets/see_tfds/build.py" "$@"
