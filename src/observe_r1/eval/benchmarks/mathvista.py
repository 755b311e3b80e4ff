"""MathVista (arXiv 2310.02255), testmini.

Its own scoring lets a language model pull the answer out of the response, then compares texts after
bringing both to the question's answer type: the nearest option of a choice question, an integer, a
number rounded to ``precision``, a list.
"""

import json
from typing import Any

from observe_r1.data.sources.mathvista import ADAPTER
from observe_r1.eval.benchmarks.base import Benchmark, Row, family_of, mean_by, said
from observe_r1.eval.benchmarks.letters import option_letters, pick_option
from observe_r1.types import Sample


def facts(row: Row) -> dict[str, Any]:
    return {
        "answer": str(row.get("answer")).strip(),
        "answer_type": row.get("answer_type") or "text",
        "precision": row.get("precision"),
    }


def is_right(sample: Sample, text: str) -> bool:
    answer = _to_answer_type(said(text).strip(), sample)
    return answer is not None and answer == sample.metadata["answer"]


def _to_answer_type(answer: str, sample: Sample) -> str | None:
    if sample.options:
        return _nearest_option(answer, sample.options)
    try:
        match sample.metadata["answer_type"]:
            case "integer":
                return str(int(float(answer)))
            case "float":
                return str(round(float(answer), int(sample.metadata["precision"] or 0)))
            case "list":
                return str(json.loads(answer))
    except (ValueError, OverflowError, RecursionError):
        return None
    return answer


def _nearest_option(answer: str, options: tuple[str, ...]) -> str | None:
    """A letter chooses its option, any other text the option it is most like, as published."""
    if not answer:
        return None
    letter = pick_option(answer, options)
    if letter is not None:
        return options[option_letters(len(options)).index(letter)]
    return min(options, key=lambda option: edit_distance(answer[:400], option))


def edit_distance(one: str, other: str) -> int:
    """Least number of inserted, deleted or replaced characters.

    Example:
        edit_distance("blue", "blur") == 1
    """
    previous = list(range(len(other) + 1))
    for i, a in enumerate(one, start=1):
        current = [i]
        for j, b in enumerate(other, start=1):
            current.append(min(previous[j] + 1, current[-1] + 1, previous[j - 1] + (a != b)))
        previous = current
    return previous[-1]


BENCHMARK = Benchmark(
    name="mathvista",
    title="MathVista testmini",
    adapter=ADAPTER,
    hub="AI4Math/MathVista:default/testmini",
    judging="extract",
    columns=("pid", "question", "answer", "choices", "answer_type", "precision"),
    facts=facts,
    is_right=is_right,
    combine=mean_by(family_of),
)
