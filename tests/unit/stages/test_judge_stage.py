import json
from pathlib import Path

import pytest

from observe_r1.config.judge import JudgeStage
from observe_r1.config.stages import RLStage
from observe_r1.data.traces import TraceRow, TraceSet
from observe_r1.errors import DataError
from observe_r1.records import read_rows
from observe_r1.stages.judge import run_judge, with_judges
from observe_r1.types import Sample

SAMPLE = Sample(id="q", question="?", answer="3", kind="number")


def traces(thoughts: list[str]) -> TraceSet:
    rows = [
        TraceRow(
            sample_id="q", response=f"<think>{t}</think><answer>3</answer>", grammar="think_answer"
        )
        for t in thoughts
    ]
    return TraceSet(tuple(rows), {"q": SAMPLE})


SHORT = traces([f"{a} + {b} = {a + b}" for a in range(8) for b in range(8)])
LONG = traces(
    [f"I see {a} here and {b} there, which is {a + b}" for a in range(8) for b in range(8)]
)


def test_a_judge_is_fitted_checked_and_kept(tmp_path):
    told = []
    run_judge(JudgeStage(), style=SHORT, other=LONG, run=tmp_path, notify=lambda *a: told.append(a))
    (row,) = read_rows(tmp_path / "metrics.jsonl")
    assert row["judge/auc"] > 0.95 and row["judge/auc_length_matched"] > 0.95
    assert "+" in json.loads((tmp_path / "judge.json").read_text())["weights"]
    assert told[0][0] == 1


def test_styles_that_cannot_be_told_apart_are_refused(tmp_path):
    half = [row for place, row in enumerate(SHORT.rows) if place % 2]
    rest = [row for place, row in enumerate(SHORT.rows) if not place % 2]
    with pytest.raises(
        DataError, match=r"stage 'judge': the judge tells held-out texts apart with"
    ):
        run_judge(
            JudgeStage(least_auc=0.95), style=SHORT.with_rows(half), other=SHORT.with_rows(rest),
            run=tmp_path / "judge",
        )  # fmt: skip
    assert not (tmp_path / "judge").exists()


def test_every_style_reward_is_told_where_its_judge_is():
    style = {"type": "style", "judge": "judge"}
    stage = RLStage.model_validate(
        {"rewards": [{"type": "accuracy"}, {"type": "if_correct", "reward": style},
                     {**style, "name": "other", "judge": "mine/judge.json"}]}
    )  # fmt: skip
    folders = {"judge": Path("run/4-judge")}
    told = with_judges(stage, folders.get)
    values = told.model_dump(mode="json")["rewards"]
    assert values[1]["reward"]["judge"] == "run/4-judge/judge.json"
    assert values[2]["judge"] == "mine/judge.json"
    assert stage.model_dump(mode="json")["rewards"][1]["reward"]["judge"] == "judge"
