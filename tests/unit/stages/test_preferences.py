"""The preference stage: which traces become pairs, what its loss is, and that it resumes."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import fakes
from observe_r1.config.policy import PolicyConfig
from observe_r1.config.spans import Spans
from observe_r1.config.stages import DPOStage
from observe_r1.data.traces import TraceRow, TraceSet
from observe_r1.errors import DataError
from observe_r1.policy.load import load_policy
from observe_r1.records import read_rows
from observe_r1.stages.dpo import make_pairs, run_dpo
from observe_r1.stages.examples import ExampleMaker
from observe_r1.stages.scoring import mean_loss
from observe_r1.train.state import latest_checkpoint

SAMPLES = {f"sample-{n}": fakes.sample(n, images=n % 2) for n in range(4)}


def row(number: int, text: str, grammar: str = "think_answer") -> TraceRow:
    return TraceRow(sample_id=f"sample-{number}", response=text, grammar=grammar)


def side(texts: dict[int, list[str]]) -> TraceSet:
    return TraceSet(tuple(row(n, text) for n, found in texts.items() for text in found), SAMPLES)


CHOSEN = side({n: [f"<think>{n}</think><answer>{n}</answer>"] for n in range(4)})
REJECTED = side({n: [f"{n} and no tags at all"] for n in range(4)})


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return fakes.save_tiny(tmp_path_factory.mktemp("model"))


def stage(max_steps: int = 1, **changes: Any) -> DPOStage:
    values: dict[str, Any] = {
        "max_steps": max_steps, "examples_per_step": 4, "save_every": 1, "optimizer": {"lr": 1e-3},
    }  # fmt: skip
    return DPOStage.build(values | changes, "test")


def run(settings: DPOStage, model: str, folder: Path, **more: Any) -> list[dict[str, Any]]:
    run_dpo(settings, model=model, chosen=CHOSEN, rejected=REJECTED, run=folder, **more)
    return list(read_rows(folder / "metrics.jsonl"))


def test_the_first_loss_is_that_of_indifference_and_the_supervised_one(
    model: str, tmp_path: Path
) -> None:
    (plain,) = run(stage(), model, tmp_path / "plain")
    assert plain["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert plain["preference/margin"] == pytest.approx(0, abs=1e-5)
    (mixed,) = run(stage(sft_weight=0.5), model, tmp_path / "mixed")
    policy = load_policy(model, PolicyConfig())
    policy.packed.suppressed = torch.zeros(0, dtype=torch.long)  # TRL's softmax is over all ids
    supervised = mean_loss(policy, ExampleMaker(policy, Spans()).make_all(CHOSEN, "test"))
    assert mixed["loss"] == pytest.approx(math.log(2) + 0.5 * supervised, abs=1e-4)


@pytest.mark.slow
def test_the_chosen_side_gains_on_the_other(model: str, tmp_path: Path) -> None:
    rows = run(stage(8), model, tmp_path)
    assert rows[-1]["preference/accuracy"] == 1.0
    assert rows[-1]["preference/margin"] > 0.05
    assert rows[-1]["loss"] < rows[0]["loss"]


def test_only_the_learnt_spans_count(model: str, tmp_path: Path) -> None:
    rows = run(stage(loss_on={"only": ["answer"], "end_token": False}), model, tmp_path)
    assert rows[0]["logprob/rejected"] == 0.0, "the rejected side has no answer section"
    assert rows[0]["logprob/chosen"] < 0.0


@pytest.mark.slow
def test_it_resumes_to_the_bit(model: str, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    rows = run(stage(3), model, whole)
    run(stage(2), model, parts)
    resumed = run(stage(3), model, parts, resume=True)
    assert [r["loss"] for r in resumed] == [r["loss"] for r in rows]
    one, other = (
        load_file(Path(latest_checkpoint(f)) / "model.safetensors") for f in (whole, parts)
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_adapters_are_held_at_the_model_without_them(model: str, tmp_path: Path) -> None:
    rows = run(stage(2, policy={"lora": {"rank": 2}}), model, tmp_path)
    assert rows[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)
    names = {path.name for path in (tmp_path / "checkpoints" / "latest").iterdir()}
    assert "adapter_model.safetensors" in names
    assert "ref" not in names, "the reference's copy of the adapters is no part of the model"


def test_pairs_are_of_one_question_and_in_order() -> None:
    chosen = side({0: ["a", "b", "c"], 1: ["d"], 2: ["e"]})
    rejected = side({1: ["x"], 0: ["y", "z"], 3: ["w"]})
    pairs = make_pairs(stage(pairs_per_question=2), chosen, rejected)
    assert [(p.chosen.response, p.rejected.response) for p in pairs] == [
        ("a", "y"), ("b", "z"), ("d", "x"),
    ]  # fmt: skip
    assert len(make_pairs(stage(), chosen, rejected)) == 2


def test_sides_that_answer_other_questions_under_one_id_are_refused() -> None:
    chosen, rejected = side({0: ["a"]}), side({0: ["y"]})
    sample_id = rejected.rows[0].sample_id
    other = dataclasses.replace(SAMPLES[sample_id], question="Another?")
    with pytest.raises(DataError, match="one question among the chosen traces and another"):
        make_pairs(stage(), chosen, TraceSet(rejected.rows, {sample_id: other}))


def test_what_finds_no_counterpart_is_counted(caplog: Any) -> None:
    chosen = side({0: ["a", "b", "c"], 1: ["d"], 2: ["e"]})
    rejected = side({0: ["y", "z"], 3: ["w"]})
    assert len(make_pairs(stage(pairs_per_question=2), chosen, rejected)) == 2
    assert "of 3 questions with a chosen and 2 with a rejected trace 1 have both" in caplog.text
    assert "3 traces are left out" in caplog.text, "d, e and w; c by pairs_per_question"
    caplog.clear()
    make_pairs(stage(), side({0: ["a", "b"]}), side({0: ["y"]}))
    assert not caplog.text


def test_pairs_of_equal_texts_are_left_out_and_all_equal_is_refused(caplog: Any) -> None:
    chosen, rejected = side({0: ["a"], 1: ["b"]}), side({0: ["a"], 1: ["c"]})
    (pair,) = make_pairs(stage(), chosen, rejected)
    assert pair.rejected.response == "c"
    assert "in 1 of 2 pairs" in caplog.text
    with pytest.raises(DataError, match="the same text, so there is nothing to prefer"):
        make_pairs(stage(), chosen, side({0: ["a"], 1: ["b"]}))


def test_sides_that_share_no_question_are_refused() -> None:
    with pytest.raises(DataError, match="none of the 1 questions with a chosen trace"):
        make_pairs(stage(), side({0: ["a"]}), side({1: ["b"]}))


def test_sides_that_answer_different_prompts_are_refused() -> None:
    other = TraceSet((row(0, "<answer>0</answer>", "answer"),), SAMPLES)
    with pytest.raises(DataError, match="answer different prompts"):
        make_pairs(stage(), side({0: ["a"]}), other)


def test_pairs_with_nothing_to_learn_are_refused(model: str, tmp_path: Path) -> None:
    nothing = stage(loss_on={"only": ["sketch"], "end_token": False})
    with pytest.raises(DataError, match="neither trace of 'sample-0' has anything to learn"):
        run(nothing, model, tmp_path)
