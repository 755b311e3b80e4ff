"""Small parts of training, worked out by hand."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import fakes
from observe_r1.config.optimizer import OptimizerConfig
from observe_r1.errors import ConfigError, TrainingError
from observe_r1.records import read_rows
from observe_r1.train.draw import draw_groups
from observe_r1.train.health import MAX_NONFINITE_STEPS, MAX_SILENT_STEPS, Health
from observe_r1.train.metric_table import METRICS, as_markdown, find_metric, is_reproducible
from observe_r1.train.metrics import step_metrics
from observe_r1.train.optimise import Outcome
from observe_r1.train.recorder import Recorder
from observe_r1.train.rows import count_denominators, fill_microbatches, make_rows, share_rows
from observe_r1.train.schedule import learning_rate

GROUP = fakes.weighted_group((1.0, 0.0), ((1, 2, 3), (4,)), number=1)
REJECTED = fakes.weighted_group((0.0, 0.0), ((5, 6), (7, 8)), number=2, admitted=False)


class Row:
    """As much of a row as filling bins looks at."""

    def __init__(self, length: int) -> None:
        self.row = self
        self.length = length


def test_the_learning_rate_rises_then_falls_to_its_end() -> None:
    config = OptimizerConfig(lr=1.0, min_lr=0.1, warmup=3, schedule="cosine")
    rates = [learning_rate(config, update, 8) for update in range(8)]
    assert rates[:3] == pytest.approx([0.25, 0.5, 0.75])
    assert rates[3] == pytest.approx(1.0) and rates[7] == pytest.approx(0.1)
    assert rates[5] == pytest.approx(0.55)
    assert sorted(rates[3:], reverse=True) == rates[3:]


def test_rows_fill_few_bins_the_largest_first() -> None:
    bins = fill_microbatches([Row(n) for n in (3, 9, 4, 6, 5)], 10)
    assert [[r.length for r in found] for found in bins] == [[9], [6, 4], [5, 3]]


def test_a_split_row_keeps_the_credit_of_every_completion() -> None:
    policy = fakes.tiny_policy()
    group = fakes.weighted_group(
        (1.0, 0.0, 0.5), ((1, 2, 3), (4,), (5, 6)), weights=(1.0, 0.5, 1.0)
    )
    (row,) = make_rows([group], lambda s: policy.encode(s, "count"), 4096, need_all=False)
    row = replace(row, sampler_N=(-1.0, -2.0, -3.0, -4.0, -5.0, -6.0))
    row = row.with_logprobs(old=torch.arange(6.0), reference=-torch.arange(6.0))
    assert row.split(4096) == [row]
    first, second = row.split(row.row.prompt.length + 2)
    assert first.row.targets_N.tolist() == [1, 2, 3, 4] and second.row.targets_N.tolist() == [5, 6]
    assert first.advantages_G + second.advantages_G == group.advantages_G
    assert first.weights_G + second.weights_G == (1.0, 0.5, 1.0)
    assert (first.sampler_N, second.sampler_N) == ((-1.0, -2.0, -3.0, -4.0), (-5.0, -6.0))
    assert first.old_N.tolist() == [0, 1, 2, 3] and second.reference_N.tolist() == [-4, -5]


def test_a_completion_longer_than_a_halved_budget_has_a_row_of_its_own() -> None:
    policy = fakes.tiny_policy()
    group = fakes.weighted_group((1.0, 0.0), ((1, 2, 3, 4), (5, 6, 7)))
    prompt = policy.encode(group.scored.sample, "count").length

    def lengths(budget: int, **most: int) -> list[int]:
        encode = lambda s: policy.encode(s, "count")  # noqa: E731
        rows = make_rows([group], encode, budget, need_all=False, **most)
        return [row.row.length for row in rows]

    assert lengths(prompt + 1, most=prompt + 3) == [prompt + 3, prompt + 2]
    with pytest.raises(ConfigError, match="tokens and a completion of 4 are more"):
        lengths(prompt + 1, most=prompt + 2)


def test_rows_are_shared_by_tokens() -> None:
    shares = share_rows([Row(n) for n in (8, 2, 5, 4, 1)], 2)
    assert [sum(r.length for r in share) for share in shares] == [10, 10]


def test_denominators_count_admitted_groups_and_completion_weights() -> None:
    half = fakes.weighted_group((1.0, 0.0), ((1, 2), (3, 4, 5)), weights=(1.0, 0.5))
    found = count_denominators([GROUP, REJECTED, half], 9)
    assert (found.num_tokens, found.num_completions) == (4 + 2 + 1.5, 2 + 1.5)


def draw(outcomes: list[bool], wanted: int, max_redraws: int):
    """Prompts whose groups are admitted or not, in this order."""
    supply = iter(outcomes)

    def choose(count):
        return [admitted for _, admitted in zip(range(count), supply, strict=False)]

    def weigh(scored):
        groups = {True: GROUP, False: REJECTED}
        return [groups[admitted] for admitted in scored]

    return draw_groups(
        wanted, max_redraws, choose=choose, answer=lambda samples, number: samples,
        observe=lambda scored: None, weigh=weigh,
    )  # fmt: skip


def test_rejected_groups_are_replaced_until_the_batch_is_full() -> None:
    found = draw([True, False, False, True, True, True, True], wanted=4, max_redraws=5)
    assert (found.num_admitted, len(found.weighted_P), found.rounds) == (4, 6, 2)


def test_at_the_round_limit_a_step_goes_on_with_what_it_has() -> None:
    found = draw([True, False] * 20, wanted=2, max_redraws=1)
    assert found.rounds == 2
    assert draw([False] * 20, wanted=2, max_redraws=0).num_admitted == 0


def test_an_exhausted_curriculum_ends_the_step() -> None:
    found = draw([], wanted=2, max_redraws=3)
    assert not found.rounds and not found.weighted_P


def test_a_long_run_of_silent_steps_ends_with_what_was_seen() -> None:
    health = Health(silent_steps=MAX_SILENT_STEPS - 2)
    health.observe([GROUP.scored], had_signal=False, finite=True)
    with pytest.raises(TrainingError, match=r"solve rates of the last step: 0\.5: 1"):
        health.observe([GROUP.scored], had_signal=False, finite=True)
    assert health.total_silent == 2


def test_a_signal_ends_a_silent_streak() -> None:
    health = Health(silent_steps=MAX_SILENT_STEPS - 1)
    health.observe([], had_signal=True, finite=True)
    assert health.silent_steps == 0


def test_steps_that_stay_not_finite_end_the_run() -> None:
    health = Health()
    for _ in range(MAX_NONFINITE_STEPS - 1):
        health.observe([], had_signal=True, finite=False)
    with pytest.raises(TrainingError, match="not finite in 5 steps"):
        health.observe([], had_signal=True, finite=False)


def test_the_recorder_writes_what_the_contract_says(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder.write(1, [GROUP, REJECTED], {"accuracy": 0.5})
    recorder.write(2, [GROUP], {"accuracy": 1.0})
    rollouts = list(read_rows(tmp_path / "rollouts.jsonl"))
    assert set(rollouts[0]) == {
        "step", "sample_id", "group", "index", "text", "num_tokens", "truncated", "correct",
        "rewards", "reward", "bonus", "solve_rate", "weight", "advantage", "admitted",
    }  # fmt: skip
    assert [(r["step"], r["group"], r["index"], r["admitted"]) for r in rollouts] == [
        (1, 0, 0, True), (1, 0, 1, True), (1, 1, 0, False), (1, 1, 1, False), (2, 0, 0, True),
        (2, 0, 1, True),
    ]  # fmt: skip
    assert rollouts[0]["advantage"] == 0.5 and rollouts[0]["solve_rate"] == 0.5
    samples = list(read_rows(tmp_path / "samples.jsonl"))
    assert [row["sample_id"] for row in samples] == ["sample-1", "sample-2"]
    assert set(samples[0]) == {
        "sample_id", "question", "answer", "kind", "options", "images", "family", "level", "rung",
    }  # fmt: skip
    (image,) = samples[0]["images"]
    assert image.startswith("images/") and image.endswith(".png") and (tmp_path / image).exists()
    assert [row["step"] for row in read_rows(tmp_path / "metrics.jsonl")] == [1, 2]


def test_rows_past_a_checkpoint_move_to_a_new_file_each_time(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder.write(1, [GROUP], {})
    sizes = recorder.sizes()
    for number in (1, 2):
        Recorder(tmp_path).write(2, [REJECTED], {})
        again = Recorder(tmp_path)
        again.rewind(sizes)
        assert again.sizes() == sizes
        aside = list(read_rows(tmp_path / f"discarded-{number}.jsonl"))
        assert {row["file"] for row in aside} == {
            "metrics.jsonl",
            "rollouts.jsonl",
            "samples.jsonl",
        }


def test_measurements_past_a_checkpoint_are_set_aside_with_its_rows(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder.write(20, [GROUP], {})
    sizes = recorder.sizes()
    for number in (1, 2):
        for name in ("step-000020", "step-000040", "step-000040-greedy", "before"):
            (tmp_path / "eval" / name).mkdir(parents=True, exist_ok=True)
        Recorder(tmp_path).rewind(sizes)  # killed while it measured: step 40 has no row yet
        assert {path.name for path in (tmp_path / "eval").iterdir()} == {"before", "step-000020"}
        aside = {path.name for path in (tmp_path / f"discarded-{number}").iterdir()}
        assert aside == {"step-000040", "step-000040-greedy"}
    Recorder(tmp_path).write(40, [GROUP], {})
    Recorder(tmp_path).rewind({})
    assert (tmp_path / "discarded-3.jsonl").exists()
    assert (tmp_path / "discarded-3" / "step-000020").exists()


def test_every_metric_of_a_step_is_in_the_table() -> None:
    from observe_r1.train.draw import Draw

    metrics = step_metrics(Draw(weighted_P=[GROUP, REJECTED], rounds=1), Outcome())
    assert [name for name in metrics if find_metric(name) is None] == []
    assert metrics["accuracy"] == 0.25 and metrics["groups/admitted"] == 1
    assert metrics["length_correct"] == 3 and metrics["length_wrong"] == pytest.approx(5 / 3)
    assert metrics["solve_rate/histogram/4"] == 1


def test_only_time_and_memory_may_differ_between_equal_runs() -> None:
    assert not is_reproducible("timing/step") and not is_reproducible("memory/host")
    assert is_reproducible("accuracy") and is_reproducible("rewards/format")


def test_the_page_of_metrics_is_up_to_date() -> None:
    page = Path(__file__).parents[3] / "docs" / "metrics.md"
    assert page.read_text() == as_markdown()
    assert len({metric.name for metric in METRICS}) == len(METRICS)
