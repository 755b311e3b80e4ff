"""What a later stage would be refused for is refused before the first one runs."""

import json
from pathlib import Path
from typing import Any

import pytest

import fakes
from observe_r1.config.run import RunConfig
from observe_r1.data.store import write_samples
from observe_r1.errors import ConfigError, DataError, ModelError, ObserveError
from observe_r1.records import append_rows
from observe_r1.stages.check import check_inputs
from observe_r1.types import Sample

TEACH = {
    "type": "teach",
    "name": "teach",
    "questions": {"source": "puzzles", "stream": 1, "count": 2},
}
SFT = {"type": "sft", "name": "cold"}
RL = {"type": "rl", "name": "rl"}
CHAT = {"conversations": [{"from": "human", "value": "2 + 2?"}, {"from": "gpt", "value": "4"}]}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("data")
    write_samples(
        folder, [Sample(id=f"q{n}", question="2?", answer="2", kind="number") for n in range(4)]
    )
    return str(folder)


def check(
    *stages: dict[str, Any],
    data: str = "puzzles",
    model: str = "tiny",
    finished: tuple[str, ...] = (),
) -> None:
    values = {"recipe": "test", "preset": "full", "model": model, "data": data, "stages": stages}
    check_inputs(RunConfig.build(values, "test"), finished)


def refused(error: type[ObserveError], message: str, *stages: dict[str, Any], **run: str) -> None:
    with pytest.raises(error, match=message):
        check(*stages, **run)


def asking(**questions: Any) -> dict[str, Any]:
    return {**RL, "questions": questions}


def reading(path: Path, **source: Any) -> dict[str, Any]:
    return {**SFT, "traces": [{"source": str(path), **source}]}


def written(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_reward_of_ones_own_is_looked_at_before_anything_runs(tmp_path: Path) -> None:
    mine = written(tmp_path / "mine.py", "def brief(attempt):\n    return 1.0\n")

    def rewarded(path: str) -> dict[str, Any]:
        inner = {"type": "user", "path": path}
        return {**RL, "rewards": [{"type": "if_correct", "reward": inner}]}

    check(TEACH, rewarded(f"{mine}:brief"))
    refused(ConfigError, "has no function 'short'", TEACH, rewarded(f"{mine}:short"))
    refused(ConfigError, "there is no file", TEACH, rewarded("no/such.py:brief"))


def test_a_later_stage_must_find_questions(data: str) -> None:
    check(TEACH, asking(count=2), data=data)
    check(TEACH, asking(families=["dice"], puzzle_levels=[0], solve_rate=[0.0, 0.9]))
    check(TEACH, asking(source="puzzles", stream=3, count=900, families=["knights"]), data=data)
    none = "stage 'rl': none of the 4 questions"
    refused(DataError, none, TEACH, asking(solve_rate=[0.0, 0.5]), data=data)
    refused(DataError, none, TEACH, asking(puzzle_levels=[1]), data=data)
    refused(DataError, "stage 'rl': there is no data folder", TEACH, asking(source="no/data"))
    unknown = {"source": "puzzles", "stream": 3, "count": 9, "families": ["dices"]}
    refused(ConfigError, "stage 'rl': no puzzle named 'dices'", TEACH, asking(**unknown))
    high = {"source": "puzzles", "stream": 3, "count": 9, "puzzle_levels": [99]}
    refused(ConfigError, "stage 'rl': .*levels 0 to", TEACH, asking(**high))


@pytest.mark.slow
def test_a_family_that_the_built_in_puzzles_lack() -> None:
    refused(DataError, "none of the 1000 questions of puzzles", asking(families=["clock"]))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "}{ garbage", "holds no chat"),
        ("a.json", [], "holds no chat with a chosen answer"),
        ("a.json", [{"question": "2?"}], "holds no chat"),
        ("a.jsonl", "\x00\x01\n", "holds no chat"),
        ("a.png", "PNG", "its format is unknown"),
        ("a.txt", "2 + 2 = 4", "its format is unknown"),
        ("a.json", [{**CHAT, "conversations": CHAT["conversations"][:1]}], "holds no chat"),
    ],
)
def test_a_file_without_traces(name: str, content: Any, message: str, tmp_path: Path) -> None:
    path = written(tmp_path / name, content)
    for stage in (reading(path), {**TEACH, "teacher": {"type": "file", "path": str(path)}}):
        refused(DataError, f"stage '{stage['name']}' reads traces of .*{message}", stage)


def test_a_file_of_chats(tmp_path: Path) -> None:
    asked, answered = CHAT["conversations"]
    check(reading(written(tmp_path / "a.json", [{"broken": 1}, CHAT])))
    pair = {"conversations": [asked], "chosen": answered, "rejected": answered}
    openai = {
        "prompt": [{"role": "system", "content": "x"}, {"role": "user", "content": "2 + 2?"}],
        "chosen": [{"role": "assistant", "content": "4"}],
    }
    for number, row in enumerate((pair, openai)):
        path = str(written(tmp_path / f"{number}.jsonl", json.dumps(row)))
        stage = {"type": "dpo", "chosen": {"source": path}, "rejected": {"source": path}}
        if "rejected" in row:
            check(stage)
        else:
            refused(DataError, "holds no chat with a rejected answer", stage)


