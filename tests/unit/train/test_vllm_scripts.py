"""The scripts of ``examples/clusters`` that start vLLM beside the trainer, with stand-ins for both
programs: what is asked of them, and that no server outlives its run."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from observe_r1.config.overrides import override_tree
from observe_r1.config.stages import RLStage

CLUSTERS = Path(__file__).parents[3] / "examples" / "clusters"

STAND_INS = {
    # vllm: a server with a worker, or one that ends before it answers.
    "vllm": f"""#!{sys.executable} -ISs
import json, os, subprocess, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
if "--no-such-option" in sys.argv:
    sys.exit("no such option")
worker = subprocess.Popen(["sleep", "600"])
names = ("CUDA_VISIBLE_DEVICES", "VLLM_SERVER_DEV_MODE", "VLLM_ALLOW_RUNTIME_LORA_UPDATING")
told = {{name: os.environ.get(name) for name in names}}
said = {{"arguments": sys.argv[1:], "processes": [os.getpid(), worker.pid], **told}}
with open(os.environ["SEEN"] + "/vllm", "w") as file:
    json.dump(said, file)
class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/v1/models" else 404)
        self.end_headers()
    def log_message(self, *_):
        pass
HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Answers).serve_forever()
""",
    # accelerate: a run that ends as it is told, or goes on until it is ended.
    "accelerate": """#!/bin/bash
for word in "$@"; do
    case $word in
        rl.engine.base_url=*) curl --silent --fail "${word#*=}/v1/models" || exit 99 ;;
        rl.engine.weights_folder=*) touch "${word#*=}/model.safetensors" || exit 98 ;;
    esac
done
{ echo "$CUDA_VISIBLE_DEVICES"; printf '%s\\n' "$@"; } > "$SEEN/part" && mv "$SEEN/part" "$SEEN/run"
[ "$ENDS" = never ] && exec sleep 600
exit "$ENDS"
""",
    "srun": """#!/bin/bash
exec "$@"
""",
    "scontrol": """#!/bin/bash
