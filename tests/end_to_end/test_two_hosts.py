"""Two hosts over the loopback, started as ``examples/clusters`` says; one is lost in the middle.

Each host is a launcher with a process of its own, so nothing but a port and the run folder is shared.
What is left must end by itself and say why; both started again with ``--resume`` must leave the run
that nobody interrupted.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from observe_r1.records import read_rows
from observe_r1.train.metric_table import is_reproducible

pytestmark = pytest.mark.slow

CLUSTERS = Path(__file__).parents[2] / "examples" / "clusters"
SMALL = (
    "rl.max_steps=6", "rl.save_every=2", "rl.prompts_per_step=4", "rl.group_size=4",
    "rl.sampling.max_new_tokens=24",
)  # fmt: skip
IMPATIENT, PATIENT = "0.2", "5"
"""Minutes that hosts wait for one another."""
BOUND_SECONDS = 120
"""How long the host that is left may take to end, the launcher's own patience included."""


class Host:
    """One of the two machines: a launcher and what it starts."""

    def __init__(
        self, config: str, rank: int, port: int, out: Path, *options: str, minutes: str = PATIENT
    ) -> None:
        command = [
            sys.executable, "-m", "accelerate.commands.launch",
            "--config_file", str(CLUSTERS / f"{config}.yaml"), "--num_processes", "2",
            "--machine_rank", str(rank), "--main_process_ip", "127.0.0.1",
            "--main_process_port", str(port), "-m", "observe_r1.cli.main", "train", "observe_r1",
            "--data", "puzzles", "--model", "tiny", "--out", str(out), *SMALL, *options,
        ]  # fmt: skip
        self.log = out.with_name(f"{out.name}-{rank}-{time.monotonic_ns()}.log")
        environment = os.environ | {"OBSERVE_R1_PEER_MINUTES": minutes, "HF_HUB_OFFLINE": "1"}
        with open(self.log, "wb") as file:
            self.launcher = subprocess.Popen(command, env=environment, stdout=file, stderr=file)

    def send(self, number: signal.Signals) -> None:
        """To the launcher and everything it has started."""
        launcher = psutil.Process(self.launcher.pid)
        for process in [*launcher.children(recursive=True), launcher]:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def end(self, seconds: float = 300.0) -> int:
        return self.launcher.wait(timeout=seconds)

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")


def start(config: str, out: Path, *options: str, minutes: str = PATIENT) -> list[Host]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    return [Host(config, rank, port, out, *options, minutes=minutes) for rank in range(2)]


def wait_for_steps(hosts: list[Host], run: Path, steps: int) -> None:
    metrics, until = run / "metrics.jsonl", time.monotonic() + 300
    while not metrics.exists() or len(metrics.read_bytes().splitlines()) < steps:
        assert time.monotonic() < until and all(h.launcher.poll() is None for h in hosts), [
            h.said for h in hosts
        ]
        time.sleep(0.05)


def rows(run: Path, name: str) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if is_reproducible(k)} for row in read_rows(run / name)]


def assert_equal_runs(one: Path, other: Path) -> None:
    for name in ("metrics.jsonl", "rollouts.jsonl", "samples.jsonl"):
        assert rows(one, name) == rows(other, name), name
    for name in ("model.safetensors", "training/optimizer.safetensors", "training/rng.safetensors"):
        mine, theirs = (load_file(run / "checkpoints" / "latest" / name) for run in (one, other))
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[key], theirs[key]) for key in mine), name


@pytest.fixture(scope="module")
def whole_runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs that nobody interrupts, by the launcher's config."""
    folder, found = tmp_path_factory.mktemp("whole"), {}
    for config in ("two_nodes_replicas", "two_nodes_fsdp2"):
        hosts = start(config, folder / config)
        assert [host.end() for host in hosts] == [0, 0], [host.said for host in hosts]
        found[config] = folder / config
    return found


