#!/usr/bin/env bash
# Trains on several machines: the same command on each, with its own PROCESS_ID, and a
# workdir that at least process 0 can write. Process 0 writes logs and checkpoints.
#
#   COORDINATOR=HOST:PORT NUM_PROCESSES=N PROCESS_ID=I \
#     bash launch/train_multihost.sh --config=configs/e4_s3.py --workdir=RUN [...]
#
# COORDINATOR is process 0's machine as the others reach it, and a port that is free
# there. A process uses every accelerator it sees. The variables stand for the flags
# --coordinator, --num_processes and --process_id. All processes have to come within
# --join_s (300). If one ends, or is silent for --heartbeat_s (60), the others end with
# an error that names it; rerun the same commands to resume from the last checkpoint.
cd "$(dirname "$0")/.."
exec "${PYTHON:-python}" train.py \
  ${COORDINATOR:+--coordinator="$COORDINATOR"} \
  ${NUM_PROCESSES:+--num_processes="$NUM_PROCESSES"} \
  ${PROCESS_ID:+--process_id="$PROCESS_ID"} "$@"
