#!/bin/sh
# Makes .venv with what requirements.lock names, and nothing when the lock has not changed.
set -eu

fail() {
    echo "observe-r1: $1" >&2
    exit 1
}

find_python() {
    for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))'; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

stamp=.venv/.lock-installed
wanted=$(cat requirements.lock pyproject.toml | cksum)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
    exit 0
fi

python=$(find_python) ||
    fail "Python 3.11, 3.12 or 3.13 is needed and none was found. Install one (Debian and Ubuntu: apt install python3 python3-venv; macOS: brew install python@3.12), or name it: make PYTHON=/path/to/python3.12 ..."
"$python" -c 'import venv, ensurepip' 2>/dev/null ||
    fail "$python has no venv module. Install it (Debian and Ubuntu: apt install python3-venv) and run the same command again."

[ -x .venv/bin/python ] || "$python" -m venv .venv
export VIRTUAL_ENV=.venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check uv
if [ -n "${CPU_ONLY:-}" ]; then
    echo "observe-r1: installing into .venv, without the GPU libraries (about 0.5 GB to download)"
    grep -vE '^(nvidia|cuda|triton)' requirements.lock >.venv/requirements-cpu.txt
    .venv/bin/uv pip install --quiet --torch-backend cpu -r .venv/requirements-cpu.txt
else
    echo "observe-r1: installing into .venv (the first time: about 3 GB to download on Linux, 0.4 GB on macOS)"
    .venv/bin/uv pip install --quiet -r requirements.lock
fi
.venv/bin/uv pip install --quiet --no-deps --editable .
echo "$wanted" >"$stamp"
