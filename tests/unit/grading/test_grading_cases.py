"""Every row of the table of what counts as right. People train on these verdicts."""

import pytest
from grading_cases import TOPICS, Case, Topic

from observe_r1.grading import grade


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.title)
def test_every_answer_of_the_table_gets_its_verdict(topic: Topic) -> None:
    missed = [problem for case in topic.cases if (problem := judge(topic, case))]
    assert not missed, "\n".join(missed)


def judge(topic: Topic, case: Case) -> str | None:
    """What is wrong with the verdict, None when it is as the table says."""
    completion = case.answer if topic.whole else f"<answer>{case.answer}</answer>"
    found = grade(
        completion,
        case.gold,
        kind=topic.kind,  # type: ignore[arg-type]
        options=case.options or None,
        extract=topic.extract,  # type: ignore[arg-type]
    )
    if found.correct == case.right:
        return None
    return f"gold {case.gold!r}, answer {case.answer!r}: {found}"
