#!/bin/bash
# One machine: vLLM's server on some of its GPUs, the trainer on the others. The server draws the
# next step's rollouts while the policy trains (docs/vllm.md, "One step behind").
#
#   MODEL=Qwen/Qwen2.5-VL-7B-Instruct DATA=/shared/ladder OUT=/shared/runs/a \
#     examples/clusters/vllm_server.sh observe_r1 rl.save_every=10
#
# Arguments are the recipe and its overrides, which win over what is set here. Adapters
# (rl.policy.lora) want MAX_LORA_RANK and a CONFIG with whole weights. The server ends with the run,
# however that ends. A run that is there already goes on from its last checkpoint.
set -euo pipefail

: "${MODEL:?a checkpoint folder or a name on the hub}" "${DATA:?a data folder}" "${OUT:?the run folder}"
recipe=${1:?the recipe, for example observe_r1}
shift
root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
config=${CONFIG:-$root/eight_gpus_fsdp2.yaml}      # eight_gpus_replicas.yaml: whole weights
train_gpus=${TRAIN_GPUS:-0,1,2,3}
server_gpus=${SERVER_GPUS:-4,5,6,7}                # one vLLM over all of them
port=${PORT:-8000}
vllm=${VLLM:-vllm}                                 # of its own environment: /opt/vllm/bin/vllm
dtype=${DTYPE:-bfloat16}                           # as rl.policy.dtype
log=${SERVER_LOG:-${OUT%/}-vllm.log}
shared_memory=${WEIGHTS:-/dev/shm}                 # room for one set of weights
minutes=${WAIT_MINUTES:-30}                        # until the server has loaded the model
options=()
read -ra more <<< "${SERVER_OPTIONS:-}"            # of vllm serve: --max-model-len 16384
resume=()
[ -e "$OUT/config.json" ] && resume=(--resume)
if [ -n "${MAX_LORA_RANK:-}" ]; then
    export VLLM_ALLOW_RUNTIME_LORA_UPDATING=1
    options=(--enable-lora --max-lora-rank "$MAX_LORA_RANK")
fi

url=http://127.0.0.1:$port                         # whoever reaches it can change the model
export no_proxy="127.0.0.1${no_proxy:+,$no_proxy}"
answers() { curl --silent --fail --max-time 10 --output /dev/null "$url/v1/models"; }
count() { local names; IFS=, read -ra names <<< "$1"; echo "${#names[@]}"; }
alive() { kill -0 "$1" 2> /dev/null; }

server='' trainer='' weights=''
end() {
    trap '' INT TERM
    for group in ${trainer:-${!:-}} $server; do    # $! while what it started has no name yet
        kill -TERM -- "-$group" 2> /dev/null || true
        for _ in {1..60}; do alive "$group" || break; sleep 1; done
        kill -KILL -- "-$group" 2> /dev/null || true   # what has outlived its parent
    done
    [ -z "$weights" ] || rm -rf "$weights"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Another run's server would take this run's weights, and both would learn from wrong rollouts.
if answers; then
    echo "a server answers at $url already. Set PORT to one that is free, or end that server." >&2
    exit 1
fi
weights=$(mktemp -d "$shared_memory/observe-r1-weights-XXXXXX")
mkdir -p "$(dirname "$log")"
set -m                                             # a process group of its own, to end with its workers
VLLM_SERVER_DEV_MODE=1 CUDA_VISIBLE_DEVICES=$server_gpus "$vllm" serve "$MODEL" \
    --host 127.0.0.1 --port "$port" --dtype "$dtype" --logprobs-mode processed_logprobs \
    --chat-template-content-format openai --tensor-parallel-size "$(count "$server_gpus")" \
    ${options[@]+"${options[@]}"} ${more[@]+"${more[@]}"} < /dev/null > "$log" 2>&1 &
server=$!
set +m

deadline=$((SECONDS + 60 * minutes))
until answers; do
    if ! alive "$server" || [ "$SECONDS" -ge "$deadline" ]; then
        echo "the vLLM server has ended, or did not answer within $minutes minutes. Its last words, of $log:" >&2
        tail -n 20 "$log" >&2
        exit 1
    fi
    sleep 1
done

set -m
CUDA_VISIBLE_DEVICES=$train_gpus accelerate launch --config_file "$config" \
    --num_processes "$(count "$train_gpus")" -m observe_r1.cli.main train "$recipe" \
    rl.engine.type=vllm_server rl.engine.base_url="$url" rl.engine.weights_folder="$weights" \
    rl.staleness=1 "$@" --model "$MODEL" --data "$DATA" --out "$OUT" ${resume[@]+"${resume[@]}"} \
    < /dev/null &
trainer=$!
set +m
status=0
wait "$trainer" || status=$?
exit "$status"
