#!/bin/bash
# One machine, a process a GPU, each with a vLLM of its own beside the trainer. It sleeps while the
# trainer works.
#
#   MODEL=Qwen/Qwen2.5-VL-7B-Instruct DATA=/shared/ladder OUT=/shared/runs/a \
#     examples/clusters/vllm_colocated.sh observe_r1 rl.save_every=10
#
# Arguments are the recipe and its overrides. The environment holds vLLM and the trainer:
# pip install 'observe-r1[vllm]'. Adapters, and recipes with sft or dpo stages, want
# CONFIG=examples/clusters/eight_gpus_replicas.yaml, one GPU wants one_gpu.yaml. A run that is there
# already goes on from its last checkpoint.
set -euo pipefail

: "${MODEL:?a checkpoint folder or a name on the hub}" "${DATA:?a data folder}" "${OUT:?the run folder}"
recipe=${1:?the recipe, for example observe_r1}
shift
root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
config=${CONFIG:-$root/eight_gpus_fsdp2.yaml}      # weights are shared out: with their moments they fill a GPU
processes=${GPUS:-8}
share=${MEMORY_SHARE:-0.4}                         # of each GPU's memory, for vLLM
resume=()
[ -e "$OUT/config.json" ] && resume=(--resume)

exec accelerate launch --config_file "$config" --num_processes "$processes" \
    -m observe_r1.cli.main train "$recipe" rl.engine.type=vllm rl.engine.memory_share="$share" "$@" \
    --model "$MODEL" --data "$DATA" --out "$OUT" ${resume[@]+"${resume[@]}"}
