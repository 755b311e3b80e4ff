#!/usr/bin/env bash
# Builds the environment of `make test-verl`: the real verl on a CPU, with this package beside it.
#
#   scripts/verl_env.sh [FOLDER]        default .venv-verl; does nothing when it is up to date
#   scripts/verl_env.sh --lock          resolves requirements-verl.lock anew
#
# verl pins its own torch and Transformers and ends at Python 3.12, so it never shares an environment
# with training. The versions are those of verl's own extra "cpu". Where PyTorch's index can be
# reached its CPU build is taken (about 1.5 GB in all), else the one of the package index, which
# brings its GPU libraries (about 7 GB).
set -euo pipefail

torch=2.11.0 torchvision=0.26.0 transformers=5.9.0
root=$(cd "$(dirname "$0")/.." && pwd)
lock="$root/requirements-verl.lock"
gpu_libraries='^(nvidia|cuda|triton)'

fail() {
    echo "observe-r1: $1" >&2
    exit 1
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-} "$root/.venv/bin/python" python3 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))'; then
            echo "$candidate"
            return
        fi
    done
    fail "verl needs Python 3.11 or 3.12 and none was found. Name one: make PYTHON=/path/to/python3.12 test-verl"
}

make_environment() {
    [ -x "$1/bin/python" ] || "$(find_python)" -m venv "$1"
    export VIRTUAL_ENV="$1"
    "$1/bin/python" -m pip install --quiet --disable-pip-version-check uv
}

resolve() {
    printf 'torch==%s\ntorchvision==%s\ntransformers==%s\npytest>=8.4\nhypothesis>=6.120\npyyaml\n' \
        "$torch" "$torchvision" "$transformers" |
        "$1/bin/uv" pip compile "$root/pyproject.toml" - --extra verl --universal --python-version 3.11 \
            --no-annotate --no-header --no-emit-index-url --quiet --output-file "$lock"
}

install_locked() {
    local small="$1/requirements-cpu.txt"
    grep -vE "$gpu_libraries" "$lock" >"$small"
    "$1/bin/uv" pip install --quiet --torch-backend cpu -r "$small" 2>"$1/cpu.log" || {
        echo "observe-r1: no CPU build of torch here; installing the one with GPU libraries" >&2
        "$1/bin/uv" pip install --quiet -r "$lock"
    }
    "$1/bin/uv" pip install --quiet --no-deps --editable "$root"
}

if [ "${1:-}" = --lock ]; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    make_environment "$folder"
    resolve "$folder"
    exit 0
fi

folder=${1:-.venv-verl}
stamp="$folder/.lock-installed"
wanted=$(cat "$lock" "$root/pyproject.toml" | cksum)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
    exit 0
fi
echo "observe-r1: building $folder with verl" >&2
make_environment "$folder"
install_locked "$folder"
"$folder/bin/python" -m observe_r1.integrations.verl.versions
echo "$wanted" >"$stamp"
