"""What ``examples/clusters`` holds is read by Accelerate's own parser, and taken by ours."""

import os
import shutil
import subprocess
from argparse import Namespace
from pathlib import Path

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils.launch import prepare_deepspeed_cmd_env, prepare_multi_gpu_env

from observe_r1.errors import ConfigError, RunError
from observe_r1.train.distribute import (
    PEER_MINUTES,
    Processes,
    is_lost_peer,
    naming_lost_peers,
    peer_timeout,
)  # fmt: skip
from observe_r1.train.launch import ALONE, read_launch, settle_launch

CLUSTERS = Path(__file__).parents[3] / "examples" / "clusters"
CONFIGS = sorted(CLUSTERS.glob("*.yaml"), key=lambda path: path.name)
SCRIPTS = sorted(CLUSTERS.glob("*.sh"), key=lambda path: path.name)

EXPECTED = {
    "one_gpu": (1, 1, False),
    "eight_gpus_replicas": (1, 8, False),
    "eight_gpus_fsdp2": (1, 8, True),
    "two_nodes_replicas": (2, 16, False),
    "two_nodes_fsdp2": (2, 16, True),
    "eight_gpus_deepspeed_zero3": (1, 8, True),
}
"""Machines, processes of all of them, sharded."""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is told to processes ends with a test; several of them unless it says otherwise."""
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setenv("WORLD_SIZE", "8")


def parsed(config: Path, *options: str) -> Namespace:
    """As ``accelerate launch --config_file`` reads it."""
    command = ["--config_file", str(config), *options, "-m", "observe_r1.cli.main", "train"]
    arguments, _, _ = _validate_launch_command(launch_command_parser().parse_args(command))
    arguments.deepspeed_fields_from_accelerate_config = ""  # set by the launcher itself
    return arguments


def told(arguments: Namespace) -> dict[str, str]:
    """What the launcher tells every process; DeepSpeed itself need not be there."""
    if arguments.use_deepspeed:
        return prepare_deepspeed_cmd_env(arguments)[1]
    return prepare_multi_gpu_env(arguments)


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
    assert (arguments.use_fsdp or arguments.use_deepspeed) == sharded
    assert arguments.multi_gpu == (processes > 1 and not sharded)
    assert arguments.use_deepspeed == ("deepspeed" in config.stem) and not arguments.use_cpu


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_what_a_config_tells_our_processes_is_taken(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in told(parsed(config, "--main_process_port", "0")).items():
        monkeypatch.setenv(name, value)
    assert read_launch().sharded == EXPECTED[config.stem][2]


REFUSED = {
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


def deepspeed_tells(config: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> None:
    arguments = parsed(config, "--main_process_port", "0", *options)
    assert arguments.use_deepspeed
    for name, value in told(arguments).items():
        monkeypatch.setenv(name, value)


def zero(stage: int, tmp_path: Path, more: str = "") -> Path:
    config = tmp_path / "zero.yaml"
    config.write_text(
        "compute_environment: LOCAL_MACHINE\ndistributed_type: DEEPSPEED\n"
        f"deepspeed_config:\n  zero_stage: {stage}\n{more}num_machines: 1\nnum_processes: 8\n"
    )
    return config


@pytest.mark.parametrize(
    ("stage", "sharded", "reshard"),
    [(0, False, False), (1, True, False), (2, True, False), (3, True, True)],
)
def test_a_deepspeed_config_is_followed_by_fsdp2(
    stage: int, sharded: bool, reshard: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deepspeed_tells(zero(stage, tmp_path), monkeypatch)
    launch = read_launch()
    assert (launch.sharded, launch.reshard) == (sharded, reshard)
    assert launch.note is not None and f"ZeRO-{stage}" in launch.note
    settle_launch()
    assert os.environ["ACCELERATE_USE_DEEPSPEED"] == "false"  # nobody starts its engine
    again = read_launch()  # by the next stage
    assert again.sharded == sharded and (again.reshard == reshard or not sharded)


def test_a_deepspeed_file_is_followed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "ds.json"
    file.write_text(
        '{"zero_optimization": {"stage": 3, "overlap_comm": true, "offload_param": {"device": "none"}},'
        ' "bf16": {"enabled": "auto"}, "fp16": {"enabled": false}, "train_batch_size": "auto"}'
    )
    config = zero(3, tmp_path)
    config.write_text(config.read_text().replace("zero_stage: 3", f"deepspeed_config_file: {file}"))
    deepspeed_tells(config, monkeypatch)
    assert read_launch().sharded and read_launch().reshard


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ('{"optimizer": {"type": "Adam"}}', "sets optimizer, and a stage has its own: optimizer"),
        ('{"bf16": {"enabled": true}}', "bf16.*policy.dtype"),
        ('{"train_batch_size": 64}', "prompts_per_step"),
        (
            '{"zero_optimization": {"stage": 2, "offload_optimizer": {"device": "cpu"}}}',
            "to the cpu",
        ),
        ('{"zero_optimization": {"stage": 2, "cpu_offload": true}}', "to the cpu"),
        ('{"zero_optimization": {"offload_param": "cpu"}}', "'cpu' as offload_param"),
        ('{"zero_optimization": [3]}', "as zero_optimization"),
        ('{"zero_optimization": {"stage": 4}}', "no ZeRO stage 4"),
        ("[]", "no JSON object"),
        ("{", "cannot be read"),
    ],
)
def test_what_a_deepspeed_file_decides_for_a_stage_is_refused(
    written: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "ds.json"
    file.write_text(written)
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_CONFIG_FILE", str(file))
    with pytest.raises(ConfigError, match=named):
        Processes.launched()


def test_a_deepspeed_file_that_says_nothing_asks_for_replicas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "ds.json"
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_CONFIG_FILE", str(file))
    for nothing in ("null", "{}", '{"offload_optimizer": null}'):
        file.write_text(f'{{"zero_optimization": {nothing}}}')
        assert not read_launch().sharded


@pytest.mark.parametrize("asked", ["ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_FSDP"])
def test_a_process_that_is_alone_shares_nothing_and_nobody_shards_its_model(
    asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv(asked, "true")
    assert read_launch().note == ALONE
    assert not Processes.launched().sharded
    assert os.environ["ACCELERATE_USE_DEEPSPEED"] == os.environ["ACCELERATE_USE_FSDP"] == "false"


@pytest.mark.parametrize(
    ("key", "named"),
    [
        ("gradient_accumulation_steps: 4", "max_tokens_per_microbatch"),
        ("offload_param_device: cpu", "offload_param"),
    ],
)
def test_what_the_launchers_own_keys_decide_for_a_stage_is_refused(
    key: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deepspeed_tells(zero(3, tmp_path, f"  {key}\n"), monkeypatch)
    with pytest.raises(ConfigError, match=named):
        read_launch()


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
