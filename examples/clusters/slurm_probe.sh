#!/bin/bash
# Probing on any number of GPUs: workers that know of each other only through a folder or a bucket.
#
#   MODEL=Qwen/Qwen2.5-VL-7B-Instruct DATA=/shared/samples STORE=s3://bucket/probe \
#     sbatch --array=1-32 examples/clusters/slurm_probe.sh
#
# Workers may come and go: what one had begun when it was killed, another takes over, and no question
# counts twice. Submit more of them, or the same again, at any time; the last one collects.
#SBATCH --job-name=observe-r1-probe
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --gpus=1
#SBATCH --cpus-per-task=8
#SBATCH --time=4:00:00
#SBATCH --requeue
#SBATCH --signal=TERM@60
set -euo pipefail

: "${MODEL:?a checkpoint folder or a name on the hub}" "${DATA:?a data folder}" "${STORE:?a folder or s3://bucket/folder}"
exec srun observe-r1 data probe "$DATA" --model "$MODEL" --store "$STORE" "$@"
