"""``observe-r1 doctor``: what this installation can do, and what to do about the rest.

Versions are read from the installed packages without loading them; only what has to be tried (does
PyTorch see the accelerator?) is tried, in a process of its own, so that a broken installation is
reported instead of taking the doctor with it.
"""

import json as json_module
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from observe_r1.cli.console import finish, progress, say

State = Literal["ok", "missing", "broken", "note"]
MARKS: dict[State, str] = {
    "ok": "ok      ",
    "missing": "missing ",
    "broken": "BROKEN  ",
    "note": "note    ",
}

TRAINING = ("torch", "torchvision", "transformers", "trl", "peft", "accelerate", "datasets")
MINIMUM = {"transformers": (5, 18), "torch": (2, 8), "trl": (1, 16)}

WITH_VLLM = (5, 10)
"""The Transformers that vLLM pins is older; training beside it is tested with 5.17."""

PROBE = """
import json, torch
cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
report = {"threads": torch.get_num_threads(), "cuda": cuda, "mps": mps}
report["built_for"] = torch.version.cuda
if cuda:
    report["devices"] = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    report["bfloat16"] = torch.cuda.is_bf16_supported()
    torch.ones(8, device="cuda").sum().item()
torch.ones(8).sum().item()
print(json.dumps(report))
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Example:
        Finding("vllm", "missing", "fast rollouts on a GPU", "pip install 'observe-r1[vllm]' …")
    """

    name: str
    state: State
    found: str
    advice: str = ""


