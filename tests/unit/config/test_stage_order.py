"""Whether the stages of a recipe fit together is seen when it is read."""

from typing import Any

import pytest

from observe_r1.config.explain import build
from observe_r1.config.run import Recipe
from observe_r1.config.show import setting_lines
from observe_r1.errors import ConfigError

TEACH = {"type": "teach", "name": "teach"}
SFT = {"type": "sft", "name": "cold"}
RL = {"type": "rl", "name": "rl"}
JUDGE = {"type": "judge", "name": "style_of"}
ASKS = {**RL, "rewards": [{"type": "accuracy"}, {"type": "style", "judge": "style_of"}]}
TAUGHT = {**TEACH, "teacher": {"type": "checkpoint", "model": "org/model"}}


def hinted(text: str, stage: dict[str, Any] = TAUGHT, **hint: Any) -> dict[str, Any]:
    return {**stage, "name": "hinted", "hint": {"text": text, **hint}}


def merged(*models: str) -> dict[str, Any]:
    return {"type": "params", "operations": [{"type": "merge", "models": models}]}


def recipe(*stages: dict[str, Any]) -> Recipe:
    return build(Recipe, {"name": "mine", "summary": "mine", "stages": stages}, "recipe 'mine'")


def test_stages_that_fit() -> None:
    recipe(TEACH, SFT, RL)
    recipe({**SFT, "traces": [{"source": "./traces"}]})
    recipe({**SFT, "traces": [{"source": "chats.json"}]}, {**RL, "start_from": "cold"})
    recipe(RL, merged("rl", "org/model"))
    recipe(TEACH, JUDGE, ASKS)
    recipe({**RL, "rewards": [{"type": "style", "judge": "./judge.json"}]})
    recipe(hinted("The answer is {answer}, and {0, 1} is a set."))
    recipe(TEACH, hinted("Shorter: {think}", of_traces={"source": "teach"}))
    recipe(TEACH, {"type": "dpo", "rejected": {"transforms": [{"type": "corrupt_format"}]}})
    recipe(
        {"type": "dpo", "chosen": {"source": "pairs.json"}, "rejected": {"source": "pairs.json"}}
    )


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([SFT], "no stage before it writes any"),
        ([SFT, TEACH], "no stage before it writes any"),
        ([{**SFT, "traces": [{"source": "teach"}]}, TEACH], "does not come before it"),
        ([RL, {**SFT, "traces": [{"source": "rl"}]}], "which writes none"),
        ([TEACH, {**SFT, "traces": [{"source": "taech"}]}], "there is no such stage"),
        ([TEACH, {**SFT, "validation": [{"source": "other"}]}], "there is no such stage"),
        ([{**RL, "start_from": "more"}, {**RL, "name": "more"}], "does not come before it"),
        ([{"type": "dpo"}], "no stage before it writes any"),
        ([{**TEACH, "skip": True}, SFT], "no stage before it writes any"),
        ([{**RL, "skip": True}], "every stage is left out"),
        ([{**TEACH, "hint": {"text": "x"}}], "is for teachers that draw responses"),
        ([{**TEACH, "teacher": {"type": "endpoint"}, "attempts": 1, "wanted": 2}], "at most 1 attempts"),
        ([{"type": "params", "operations": []}], "at least 1 item"),
        ([{"type": "params", "operations": [{"type": "merge", "models": ["a/b"], "weights": [1, 2]}]}],
         "2 weights for 1 models"),
        ([{**SFT, "grammar": "thnik", "traces": [{"source": "./a"}]}], "no grammar named 'thnik'"),
        ([{**SFT, "loss_on": {"only": ["a"], "since": "b"}, "traces": [{"source": "./a"}]}],
         "only and since exclude each other"),
        ([ASKS], "asks the judge 'style_of', and there is no such stage"),
        ([TEACH, ASKS, JUDGE], "and that stage does not come before it"),
        ([TEACH, {**JUDGE, "skip": True}, ASKS], r"and that stage is left out \(skip = true\)"),
        ([{**TEACH, "name": "style_of"}, ASKS], "and that is a teach stage"),
        ([{**RL, "engine": {"type": "endpoint"}}], "rl.engine is an endpoint, whose weights cannot"),
        ([hinted("It is {nosuch}.")], r"the hint speaks of \{nosuch\}.*without hint.of_traces. It can name \{answer\}\."),
        ([hinted("It is {think}.")], "speaks of {think}.*without hint.of_traces"),
        ([hinted("It is {answer}.", place="system")], "speaks of {answer} in the system prompt.*'question'"),
        ([TEACH, hinted("As seen: {observe}", of_traces={"source": "teach"})], "speaks of {observe}.*{think}, {answer}"),
        ([TEACH, hinted("{nosuch}", of_traces={"source": "./traces"})], "speaks of {nosuch}"),
        ([hinted("Wait", {**TEACH, "teacher": {"type": "endpoint"}}, place="response")],
         "an endpoint takes no response that is begun already"),
        ([TEACH, merged("teach")], "merges 'teach', which writes no weights"),
        ([TEACH, {"type": "dpo"}], "are the same traces of 'teach'.*nothing to prefer"),
        ([TEACH, {"type": "dpo", "chosen": {"source": "teach", "name": "better"}}], "are the same traces of 'teach'"),
        ([{"type": "dpo", "chosen": {"source": "./traces"}, "rejected": {"source": "./traces"}}],
         "are the same traces of './traces'"),
    ],
)  # fmt: skip
def test_stages_that_do_not(stages: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        recipe(*stages)


def test_a_stage_is_shown_in_lines_that_can_be_given_back() -> None:
    lines = setting_lines(recipe(TEACH, SFT).stages[1])
    assert "cold.examples_per_step = 32" in lines
    assert 'cold.traces.0.source = "last"' in lines
