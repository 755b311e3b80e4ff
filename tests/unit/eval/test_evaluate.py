import json

import pytest

from observe_r1.config.evaluation import Evaluation
from observe_r1.errors import DataError, EngineError, RunError
from observe_r1.eval.run import evaluate
from observe_r1.records import read_rows
from observe_r1.types import Completion, RolloutGroup, Sample

RIGHT = "<observe>two dots</observe><think>2</think><answer>2</answer>"
UNTAGGED = "I count. The answer is 2"
WRONG = "<observe>dots</observe><think>3</think><answer>3</answer>"


class ScriptedEngine:
    """Says what the script says for each question, over and over; counts what it was asked."""

    def __init__(
        self,
        script: dict[str, list[str]],
        stop_after: int | None = None,
        refuses: frozenset[str] = frozenset(),
    ) -> None:
        self.script = script
        self.refuses = refuses
        self.stop_after = stop_after
        self.calls: list[list[str]] = []
        self.prompts: set[str] = set()
        self.temperatures: set[float] = set()

    def generate(self, samples_P, *, group_size, sampling, system_prompt, seed, step=0):
        if self.stop_after is not None and len(self.calls) >= self.stop_after:
            raise KeyboardInterrupt
        self.calls.append([sample.id for sample in samples_P])
        self.prompts.add(system_prompt)
        self.temperatures.add(sampling.temperature)
        return [self._group(sample, group_size) for sample in samples_P]

    def _group(self, sample: Sample, size: int) -> RolloutGroup:
        if sample.id in self.refuses:
            return RolloutGroup(sample=sample, completions_G=(), refused="against our rules.")
        texts = self.script[sample.id]
        completions = tuple(
            Completion(text=texts[i % len(texts)], token_ids=tuple(range(10 + i)))
            for i in range(size)
        )
        return RolloutGroup(sample=sample, completions_G=completions)

    def sync(self, policy) -> None: ...

    def close(self) -> None: ...


def make_samples(count: int) -> list[Sample]:
    return [
        Sample(
            id=f"q{n}", question=f"How many dots in {n}?", answer="2", kind="number", level=n % 2
        )
        for n in range(count)
    ]


def test_strict_lenient_and_format_are_counted_apart(tmp_path):
    samples = make_samples(3)
    engine = ScriptedEngine({"q0": [RIGHT], "q1": [UNTAGGED], "q2": [WRONG]})
    scores = evaluate(engine, samples, Evaluation(name="x"), tmp_path, model="m")
    assert scores.accuracy.value == pytest.approx(1 / 3)
    assert scores.accuracy_lenient.value == pytest.approx(2 / 3)
    assert scores.format_valid.value == pytest.approx(2 / 3)
    assert scores.accuracy_well_formed.value == pytest.approx(1 / 2)


def test_the_rows_and_the_scores_are_written(tmp_path):
    engine = ScriptedEngine({"q0": [RIGHT, WRONG]})
    evaluate(engine, make_samples(1), Evaluation(name="x", samples=2), tmp_path, model="m")
    rows = list(read_rows(tmp_path / "predictions.jsonl"))
    assert [(row["sample_id"], row["index"], row["correct"]) for row in rows] == [
        ("q0", 0, True),
        ("q0", 1, False),
    ]
    assert {"text", "answer", "correct_lenient", "num_tokens", "truncated"} <= rows[0].keys()
    written = json.loads((tmp_path / "scores.json").read_text())
    assert written["accuracy"]["value"] == 0.5
    assert written["pass_at_k"] == {"1": 0.5, "2": 1.0}
    assert written["per_level"]["0"]["value"] == 0.5


def test_greedy_asks_once_at_temperature_zero(tmp_path):
    engine = ScriptedEngine({"q0": [RIGHT]})
    config = Evaluation(name="x", greedy=True, samples=8)
    scores = evaluate(engine, make_samples(1), config, tmp_path)
    assert engine.temperatures == {0.0}
    assert scores.samples_per_question == 1
    assert scores.majority_at_k is None


def test_the_system_prompt_is_the_grammars_unless_given(tmp_path):
    engine = ScriptedEngine({"q0": [RIGHT]})
    evaluate(engine, make_samples(1), Evaluation(name="x"), tmp_path / "a")
    evaluate(engine, make_samples(1), Evaluation(name="x", system_prompt=""), tmp_path / "b")
    assert "" in engine.prompts
    assert any("<observe>" in prompt for prompt in engine.prompts)


def test_an_evaluation_that_was_stopped_goes_on_where_it_was(tmp_path):
    samples, config = make_samples(7), Evaluation(name="x", samples=2, batch_size=2)
    script = {sample.id: [RIGHT, WRONG] for sample in samples}
    with pytest.raises(KeyboardInterrupt):
        evaluate(ScriptedEngine(script, stop_after=2), samples, config, tmp_path / "cut")
    second = ScriptedEngine(script)
    evaluate(second, samples, config, tmp_path / "cut")
    assert second.calls == [["q4", "q5"], ["q6"]]
    evaluate(ScriptedEngine(script), samples, config, tmp_path / "whole")
    for name in ("predictions.jsonl", "scores.json"):
        assert (tmp_path / "cut" / name).read_text() == (tmp_path / "whole" / name).read_text()