echo "requeued $2"
""",
}

pytestmark = pytest.mark.skipif(
    any(shutil.which(name) is None for name in ("bash", "curl")), reason="no bash or no curl"
)


class Machine:
    """A folder with the stand-ins on the path, and what they have seen."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder / "run"
        self.port = free_port()
        for name in ("bin", "seen", "memory"):
            (folder / name).mkdir()
        for name, text in STAND_INS.items():
            (folder / "bin" / name).write_text(text)
            (folder / "bin" / name).chmod(0o755)

    def start(self, script: str, *arguments: str, **settings: str) -> subprocess.Popen[str]:
        known = {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "SEEN": str(self.folder / "seen"),
            "MODEL": "a/model", "DATA": "ladder", "OUT": str(self.out), "ENDS": "0",
            "PORT": str(self.port), "WEIGHTS": str(self.folder / "memory"),
            "CUDA_VISIBLE_DEVICES": "0,1,2,3,4,5,6,7",
        }  # fmt: skip
        return subprocess.Popen(
            ["bash", str(CLUSTERS / script), "grpo", *arguments], env=known | settings, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=CLUSTERS.parents[1],
        )  # fmt: skip

    def run(self, script: str, *arguments: str, **settings: str) -> tuple[int, str]:
        """How it ended, and what it said."""
        process = self.start(script, *arguments, **settings)
        out, err = process.communicate(timeout=600)
        return process.returncode, out + err

    @property
    def server(self) -> dict[str, Any]:
        return json.loads((self.folder / "seen" / "vllm").read_text())

    @property
    def trained(self) -> tuple[str, list[str]]:
        """The GPUs and the arguments that the launcher got."""
        gpus, *arguments = (self.folder / "seen" / "run").read_text().splitlines()
        return gpus, arguments

    def has_trained(self) -> bool:
        return (self.folder / "seen" / "run").exists()

    def is_tidy(self) -> bool:
        """Nothing of the server is left, nor of the weights it was given."""
        until = time.monotonic() + 30  # a process that was killed is there until it is scheduled
        while any(map(is_running, self.server["processes"])):
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
        return not any((self.folder / "memory").iterdir())


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    found = Machine(tmp_path)
    yield found
    if (tmp_path / "seen" / "vllm").exists():
        for process in filter(is_running, found.server["processes"]):
            os.kill(process, signal.SIGKILL)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def is_running(process: int) -> bool:
    """One that has ended, and that nobody has asked about yet, runs no more."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def stage(arguments: list[str]) -> RLStage:
    """What the overrides make of an RL stage."""
    return RLStage.build(override_tree(a for a in arguments if a.startswith("rl."))["rl"], "test")


def test_the_server_and_the_trainer_have_their_own_gpus(machine: Machine) -> None:
    status, said = machine.run("vllm_server.sh", "rl.save_every=10", SERVER_OPTIONS="--seed 3")
    assert status == 0, said
    server = machine.server
    assert server["arguments"] == [
        "serve", "a/model", "--host", "127.0.0.1", "--port", str(machine.port), "--dtype", "bfloat16",
        "--logprobs-mode", "processed_logprobs", "--chat-template-content-format", "openai",
        "--tensor-parallel-size", "4", "--seed", "3",
    ]  # fmt: skip
    assert (server["CUDA_VISIBLE_DEVICES"], server["VLLM_SERVER_DEV_MODE"]) == ("4,5,6,7", "1")
    assert server["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] is None
    gpus, arguments = machine.trained
    assert gpus == "0,1,2,3"
    assert arguments[:5] == [
        "launch", "--config_file", str(CLUSTERS / "eight_gpus_fsdp2.yaml"), "--num_processes", "4",
    ]  # fmt: skip
    assert arguments[-6:] == ["--model", "a/model", "--data", "ladder", "--out", str(machine.out)]
    found = stage(arguments)
    assert (found.engine.type, found.staleness, found.save_every) == ("vllm_server", 1, 10)
    assert found.engine.base_url == f"http://127.0.0.1:{machine.port}"
    assert found.engine.weights_folder.startswith(str(machine.folder / "memory"))
    assert machine.is_tidy()


def test_a_run_that_fails_ends_the_server_and_is_gone_on_with(machine: Machine) -> None:
    machine.out.mkdir()
    (machine.out / "config.json").touch()
    status, _ = machine.run(
        "vllm_server.sh", "rl.staleness=0", ENDS="7", TRAIN_GPUS="0", SERVER_GPUS="1",
        MAX_LORA_RANK="16",
    )  # fmt: skip
    assert status == 7
    assert machine.is_tidy()
    asked = machine.server["arguments"]
    assert asked[-5:] == ["--tensor-parallel-size", "1", "--enable-lora", "--max-lora-rank", "16"]
    assert machine.server["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] == "1"
    arguments = machine.trained[1]
    assert arguments[-1] == "--resume"
    assert stage(arguments).staleness == 0, "what the caller says wins"


def test_a_run_that_is_stopped_ends_both(machine: Machine) -> None:
    process = machine.start("vllm_server.sh", ENDS="never")
    while not machine.has_trained() and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=600)
    assert process.returncode == 143
    assert machine.is_tidy()


def test_a_server_that_does_not_start_is_told_with_its_last_words(machine: Machine) -> None:
    status, said = machine.run("vllm_server.sh", SERVER_OPTIONS="--no-such-option")
    assert status == 1
    assert "the vLLM server has ended" in said and "no such option" in said.splitlines()
    assert not machine.has_trained() and not any((machine.folder / "memory").iterdir())


def test_another_runs_server_is_left_alone(machine: Machine) -> None:
    command = [str(machine.folder / "bin" / "vllm"), "serve", "--port", str(machine.port)]
    other = subprocess.Popen(command, env=os.environ | {"SEEN": str(machine.folder / "seen")})
    try:
        while subprocess.run(
            ["curl", "--noproxy", "*", "-sf", f"http://127.0.0.1:{machine.port}/v1/models"]
        ).returncode:
            assert other.poll() is None
        status, said = machine.run("vllm_server.sh")
        assert status == 1 and "answers at" in said and "Set PORT" in said
        assert not machine.has_trained() and other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_under_slurm_the_jobs_gpus_are_shared_out(machine: Machine) -> None:
    machine.out.mkdir()
    (machine.out / "config.json").touch()
    slurm = {"SLURM_JOB_ID": "12", "NUM_SERVER_GPUS": "2", "CUDA_VISIBLE_DEVICES": "2,3,5,6,7"}
    status, said = machine.run("slurm_vllm_server.sh", "rl.save_every=10", ENDS="3", **slurm)
    assert status == 3 and "requeued 12" in said
    assert machine.server["CUDA_VISIBLE_DEVICES"] == "6,7"
    gpus, arguments = machine.trained
    assert gpus == "2,3,5" and "--resume" in arguments and "rl.save_every=10" in arguments
    assert machine.is_tidy()
    status, said = machine.run("slurm_vllm_server.sh", **slurm, SLURM_RESTART_COUNT="3", ENDS="3")
    assert status == 3 and "requeued" not in said
    status, said = machine.run("slurm_vllm_server.sh", **slurm | {"CUDA_VISIBLE_DEVICES": "0,1"})
    assert status == 2 and "both sides need one" in said


def test_colocated_every_process_has_a_vllm(machine: Machine) -> None:
    status, said = machine.run("vllm_colocated.sh", "rl.engine.memory_share=0.3")
    assert status == 0, said
    arguments = machine.trained[1]
    assert arguments[:5] == [
        "launch", "--config_file", str(CLUSTERS / "eight_gpus_fsdp2.yaml"),
        "--num_processes", "8",
    ]  # fmt: skip
    found = stage(arguments)
    assert (found.engine.type, found.engine.memory_share) == ("vllm", 0.3)
    assert "--resume" not in arguments
