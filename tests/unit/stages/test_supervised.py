"""Supervised stages: the loss is the one written down, and a stop leaves no trace."""

import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import fakes
from observe_r1.config.policy import PolicyConfig
from observe_r1.config.spans import Spans
from observe_r1.config.stages import SFTStage
from observe_r1.data.traces import TraceRow, TraceSet
from observe_r1.errors import ConfigError, DataError
from observe_r1.policy.load import load_policy
from observe_r1.policy.pack import pack_group
from observe_r1.records import read_rows
from observe_r1.stages.examples import ExampleMaker, collate, end_token
from observe_r1.stages.scoring import count_tokens, mean_loss, measure_perplexity
from observe_r1.stages.sft import run_sft
from observe_r1.stages.supervised import make_plan
from observe_r1.text import system_prompt
from observe_r1.train.metric_table import is_reproducible
from observe_r1.train.state import latest_checkpoint

SAMPLES = [fakes.sample(number, images=number % 3) for number in range(6)]
THOUGHTS = ("one and two", "two", "three of them", "four <|im_end|> here", "5", "6 or so")


def traces(count: int = 6) -> TraceSet:
    rows = [
        TraceRow(
            sample_id=sample.id,
            response=f"<think>{thought}</think><answer>{sample.answer}</answer>",
            grammar="think_answer",
        )
        for sample, thought in zip(SAMPLES[:count], THOUGHTS, strict=False)
    ]
    return TraceSet(tuple(rows), {sample.id: sample for sample in SAMPLES})


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return fakes.save_tiny(tmp_path_factory.mktemp("model"))


def stage(max_steps: int, **changes: Any) -> SFTStage:
    values: dict[str, Any] = {
        "max_steps": max_steps, "examples_per_step": 4, "examples_per_pass": 2, "save_every": 2,
        "optimizer": {"lr": 1e-3},
    }  # fmt: skip
    return SFTStage.build(values | changes, "test")


def metrics(run: Path) -> list[dict[str, Any]]:
    rows = read_rows(run / "metrics.jsonl")
    return [{k: v for k, v in row.items() if is_reproducible(k)} for row in rows]


def tensors(run: Path, name: str) -> dict[str, torch.Tensor]:
    folder = latest_checkpoint(run)
    assert folder is not None
    return load_file(folder / name)


def assert_equal_runs(one: Path, other: Path, weights: str = "model.safetensors") -> None:
    assert metrics(one) == metrics(other)
    for name in (weights, "training/optimizer.safetensors"):
        mine, theirs = tensors(one, name), tensors(other, name)
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[key], theirs[key]) for key in mine)


@pytest.mark.parametrize(
    "spans",
    [
        Spans(),
        Spans(only=("answer",)),
        Spans(without=("think",), end_token=False),
        Spans(since="answer"),
    ],
)
def test_the_loss_is_the_cross_entropy_of_the_learnt_tokens(
    model: str, tmp_path: Path, spans: Spans
) -> None:
    settings = stage(1, loss_on=spans, examples_per_step=6, save_every=0)
    run_sft(settings, model=model, traces=traces(), run=tmp_path)
    (row,) = read_rows(tmp_path / "metrics.jsonl")
    policy = load_policy(model, PolicyConfig())
    maker = ExampleMaker(policy, spans)
    one_by_one = [cross_entropies(policy, maker, row) for row in traces().rows]
    assert row["loss"] == pytest.approx(float(torch.cat(one_by_one).mean()), abs=1e-5)
    policy.packed.suppressed = torch.zeros(0, dtype=torch.long)  # TRL's softmax is over all ids
    packed = [packed_entropies(policy, maker, row) for row in traces().rows]
    assert row["loss"] == pytest.approx(float(torch.cat(packed).mean()), abs=1e-5)


