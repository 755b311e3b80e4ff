#!/bin/bash
# One machine under SLURM: vLLM's server on the last of its GPUs, the trainer on the others.
#
#   MODEL=Qwen/Qwen2.5-VL-7B-Instruct DATA=/shared/ladder OUT=/shared/runs/a \
#     sbatch examples/clusters/slurm_vllm_server.sh observe_r1 rl.save_every=10
#
# Arguments are the recipe and its overrides; the settings of vllm_server.sh are settings of this one.
# When the machine is lost, the job is queued again; a run that is there already goes on from its last
# checkpoint.
#SBATCH --job-name=observe-r1-vllm
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=TERM@120
set -euo pipefail

: "${MODEL:?a checkpoint folder or a name on the hub}" "${DATA:?a data folder}" "${OUT:?the run folder}"
root=${SLURM_SUBMIT_DIR:-$PWD}
job=${SLURM_JOB_ID:?start this with sbatch}
num_server=${NUM_SERVER_GPUS:-4}
IFS=, read -ra gpus <<< "${CUDA_VISIBLE_DEVICES:-0,1,2,3,4,5,6,7}"
num_train=$((${#gpus[@]} - num_server))
if [ "$num_train" -lt 1 ] || [ "$num_server" -lt 1 ]; then
    echo "the job has ${#gpus[@]} GPUs and NUM_SERVER_GPUS is $num_server: both sides need one at least." >&2
    exit 2
fi
listed() { local IFS=,; echo "$*"; }
export TRAIN_GPUS SERVER_GPUS PORT
TRAIN_GPUS=$(listed "${gpus[@]:0:num_train}")
SERVER_GPUS=$(listed "${gpus[@]:num_train}")
PORT=${PORT:-$((20000 + job % 20000))}             # others may work on this machine too
export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-64}  # srun does not ask sbatch for it

status=0
srun bash "$root/examples/clusters/vllm_server.sh" "$@" || status=$?

# Nobody learns from a run that fails in the same way all night: three times, then it stays down.
if [ "$status" -ne 0 ] && [ -e "$OUT/config.json" ] && [ "${SLURM_RESTART_COUNT:-0}" -lt 3 ]; then
    scontrol requeue "$job"
fi
exit "$status"
