#!/usr/bin/env bash
# Trains on several machines: the same command on each, with its own PROCESS_ID, and a
# workdir that at least process 0 can write. Process 0 writes logs and checkpoints.
#
#   COORDINATOR=HOST:PORT NUM_PROCESSES=N PROCESS_ID=I \
#     bash launch/train_multihost.sh --config=configs/e4_s3.py --workdir=RUN [...]
#
# COORDINATOR is process 0's machine as the others reach it, and a port that is free
# there. A process uses every accelerator it sees. Without the variables, the flags
# --coordinator, --num_processes and --process_id say the same. A machine that dies or
# falls silent ends the job with a line that says so; rerun the commands to resume.
cd "$(dirname "$0")/.."
exec "${PYTHON:-python}" train.py \
  ${COORDINATOR:+--coordinator="$COORDINATOR"} \
  ${NUM_PROCESSES:+--num_processes="$NUM_PROCESSES"} \
  ${PROCESS_ID:+--process_id="$PROCESS_ID"} "$@"