def doctor(
    json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Say what is installed, what is usable, and what to do about the rest."""
    from observe_r1.recipes.machine import detect_machine

    findings = [*_system(), *_packages()]
    with progress("trying PyTorch", None):
        findings += _devices(detect_machine().num_gpus)
    findings += [*_engines(), *_built_in()]
    for finding in findings:
        say(f"{MARKS[finding.state]:<8}{finding.name:<22} {finding.found}")
        if finding.advice:
            say(f"{'':>10}{finding.advice}")
    say(f"\n{_verdict(findings)}")
    finish({"findings": [asdict(f) for f in findings], "can_train": _can_train(findings)}, json)


def _system() -> list[Finding]:
    python = sys.version.split()[0]
    supported = (3, 11) <= sys.version_info[:2] <= (3, 13)
    free_gb = shutil.disk_usage(Path.cwd()).free / 1e9
    return [
        Finding(
            "python",
            "ok" if supported else "note",
            python,
            "" if supported else "tested with Python 3.11 to 3.13",
        ),
        Finding("cpu", "ok", f"{os.cpu_count()} cores, {_memory()}"),
        Finding(
            "disk",
            "ok" if free_gb > 5 else "note",
            f"{free_gb:.0f} GB free here",
            ""
            if free_gb > 150
            else "full training of a 3B model keeps 50 GB a checkpoint (weights, "
            "float32 copies, moments), of adapters under 2 GB",
        ),
    ]


def _memory() -> str:
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return "memory unknown"
    return f"{total / 1e9:.0f} GB memory"


def _packages() -> list[Finding]:
    return [_package(name) for name in ("observe-r1", *TRAINING)]


def _package(name: str) -> Finding:
    from observe_r1.recipes.machine import has_vllm

    advice = "pip install 'observe-r1[train]'"
    try:
        found = version(name)
    except PackageNotFoundError:
        return Finding(name, "missing", "not installed", advice)
    wanted = MINIMUM.get(name)
    if name == "transformers" and WITH_VLLM <= _numbers(found) < MINIMUM[name] and has_vllm():
        return Finding(
            name, "note", f"{found}, as vLLM wants it",
            "it trains; from 5.18 on features of a frozen vision tower are kept from pass to pass",
        )  # fmt: skip
    if wanted and _numbers(found) < wanted:
        least = ".".join(map(str, wanted))
        return Finding(name, "broken", f"{found}, needs {least} or newer", advice)
    return Finding(name, "ok", found)


def _numbers(text: str) -> tuple[int, ...]:
    """(5, 18) of "5.18.0rc1": enough to compare a major and minor version."""
    parts = text.split("+")[0].split(".")[:2]
    return tuple(int(part) for part in parts if part.isdigit())


def _devices(num_gpus: int) -> list[Finding]:
    if find_spec("torch") is None:
        return []
    report = _try_torch()
    if isinstance(report, str):
        return [Finding("PyTorch runs", "broken", report, "install it again, matching torchvision")]
    findings = [Finding("PyTorch runs", "ok", f"on the CPU, {report['threads']} threads")]
    if report["cuda"]:
        names = ", ".join(report["devices"])
        precision = "bfloat16" if report["bfloat16"] else "no bfloat16: use float16 or float32"
        findings.append(Finding("CUDA", "ok", f"{names}; {precision}"))
    elif num_gpus:
        built = report["built_for"] or "CPU only"
        findings.append(
            Finding(
                "CUDA",
                "broken",
                f"{num_gpus} GPUs in this machine, none usable by PyTorch (built for: {built})",
                "install a PyTorch built for your driver's CUDA version",
            )
        )
    else:
        findings.append(Finding("CUDA", "note", "no NVIDIA GPU: training runs on the CPU"))
    if report["mps"]:
        findings.append(Finding("MPS", "note", "there, not used: training runs on the CPU"))
    return findings


def _try_torch() -> dict[str, Any] | str:
    """What PyTorch says of this machine, or why it does not run."""
    command = [sys.executable, "-c", PROBE]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        return "did not answer within two minutes"
    if answer.returncode != 0:
        lines = answer.stderr.strip().splitlines()
        return lines[-1] if lines else f"ended with status {answer.returncode}"
    return json_module.loads(answer.stdout.splitlines()[-1])


def _engines() -> list[Finding]:
    return [
        Finding("engine shared_prefill", "ok", "built in")
        if find_spec("torch")
        else Finding("engine shared_prefill", "missing", "needs PyTorch"),
        _optional(
            "engine vllm",
            "vllm",
            "rollouts at speed on a GPU",
            "an environment of its own, see README: pip install 'observe-r1[vllm]'",
        ),
        Finding("engine endpoint", "ok", "any OpenAI-compatible server: --engine endpoint"),
        _optional(
            "verl",
            "verl",
            "training on a Ray cluster",
            "an environment of its own, see README: pip install 'observe-r1[verl]'",
        ),
        _optional(
            "lmms-eval",
            "lmms_eval",
            "more benchmarks",
            "pip install 'observe-r1[eval]'",
        ),
    ]


def _optional(name: str, package: str, purpose: str, advice: str) -> Finding:
    if find_spec(package) is None:
        return Finding(name, "note", f"not installed ({purpose})", advice)
    try:
        found = version(package.replace("_", "-"))
    except PackageNotFoundError:
        found = "installed, version unknown"
    return Finding(name, "ok", found)


def _built_in() -> list[Finding]:
    model = Path(__file__).parents[1] / "assets" / "tiny" / "config.json"
    if model.is_file():
        return [Finding("model tiny", "ok", "built in")]
    return [Finding("model tiny", "missing", "not in this installation", "install the wheel again")]


def _can_train(findings: list[Finding]) -> bool:
    needed = {*TRAINING, "PyTorch runs"}
    return not any(f.name in needed and f.state in ("missing", "broken") for f in findings)


def _verdict(findings: list[Finding]) -> str:
    if not _can_train(findings):
        return "Training is not possible yet: see the lines above. Data, recipes and reports are."
    broken = [f.name for f in findings if f.state == "broken"]
    if broken:
        return f"Training works on the CPU; broken: {', '.join(broken)}."
    return "Everything that is needed works. Try it: observe-r1 demo"