@torch.no_grad()
def cross_entropies(policy: Any, maker: ExampleMaker, row: TraceRow) -> torch.Tensor:
    """By the model's own forward, one trace at a time, positions and all left to the model."""
    sample = traces().sample(row)
    text, images = policy.encode.render(sample, system_prompt("think_answer"))
    inputs = dict(policy.processor(text=[text], images=images or None, return_tensors="pt"))
    example = maker.make(row, sample)
    start = inputs["input_ids"].shape[1]
    ids = torch.cat([inputs["input_ids"], torch.tensor([example.ids_T])], 1)
    kinds = torch.nn.functional.pad(inputs.pop("mm_token_type_ids"), (0, len(example.ids_T)))
    inputs |= {"input_ids": ids, "attention_mask": torch.ones_like(ids), "mm_token_type_ids": kinds}
    logits = policy.model(**inputs).logits[0, start - 1 : -1]
    losses = torch.nn.functional.cross_entropy(logits, ids[0, start:], reduction="none")
    return losses[torch.tensor(example.is_learnt_T)]


@torch.no_grad()
def packed_entropies(policy: Any, maker: ExampleMaker, row: TraceRow) -> torch.Tensor:
    example = maker.make(row, traces().sample(row))
    prompt = policy.encode(example.sample, example.system_prompt)
    logprobs = policy.packed([pack_group(prompt, [example.ids_T])]).logprobs_N
    return -logprobs[torch.tensor(example.is_learnt_T)]


def test_the_prompt_is_token_for_token_that_of_rollouts(model: str) -> None:
    policy = load_policy(model, PolicyConfig())
    maker = ExampleMaker(policy, Spans())
    examples = [maker.make(row, traces().sample(row)) for row in traces().rows]
    batch = collate(policy, examples)
    for place, (example, row) in enumerate(zip(examples, traces().rows, strict=True)):
        prompt = policy.encode(traces().sample(row), system_prompt("think_answer"))
        length = prompt.length
        assert batch["input_ids"][place, :length].tolist() == prompt.ids_L.tolist()
        assert batch["input_ids"][place, length:][: len(example.ids_T)].tolist() == list(
            example.ids_T
        )
        assert (batch["labels"][place, :length] == -100).all()
        assert batch["position_ids"][:, place, :length].tolist() == prompt.positions.tolist()


def test_text_that_names_a_control_token_stays_text(model: str) -> None:
    policy = load_policy(model, PolicyConfig())
    row = next(row for row in traces().rows if "<|im_end|>" in row.response)
    example = ExampleMaker(policy, Spans()).make(row, traces().sample(row))
    assert example.ids_T.count(end_token(policy)) == 1, "the end of the response, nothing else"
    text = policy.processor.tokenizer.decode(example.ids_T[:-1])
    assert text == row.response


@pytest.mark.slow
def test_the_gradient_does_not_depend_on_the_size_of_a_pass(model: str, tmp_path: Path) -> None:
    for a_pass in (1, 4):
        run = tmp_path / str(a_pass)
        run_sft(stage(2, examples_per_pass=a_pass), model=model, traces=traces(), run=run)
    one, four = metrics(tmp_path / "1"), metrics(tmp_path / "4")
    for name in ("loss", "grad_norm"):
        assert [row[name] for row in one] == pytest.approx([row[name] for row in four], rel=1e-4)


