#!/bin/bash
# A recipe exported for verl, as a job of a Ray cluster. Once, on any machine:
#
#   observe-r1 export verl observe_r1 --data ladder --model Qwen/Qwen2.5-VL-7B-Instruct \
#     --nodes 2 --gpus 8 --out /shared/cluster
#
# then, wherever Ray's dashboard can be reached:
#
#   FOLDER=/shared/cluster RAY_API_SERVER_ADDRESS=http://127.0.0.1:8265 examples/clusters/ray_job.sh
#
# Arguments are overrides of verl's settings. FOLDER and PYTHON (the environment of docs/verl.md) must
# lie at the same place on all machines. Submitted again after a failure, it goes on from verl's last
# checkpoint.
set -euo pipefail

: "${FOLDER:?the folder that observe-r1 export verl has written}"
export RAY_API_SERVER_ADDRESS=${RAY_API_SERVER_ADDRESS:-http://127.0.0.1:8265}
exec ray job submit -- env PYTHON="${PYTHON:-python3}" bash "$FOLDER/run.sh" "$@"
