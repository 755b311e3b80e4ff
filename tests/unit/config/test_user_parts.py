"""Weights, curricula and transforms of the user's own, by ``file.py:name``."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

import fakes
from observe_r1.config.stages import RLStage
from observe_r1.curriculum import CurriculumConfig, build_curriculum
from observe_r1.data.transforms import AnyTransform, Lesson
from observe_r1.errors import ConfigError, DataError, TrainingError
from observe_r1.weighting import Weighting, weigh_groups

EXAMPLE = "examples/my_curriculum.py:ShortFirst"
GROUP = fakes.weighted_group((1.0, 0.0), ((1, 2), (3,))).scored
SAMPLES = [replace(fakes.sample(n), question="?" * (9 - n)) for n in range(8)]


def write(folder: Path, body: str) -> str:
    (folder / "my.py").write_text(body)
    return f"{folder}/my.py:mine"


def weights(path: str) -> list[float]:
    weighting = Weighting.model_validate({"weight": {"type": "user", "path": path}})
    return [group.weight for group in weigh_groups([GROUP, GROUP], weighting)]


def curriculum(path: str, seed: int = 0, **settings: Any) -> Any:
    config = {"type": "user", "path": path, "settings": settings}
    return build_curriculum(TypeAdapter(CurriculumConfig).validate_python(config), SAMPLES, seed)


def transform(path: str) -> Any:
    return TypeAdapter(AnyTransform).validate_python({"type": "user", "path": path})


def test_a_weight_is_what_the_function_returns(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "def mine(groups_P):\n    return [g.solve_rate + n for n, g in enumerate(groups_P)]\n",
    )
    assert weights(path) == [0.5, 1.5]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return [1.0]", "for 2 groups"),
        ("return [1.0, float('nan')]", "a finite number, 0 or more"),
        ("return [1.0, -1.0]", "a finite number, 0 or more"),
        ("return [1.0, {}['x']]", r"KeyError: 'x' \(my\.py, line 2\)"),
    ],
)
def test_a_weight_that_is_none_stops_the_run(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        weights(write(tmp_path, f"def mine(groups_P):\n    {body}\n"))


def test_the_example_goes_from_short_to_long_and_resumes_exactly() -> None:
    first = curriculum(EXAMPLE, share=0.0)
    assert [s.id for s in first.next_batch(3)] == ["sample-7", "sample-6", "sample-5"]
    state = json.loads(json.dumps(first.state_dict()))
    again = curriculum(EXAMPLE, share=0.0)
    again.load_state_dict(state)
    assert again.next_batch(3) == first.next_batch(3)
    mixed = [curriculum(EXAMPLE, seed).next_batch(8) for seed in (0, 0, 1)]
    assert mixed[0] == mixed[1] != mixed[2]


def test_a_class_that_is_no_curriculum_or_takes_other_settings_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no subclass of"):
        curriculum(write(tmp_path, "class mine:\n    def __init__(self, samples, seed): ...\n"))
    with pytest.raises(ConfigError, match="unexpected keyword argument 'shear'"):
        curriculum(EXAMPLE, shear=0.5)
    with pytest.raises(ConfigError, match="has no function 'LongFirst'"):
        curriculum(EXAMPLE.replace("Short", "Long"))


def test_a_transform_is_what_the_function_writes_and_sees_kept_columns(tmp_path: Path) -> None:
    body = (
        "from dataclasses import replace\n"
        "def mine(lesson, rng):\n"
        "    found = lesson.metadata.get('objects')\n"
        "    return found and replace(lesson, text=lesson.text.replace('so', ' '.join(found)))\n"
    )
    mine = transform(write(tmp_path, body))
    lesson = Lesson(id="q", text="<think>so 3</think>\n<answer>3</answer>", answer="3")
    told = mine(replace(lesson, metadata={"objects": ["dots"]}))
    assert told.text == "<think>dots 3</think>\n<answer>3</answer>"
    assert mine(lesson) is None and mine.kind == "mine"
    with pytest.raises(DataError, match=r"returned str\. Return a Lesson"):
        transform(write(tmp_path / "..", "def mine(lesson, rng):\n    return 'x'\n"))(lesson)


def test_all_of_them_go_through_a_stage_s_settings(tmp_path: Path) -> None:
    path = write(tmp_path, "def mine(groups_P):\n    return [1.0] * len(groups_P)\n")
    values = {"weight": {"type": "user", "path": path},
              "curriculum": {"type": "user", "path": EXAMPLE, "settings": {"share": 0.5}}}  # fmt: skip
    stage = RLStage.build(values, "test")
    assert RLStage.model_validate(stage.model_dump(mode="json")) == stage