def test_a_resumed_stage_equals_an_uninterrupted_one_to_the_bit(model: str, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    cosine = {"lr": 1e-3, "schedule": "cosine", "warmup": 1}
    run_sft(stage(5, optimizer=cosine, keep_checkpoints=9), model=model, traces=traces(), run=whole)
    shutil.copytree(whole, parts, symlinks=True)
    # As if killed in step 4: its row is there, its checkpoint and what comes after are not.
    for folder in (parts / "checkpoints").glob("step-00000[45]"):
        shutil.rmtree(folder)
    (parts / "checkpoints" / "latest").unlink()
    (parts / "checkpoints" / "latest").symlink_to("step-000002")
    run_sft(stage(5, optimizer=cosine), model=model, traces=traces(), run=parts, resume=True)
    assert_equal_runs(whole, parts)
    assert {row["step"] for row in read_rows(parts / "discarded-1.jsonl")} == {3, 4, 5}


KILLED = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[1:3]
import torch
torch.set_num_threads(1)
from observe_r1.stages.sft import run_sft
from test_supervised import stage, traces
run_sft(stage(60), model=sys.argv[3], traces=traces(), run=Path(sys.argv[4]))
"""


@pytest.mark.slow
def test_a_stage_that_is_killed_goes_on_to_the_bit(model: str, tmp_path: Path) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    here = Path(__file__).parent
    places = [str(here.parents[1]), str(here), model, str(killed)]
    process = subprocess.Popen([sys.executable, "-c", KILLED, *places])
    rows = killed / "metrics.jsonl"
    while process.poll() is None and not (
        rows.exists() and len(rows.read_bytes().splitlines()) > 6
    ):
        time.sleep(0.05)
    process.kill()
    assert process.wait() == -signal.SIGKILL, "it must be killed while it trains"
    run_sft(stage(60), model=model, traces=traces(), run=killed, resume=True)
    run_sft(stage(60), model=model, traces=traces(), run=whole)
    assert_equal_runs(whole, killed)


@pytest.mark.slow
def test_two_processes_learn_what_one_does(model: str, tmp_path: Path) -> None:
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    launch += ["--master_addr", "127.0.0.1", "--master_port", str(free_port())]
    script = Path(__file__).with_name("two_process_sft.py")
    subprocess.run(
        [*launch, str(script), model, str(tmp_path / "two")], check=True, capture_output=True,
        env={**os.environ, "ACCELERATE_USE_CPU": "true"},
    )  # fmt: skip
    run_sft(stage(3, examples_per_pass=1), model=model, traces=traces(), run=tmp_path / "one")
    one, two = metrics(tmp_path / "one"), metrics(tmp_path / "two")
    for name in ("loss", "grad_norm", "tokens/computed"):
        assert [row[name] for row in two] == pytest.approx([row[name] for row in one], rel=1e-5)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.mark.slow
def test_adapters_with_dropout_resume_to_the_bit(model: str, tmp_path: Path) -> None:
    policy = {"lora": {"rank": 2, "dropout": 0.3}}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run_sft(stage(3, policy=policy, save_every=1), model=model, traces=traces(), run=whole)
    run_sft(stage(2, policy=policy), model=model, traces=traces(), run=parts)
    run_sft(stage(3, policy=policy), model=model, traces=traces(), run=parts, resume=True)
    assert_equal_runs(whole, parts, "adapter_model.safetensors")


@pytest.mark.slow
def test_half_precision_weights_have_float32_copies(model: str, tmp_path: Path) -> None:
    settings = stage(2, policy={"dtype": "bfloat16"}, optimizer={"lr": 1e-6}, save_every=0)
    run_sft(settings, model=model, traces=traces(), run=tmp_path)
    state = tensors(tmp_path, "training/optimizer.safetensors")
    masters = {name: value for name, value in state.items() if name.endswith("/master")}
    assert masters
    assert all(value.dtype == torch.float32 for value in masters.values())
    start = load_file(Path(model) / "model.safetensors")
    moved = [n for n, value in masters.items() if not value.bfloat16().float().equal(value)]
    assert moved, "steps too small for bfloat16 are kept in the copies"
    assert start


@pytest.mark.slow
def test_a_stage_stops_at_its_limits(model: str, tmp_path: Path) -> None:
    short = stage(4, max_minutes=1e-9)
    run_sft(short, model=model, traces=traces(), run=tmp_path / "minutes")
    assert [row["step"] for row in metrics(tmp_path / "minutes")] == [1]
    learnt = stage(
        200, until_token_accuracy=0.9, examples_per_step=1, optimizer={"lr": 2e-2}, save_every=0
    )
    run_sft(learnt, model=model, traces=traces(1), run=tmp_path / "learnt")
    rows = metrics(tmp_path / "learnt")
    assert len(rows) < 200
    assert rows[-1]["token_accuracy"] >= 0.9
    assert all(row["token_accuracy"] < 0.9 for row in rows[:-1])


@pytest.mark.slow
def test_validation_losses_and_held_out_measurements(model: str, tmp_path: Path) -> None:
    asked: list[int] = []

    def measure(engine: Any, step: int) -> dict[str, float]:
        groups = engine.generate(
            SAMPLES[:1], group_size=1, sampling=stage(1).sampling.model_copy(
                update={"max_new_tokens": 2}), system_prompt="", seed=0,
        )  # fmt: skip
        asked.append(step)
        return {"eval/accuracy": float(len(groups))}

    settings = stage(2, eval_every=1, optimizer={"lr": 0.0})
    run_sft(
        settings, model=model, traces=traces(), run=tmp_path, validation={"old": traces(2)},
        measure=measure,
    )  # fmt: skip
    assert asked == [1, 2]
    policy = load_policy(model, PolicyConfig())
    maker = ExampleMaker(policy, Spans())
    expected = mean_loss(policy, maker.make_all(traces(2), "test"))
    assert [row["eval/loss/old"] for row in metrics(tmp_path)] == pytest.approx([expected] * 2)


def test_perplexity_and_length_are_measured_where_unknown(model: str) -> None:
    policy = load_policy(model, PolicyConfig())
    measured = count_tokens(policy, measure_perplexity(policy, traces(3)))
    maker = ExampleMaker(policy, Spans())
    for row in measured.rows:
        losses = packed_entropies(policy, maker, row)
        assert row.perplexity == pytest.approx(math.exp(float(losses.mean())), rel=1e-5)
        assert row.num_tokens == len(losses)


def test_the_order_of_examples_is_a_function_of_the_seed() -> None:
    whole = make_plan(stage(6), 10, 0, 1)
    rest = make_plan(stage(6), 10, 4, 1)
    assert whole.order[16:] == rest.order
    assert sorted(whole.order[:10]) == list(range(10)), "a pass sees every example once"
    assert whole.order[:10] != tuple(range(10))
    assert make_plan(stage(6, seed=1), 10, 0, 1).order != whole.order
    epochs = SFTStage(epochs=2, examples_per_step=4)
    assert make_plan(epochs, 10, 0, 1).total_steps == 5


def test_the_longest_examples_of_a_step_come_first() -> None:
    lengths = [9, 1, 8, 2, 7, 3, 6, 4, 5, 10]
    drawn, plan = (make_plan(stage(3), 10, 0, 1, found).order for found in (None, lengths))
    a_step = stage(3).examples_per_step
    for first in range(0, len(plan), a_step):
        step = plan[first : first + a_step]
        assert sorted(step) == sorted(drawn[first : first + a_step]), "no step sees other examples"
        found = [lengths[place] for place in step]
        assert found == sorted(found, reverse=True) and len(found) > 1


def test_a_step_that_processes_cannot_share_is_refused() -> None:
    assert (
        make_plan(stage(1, examples_per_step=6, examples_per_pass=4), 6, 0, 1).examples_per_pass
        == 3
    )
    with pytest.raises(ConfigError, match="3 processes cannot share evenly"):
        make_plan(stage(1), 4, 0, 3)


def test_traces_with_nothing_to_learn_are_refused(model: str, tmp_path: Path) -> None:
    nothing = stage(1, loss_on={"only": ["sketch"], "end_token": False})
    with pytest.raises(DataError, match="none of the 6 traces has anything to learn"):
        run_sft(nothing, model=model, traces=traces(), run=tmp_path / "run")
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
