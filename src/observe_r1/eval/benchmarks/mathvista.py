"""MathVista (arXiv 2310.02255), split testmini.

    {"pid": "1", "question": "When a spring does work on an object, …", "image": "images/1.jpg",
     "decoded_image": {"bytes": …}, "choices": null, "unit": null, "precision": 1.0, "answer": "1.2",
     "question_type": "free_form", "answer_type": "float",
     "metadata": {"task": "textbook question answering", "skills": ["scientific reasoning"], …}}

Its own scoring lets a language model pull the answer out of the response, then compares strings after
bringing both to the question's answer type: the nearest option of a choice question, an integer, a
number rounded to ``precision``.
"""

import json

from observe_r1.errors import DataError
from observe_r1.eval.benchmarks.base import (
    Benchmark,
    FindImage,
    Row,
    make_sample,
    mean_by,
    require,
    said,
)
from observe_r1.eval.benchmarks.letters import option_letters, pick_option
from observe_r1.types import Sample


def read_row(row: Row, find_image: FindImage) -> list[Sample]:
    choices = [str(choice) for choice in (row.get("choices") or [])]
    answer = str(require(row, "answer"))
    gold = answer
    if choices:
        if answer not in choices:
            raise DataError(f"answer {answer!r} is none of the choices")
        gold = option_letters(len(choices))[choices.index(answer)]
    unit = f" (Unit: {row['unit']})" if row.get("unit") else ""
    about = row.get("metadata") or {}
    sample = make_sample(
        identity=f"mathvista-{require(row, 'pid')}",
        question=f"{require(row, 'question')}{unit}",
        answer=gold,
        images=[find_image(row.get("decoded_image") or row.get("image"))],
        options=choices,
        source="mathvista",
        family=about.get("task"),
        metadata={
            "answer": answer,
            "answer_type": row.get("answer_type") or "text",
            "precision": row.get("precision"),
        },
    )
    return [sample]


def is_right(sample: Sample, text: str) -> bool:
    answer = _to_answer_type(said(text), sample)
    return answer is not None and answer == str(sample.metadata["answer"]).strip()


def _to_answer_type(answer: str, sample: Sample) -> str | None:
    answer = answer.strip()
    if sample.options:
        return _nearest_option(answer, sample.options)
    answer_type = sample.metadata["answer_type"]
    try:
        if answer_type == "integer":
            return str(int(float(answer)))
        if answer_type == "float":
            return str(round(float(answer), int(sample.metadata["precision"] or 0)))
        if answer_type == "list":
            return str(json.loads(answer))
    except (ValueError, OverflowError):
        return None
    return answer


def _nearest_option(answer: str, options: tuple[str, ...]) -> str | None:
    """A letter chooses its option; any other text the option it is most like, as published."""
    if not answer:
        return None
    letter = pick_option(answer, options)
    if letter is not None:
        return options[option_letters(len(options)).index(letter)]
    return min(options, key=lambda option: edit_distance(answer, option))


def edit_distance(one: str, other: str) -> int:
    """Least number of inserted, deleted or replaced characters.

    Example:
        edit_distance("blue", "blur") == 1
    """
    if abs(len(one) - len(other)) > 200:
        return abs(len(one) - len(other))  # far apart in any case: spare the table
    previous = list(range(len(other) + 1))
    for i, a in enumerate(one, start=1):
        current = [i]
        for j, b in enumerate(other, start=1):
            current.append(min(previous[j] + 1, current[-1] + 1, previous[j - 1] + (a != b)))
        previous = current
    return previous[-1]


MATHVISTA = Benchmark(
    name="mathvista",
    title="MathVista testmini",
    hub="AI4Math/MathVista",
    split="testmini",
    files="*testmini*",
    status="from documentation",
    needs_judge=True,
    columns=("pid", "question", "answer", "question_type", "answer_type"),
    read_row=read_row,
    is_right=is_right,
    combine=mean_by(lambda sample: sample.family),
)