def test_both_hosts_take_part(whole_runs: dict[str, Path]) -> None:
    for run in whole_runs.values():
        numbers = load_file(run / "checkpoints" / "latest" / "training" / "rng.safetensors")
        assert sorted(numbers) == ["rank-0", "rank-1"]
        assert [row["step"] for row in read_rows(run / "metrics.jsonl")] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("config", "lost"),
    [("two_nodes_replicas", 0), ("two_nodes_replicas", 1), ("two_nodes_fsdp2", 1)],
)
def test_a_lost_host_ends_the_other_and_the_run_is_resumed(
    config: str, lost: int, whole_runs: dict[str, Path], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    hosts = start(config, run, minutes=IMPATIENT)
    wait_for_steps(hosts, run, 3)
    hosts[lost].send(signal.SIGKILL)
    assert hosts[lost].end() == -signal.SIGKILL
    left = hosts[1 - lost]
    assert left.end(BOUND_SECONDS) != 0
    assert "has lost another process" in left.said, left.said
    assert "--resume" in left.said
    again = start(config, run, "--resume")
    assert [host.end() for host in again] == [0, 0], [host.said for host in again]
    assert_equal_runs(whole_runs[config], run)


def test_a_host_that_is_silent_is_waited_for_no_longer_than_told(
    whole_runs: dict[str, Path], tmp_path: Path
) -> None:
    """Its connections stay open, as when a machine hangs or a cable is pulled."""
    run = tmp_path / "run"
    hosts = start("two_nodes_replicas", run, minutes=IMPATIENT)
    wait_for_steps(hosts, run, 3)
    hosts[1].send(signal.SIGSTOP)
    try:
        assert hosts[0].end(BOUND_SECONDS) != 0
        assert "has lost another process" in hosts[0].said, hosts[0].said
    finally:
        hosts[1].send(signal.SIGKILL)
        hosts[1].end()
    again = start("two_nodes_replicas", run, "--resume")
    assert [host.end() for host in again] == [0, 0], [host.said for host in again]
    assert_equal_runs(whole_runs["two_nodes_replicas"], run)


def test_hosts_with_other_settings_are_refused_on_both(tmp_path: Path) -> None:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    hosts = [
        Host("two_nodes_replicas", rank, port, tmp_path / "run", f"rl.optimizer.lr=1e-{rank + 4}")
        for rank in range(2)
    ]
    assert all(host.end() != 0 for host in hosts)
    for host in hosts:
        assert "process 1 has another set of settings than process 0" in host.said, host.said
    assert not (tmp_path / "run").exists(), json.dumps([host.said for host in hosts])


STAND_INS = {
    # srun: the command once a machine, all at the same time; the last failure is the status.
    "srun": """#!/bin/bash
[ "$1" = --kill-on-bad-exit=1 ] && shift
for node in 0 1; do SLURM_NODEID=$node "$@" & jobs[node]=$!; done
status=0
for job in "${jobs[@]}"; do wait "$job" || status=$?; done
exit $status
""",
    "scontrol": """#!/bin/bash
case $1 in
    show) printf '127.0.0.1\\n127.0.0.1\\n' ;;
    requeue) echo "requeued $2" ;;
esac
""",
    "accelerate": f"""#!/bin/bash
exec {sys.executable} -m accelerate.commands.accelerate_cli "$@"
""",
}


def under_slurm(folder: Path, out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``slurm_train.sh`` on two machines, with stand-ins for what SLURM brings."""
    folder.mkdir(exist_ok=True)
    for name, text in STAND_INS.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    slurm = {
        "SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_ID": str(os.getpid()), "SLURM_JOB_NODELIST": "n[0-1]",
        "GPUS_PER_NODE": "1", "MODEL": "tiny", "DATA": "puzzles", "OUT": str(out),
        "CONFIG": str(CLUSTERS / "two_nodes_replicas.yaml"), "OBSERVE_R1_PEER_MINUTES": "1",
        "PATH": f"{folder}:{os.environ['PATH']}", "HF_HUB_OFFLINE": "1",
    }  # fmt: skip
    return subprocess.run(
        ["bash", str(CLUSTERS / "slurm_train.sh"), "observe_r1", *SMALL, *arguments],
        env=os.environ | slurm, capture_output=True, text=True, timeout=600,
    )  # fmt: skip


def test_the_slurm_script_trains_resumes_and_requeues(
    whole_runs: dict[str, Path], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    first = under_slurm(tmp_path / "bin", run)
    assert first.returncode == 0, first.stderr
    assert_equal_runs(whole_runs["two_nodes_replicas"], run)
    again = under_slurm(tmp_path / "bin", run)  # refused without --resume
    assert again.returncode == 0, again.stderr
    failed = under_slurm(tmp_path / "bin", run, "rl.group_size=2")  # cannot be gone on with
    assert failed.returncode != 0 and "requeued" in failed.stdout


BY_PROCESS = """
import os

def mine(attempt):
    return 10.0 * int(os.environ["RANK"]) + attempt.index
"""


def test_a_group_is_scored_by_one_process_and_all_train_on_that(tmp_path: Path) -> None:
    """As a judge may: its answers differ from one asking to the next."""
    (tmp_path / "my.py").write_text(BY_PROCESS)
    rewards = f'rl.rewards=[{{ type = "user", path = "{tmp_path}/my.py:mine" }}]'
    hosts = start("two_nodes_fsdp2", tmp_path / "run", rewards, "rl.max_steps=2")
    assert [host.end() for host in hosts] == [0, 0], [host.said for host in hosts]
    found = [
        (r["group"], r["index"], r["rewards"]) for r in read_rows(tmp_path / "run/rollouts.jsonl")
    ]
    assert found == [
        (group, index, {"mine": 10.0 * (group % 2) + index})
        for _ in range(2) for group in range(4) for index in range(4)
    ]  # fmt: skip
