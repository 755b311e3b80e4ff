"""What ``examples/clusters`` holds is read by Accelerate's own parser, and taken by ours."""

import os
import shutil
import subprocess
from argparse import Namespace
from pathlib import Path

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils.launch import prepare_multi_gpu_env

from observe_r1.errors import ConfigError, RunError
from observe_r1.train.distribute import (
    PEER_MINUTES,
    Processes,
    check_launch,
    is_lost_peer,
    naming_lost_peers,
    peer_timeout,
)  # fmt: skip

CLUSTERS = Path(__file__).parents[3] / "examples" / "clusters"
CONFIGS = sorted(CLUSTERS.glob("*.yaml"), key=lambda path: path.name)
SCRIPTS = sorted(CLUSTERS.glob("*.sh"), key=lambda path: path.name)

EXPECTED = {
    "one_gpu": (1, 1, False),
    "eight_gpus_replicas": (1, 8, False),
    "eight_gpus_fsdp2": (1, 8, True),
    "two_nodes_replicas": (2, 16, False),
    "two_nodes_fsdp2": (2, 16, True),
}
"""Machines, processes of all of them, sharded."""


def parsed(config: Path, *options: str) -> Namespace:
    """As ``accelerate launch --config_file`` reads it."""
    command = ["--config_file", str(config), *options, "-m", "observe_r1.cli.main", "train"]
    arguments, _, _ = _validate_launch_command(launch_command_parser().parse_args(command))
    return arguments


def test_every_file_is_expected_and_there() -> None:
    assert {path.stem for path in CONFIGS} == EXPECTED.keys()
    assert SCRIPTS


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_a_config_says_what_its_name_says(config: Path) -> None:
    machines, processes, sharded = EXPECTED[config.stem]
    loaded = load_config_from_file(str(config))
    assert (loaded.num_machines, loaded.num_processes) == (machines, processes)
    arguments = parsed(config)
    assert (arguments.num_machines, arguments.num_processes) == (machines, processes)
    assert arguments.use_fsdp == sharded
    assert arguments.multi_gpu == (processes > 1 and not sharded)
    assert not arguments.use_deepspeed and not arguments.use_cpu


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_what_a_config_tells_our_processes_is_taken(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = prepare_multi_gpu_env(parsed(config, "--main_process_port", "0"))
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    check_launch()
    assert (told.get("ACCELERATE_USE_FSDP") == "true") == EXPECTED[config.stem][2]


REFUSED = {
    "DeepSpeed": {"ACCELERATE_USE_DEEPSPEED": "true"},
    "FSDP version 1": {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "1"},
    "weights on the CPU": {
        "ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_OFFLOAD_PARAMS": "true"
    },
    "mixed precision": {"ACCELERATE_MIXED_PRECISION": "bf16"},
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_a_launcher_that_asks_for_what_is_not_done_is_refused(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (REFUSED[what] | {"WORLD_SIZE": "2"}).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=what):
        Processes.launched()


def test_a_deepspeed_config_of_accelerate_is_refused_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "zero3.yaml"
    config.write_text(
        "compute_environment: LOCAL_MACHINE\ndistributed_type: DEEPSPEED\n"
        "deepspeed_config: {zero_stage: 3}\nnum_machines: 1\nnum_processes: 8\n"
    )
    assert parsed(config).use_deepspeed
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")  # what its launcher sets
    with pytest.raises(ConfigError, match="eight_gpus_fsdp2"):
        Processes.launched()


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_is_sound_and_says_what_it_misses(script: Path) -> None:
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True)
    done = subprocess.run(
        ["bash", str(script)], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True
    )
    assert done.returncode != 0 and ("MODEL" in done.stderr or "FOLDER" in done.stderr)


@pytest.mark.parametrize("minutes", ["soon", "0", "-3", "inf", "nan"])
def test_a_patience_that_is_no_number_is_refused(
    minutes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PEER_MINUTES, minutes)
    with pytest.raises(ConfigError, match=PEER_MINUTES):
        peer_timeout()


def test_only_a_lost_process_is_called_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    lost = RuntimeError("[gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]")
    other = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    assert is_lost_peer(lost) and not is_lost_peer(other)
    with pytest.raises(RunError, match="--resume"), naming_lost_peers():
        raise lost
    with pytest.raises(RuntimeError, match="mat1") as found, naming_lost_peers():
        raise other
    assert not isinstance(found.value, RunError)


def test_processes_that_differ_are_refused_by_name() -> None:
    class Two(Processes):
        """The second process answers with another version."""

        def gather_objects(self, mine):  # type: ignore[no-untyped-def]
            return [mine, {**mine, "version of torch": "2.0"}]

    with pytest.raises(RunError, match=r"process 1 has another version of torch .* 2\.0"):
        Two().check_alike({"version of torch": "2.15", "model": "m"})
