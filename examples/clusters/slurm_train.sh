#!/bin/bash
# One training run on several machines under SLURM: a launcher a machine, a process a GPU.
#
#   MODEL=Qwen/Qwen2.5-VL-7B-Instruct DATA=/shared/ladder OUT=/shared/runs/a \
#     sbatch --nodes=2 examples/clusters/slurm_train.sh observe_r1 rl.save_every=10
#
# Arguments are the recipe and its overrides. DATA, OUT and the environment must lie where every
# machine sees them. When a machine is lost, the job ends within minutes and is queued again; a run
# that is there already goes on from its last checkpoint.
#SBATCH --job-name=observe-r1
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

: "${MODEL:?a checkpoint folder or a name on the hub}" "${DATA:?a data folder}" "${OUT:?the run folder}"
root=${SLURM_SUBMIT_DIR:-$PWD}
config=${CONFIG:-$root/examples/clusters/two_nodes_fsdp2.yaml}
gpus=${GPUS_PER_NODE:-8}
nodes=${SLURM_JOB_NUM_NODES:?start this with sbatch}
hosts=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${hosts%%$'\n'*}
port=$((20000 + SLURM_JOB_ID % 20000))
resume=()
[ -e "$OUT/config.json" ] && resume=(--resume)

# A machine that fails ends the others at once; without this they would wait for it.
status=0
srun --kill-on-bad-exit=1 bash -c '
    config=$1 nodes=$2 processes=$3 head=$4 port=$5
    shift 5
    exec accelerate launch --config_file "$config" --num_machines "$nodes" \
        --num_processes "$processes" --machine_rank "$SLURM_NODEID" \
        --main_process_ip "$head" --main_process_port "$port" -m observe_r1.cli.main train "$@"
' launch "$config" "$nodes" "$((nodes * gpus))" "$head" "$port" \
    "$@" --model "$MODEL" --data "$DATA" --out "$OUT" ${resume[@]+"${resume[@]}"} || status=$?

# Nobody learns from a run that fails in the same way all night: three times, then it stays down.
if [ "$status" -ne 0 ] && [ -e "$OUT/config.json" ] && [ "${SLURM_RESTART_COUNT:-0}" -lt 3 ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