def test_chats_without_a_gold_answer_cannot_be_filtered_by_it(tmp_path: Path) -> None:
    gold = [{"type": "well_formed"}, {"type": "gold"}]
    plain = written(tmp_path / "plain.json", [CHAT])
    known = written(tmp_path / "known.json", [{**CHAT, "answer": "4"}])
    check(reading(known, filters=gold))
    from_file = {**TEACH, "teacher": {"type": "file", "path": str(plain)}}
    message = "by 'gold', and they are not graded"
    refused(DataError, message, reading(plain, filters=gold))
    refused(DataError, message, {**from_file, "filters": gold})
    refused(
        DataError, f"stage 'cold' .*{message}", from_file, {**SFT, "traces": [{"filters": gold}]}
    )


def test_a_folder_of_traces(tmp_path: Path) -> None:
    refused(DataError, "holds none: there is no traces.jsonl", reading(tmp_path))
    path = written(tmp_path / "traces.jsonl", "")
    refused(DataError, "holds none: it is empty", reading(tmp_path))
    append_rows(path, [{"sample_id": "q", "text": "4"}])
    refused(DataError, "is no trace: it has no response, grammar", reading(tmp_path))
    path.unlink()
    append_rows(path, [{"sample_id": "q", "response": "4", "grammar": "answer"}])
    refused(DataError, "there is no samples.jsonl", reading(tmp_path))
    written(tmp_path / "samples.jsonl", "")
    check(reading(tmp_path))
    refused(DataError, "are not graded", reading(tmp_path, filters=[{"type": "gold"}]))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("models")
    for name, hidden in {"small": 32, "other": 32, "wide": 64}.items():
        fakes.tiny_model(hidden=hidden).save_pretrained(folder / name)
    return {name: str(folder / name) for name in ("small", "other", "wide")}


def merge(*models: str, **stage: Any) -> dict[str, Any]:
    operation = {"type": "merge", "models": models, **stage.pop("operation", {})}
    return {"type": "params", "name": "fuse", "operations": [operation], **stage}


def test_merged_shapes_are_those_a_stage_starts_from(models: dict[str, str]) -> None:
    small, other, wide = models["small"], models["other"], models["wide"]
    more = {**RL, "name": "more", "start_from": wide}
    check(RL, merge("rl", other), model=small)
    refused(ModelError, "cannot merge .*wide with base", RL, merge(wide), model=small)
    refused(ModelError, "cannot merge more with base", RL, more, merge("rl", "more"), model=small)
    named = {"operation": {"base": small}}
    refused(ModelError, "the weights the stage starts from", RL, merge(other, **named), model=wide)
    check(RL, merge(other, start_from=other, **named), model=wide)


def test_adapters_have_the_shapes_of_their_model(models: dict[str, str], tmp_path: Path) -> None:
    written(tmp_path / "adapter_config.json", {"base_model_name_or_path": models["wide"]})
    refused(ModelError, "cannot merge", merge(str(tmp_path)), model=models["small"])
    check(merge(str(tmp_path)), model=models["wide"])


def test_a_model_of_text_alone(tmp_path: Path, models: dict[str, str]) -> None:
    written(
        tmp_path / "config.json", {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]}
    )
    teacher = {"type": "checkpoint", "model": str(tmp_path)}
    message = r"is a model of text alone \(Qwen2ForCausalLM\)"
    refused(ModelError, f"stage 'teach' reads .*{message}", {**TEACH, "teacher": teacher})
    refused(ModelError, f"the run trains .*{message}", RL, model=str(tmp_path))
    check({**TEACH, "teacher": {**teacher, "model": models["small"]}})
    check({**TEACH, "teacher": {**teacher, "model": "Qwen/Qwen2.5-7B-Instruct"}})
    seeing = {"architectures": ["Phi4MultimodalForCausalLM"], "vision_config": {}}
    written(tmp_path / "config.json", seeing)
    check({**TEACH, "teacher": teacher})


def test_a_judge_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "judge.json"
    asks = {**RL, "rewards": [{"type": "style", "judge": str(path)}]}
    refused(DataError, "there is no style judge at", TEACH, asks)
    written(path, {"weights": {"#": 1.0}, "bias": 0.0, "checks": None})
    check(TEACH, asks)


def test_supervised_stages_and_the_processes_they_get(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    refused(ConfigError, "cold.examples_per_step is 32, which 3 processes", TEACH, SFT)
    check(TEACH, {**SFT, "examples_per_step": 33}, RL)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", "2")
    refused(ConfigError, "stage 'cold': supervised stages are trained on replicas", TEACH, SFT)
    check(RL)
    check(TEACH, SFT, RL, finished=("teach", "cold"))


def test_a_completion_that_leaves_no_room_for_its_prompt() -> None:
    long = {**RL, "sampling": {"max_new_tokens": 8192}}
    refused(ConfigError, r"Set rl\.policy\.max_tokens_per_microbatch=12288", long)
    check({**long, "policy": {"max_tokens_per_microbatch": 12288}})