def test_a_batch_cut_in_the_middle_is_asked_again(tmp_path):
    samples, config = make_samples(4), Evaluation(name="x", batch_size=2)
    script = {sample.id: [RIGHT] for sample in samples}
    evaluate(ScriptedEngine(script), samples, config, tmp_path)
    path = tmp_path / "predictions.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:3]) + lines[3][:20])  # a kill tears the last line
    engine = ScriptedEngine(script)
    scores = evaluate(engine, samples, config, tmp_path)
    assert engine.calls == [["q2", "q3"]]
    assert scores.num_missing == 0
    assert path.read_text() == "".join(lines)


def test_a_refused_question_costs_no_other_answer_and_is_not_asked_again(tmp_path, caplog):
    samples, config = make_samples(7), Evaluation(name="x", samples=2, batch_size=4)
    script = {sample.id: [RIGHT, WRONG] for sample in samples}
    refusing = ScriptedEngine(script, refuses=frozenset({"q1", "q5"}))
    scores = evaluate(refusing, samples, config, tmp_path)
    assert (scores.num_questions, scores.num_missing) == (5, 2)
    assert "refused 2 of 7 questions, for example 'q1': against our rules." in caplog.text
    engine = ScriptedEngine(script)
    assert evaluate(engine, samples, config, tmp_path).to_dict() == scores.to_dict()
    assert engine.calls == []


def test_a_server_that_refuses_everything_ends_the_evaluation_and_is_asked_anew(tmp_path):
    samples, config = make_samples(100), Evaluation(name="x", batch_size=4)
    script = {sample.id: [RIGHT] for sample in samples}
    refusing = ScriptedEngine(script, refuses=frozenset(script))
    with pytest.raises(EngineError, match=r"refused every question.*against our rules"):
        evaluate(refusing, samples, config, tmp_path / "many")
    assert len(refusing.calls) == 3
    assert evaluate(ScriptedEngine(script), samples, config, tmp_path / "many").num_missing == 0
    with pytest.raises(EngineError, match=r"refused 3 of 3 questions.*None has an answer"):
        evaluate(refusing, samples[:3], config, tmp_path / "few")
    assert evaluate(ScriptedEngine(script), samples[:3], config, tmp_path / "few").num_missing == 0


def test_a_batch_is_stored_before_the_evaluation_ends_for_its_refusals(tmp_path):
    samples, config = make_samples(16), Evaluation(name="x", batch_size=16)
    script = {sample.id: [RIGHT] for sample in samples}
    refusing = ScriptedEngine(script, refuses=frozenset(f"q{n}" for n in range(4, 16)))
    with pytest.raises(EngineError, match="refused the last 10 questions"):
        evaluate(refusing, samples, config, tmp_path)
    scores = evaluate(refusing, samples, config, tmp_path)
    assert (len(refusing.calls), scores.num_questions, scores.num_missing) == (1, 4, 12)


def test_other_settings_or_questions_in_the_same_folder_are_refused(tmp_path):
    samples = make_samples(2)
    script = {sample.id: [RIGHT] for sample in samples}
    evaluate(ScriptedEngine(script), samples, Evaluation(name="x"), tmp_path, model="a")
    with pytest.raises(RunError, match="holds an evaluation with another seed"):
        evaluate(ScriptedEngine(script), samples, Evaluation(name="x", seed=1), tmp_path, model="a")
    smaller = Evaluation(name="x", shrink_images_to=784)
    with pytest.raises(RunError, match="another shrink_images_to"):
        evaluate(ScriptedEngine(script), samples, smaller, tmp_path, model="a")
    with pytest.raises(RunError, match="another model"):
        evaluate(ScriptedEngine(script), samples, Evaluation(name="x"), tmp_path, model="b")
    with pytest.raises(RunError, match="another questions"):
        evaluate(ScriptedEngine(script), samples[:1], Evaluation(name="x"), tmp_path, model="a")


def test_two_questions_of_one_id_are_refused(tmp_path):
    samples = make_samples(1) * 2
    with pytest.raises(DataError, match="two questions have the id 'q0'"):
        evaluate(ScriptedEngine({"q0": [RIGHT]}), samples, Evaluation(name="x"), tmp_path)


def test_nothing_to_ask_gives_no_numbers_rather_than_zeros(tmp_path):
    scores = evaluate(ScriptedEngine({}), [], Evaluation(name="x"), tmp_path)
    assert scores.accuracy.value is None
    assert scores.num_questions == 0
