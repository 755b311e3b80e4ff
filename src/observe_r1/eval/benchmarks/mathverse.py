"""MathVerse (arXiv 2403.14624), split testmini: every problem in five versions.

    {"sample_index": "1", "problem_index": "1", "problem_version": "Text Dominant",
     "question": "As shown in the figure, in triangle ABC, … Choices:\nA:60°\nB:65°\nC:75°\nD:85°",
     "image": {"bytes": …}, "answer": "B", "question_type": "multi-choice",
     "metadata": {"subject": "Plane Geometry", "subfield": "Angle", …},
     "query_wo": "…", "query_cot": "…", "question_for_eval": "…"}

Its own scoring lets one language model pull the answer out and another compare it with the gold. The
figure is the mean over the five versions.
"""

import re

from observe_r1.eval.benchmarks.base import (
    Benchmark,
    FindImage,
    Row,
    make_sample,
    mean_by,
    require,
    said,
)
from observe_r1.eval.benchmarks.letters import pick_option
from observe_r1.grading import grade
from observe_r1.types import Sample

_CHOICES = re.compile(r"\n?\s*Choices:\s*\n", re.I)
_CHOICE = re.compile(r"^\s*\(?([A-H])\)?\s*[:.)]\s*(.*?)\s*$", re.M)

VISION_ONLY = "The question is in the picture. Answer it."
"""The versions without a text question hold only the picture."""


def read_row(row: Row, find_image: FindImage) -> list[Sample]:
    question, options = split_choices(str(row.get("question") or ""))
    if not options and row.get("question_type") == "multi-choice":
        _, options = split_choices(str(row.get("question_for_eval") or ""))
    about = row.get("metadata") or {}
    sample = make_sample(
        identity=f"mathverse-{require(row, 'sample_index')}",
        question=question.strip() or VISION_ONLY,
        answer=require(row, "answer"),
        images=[find_image(require(row, "image"))],
        options=options,
        source="mathverse",
        family=about.get("subject"),
        metadata={"version": str(require(row, "problem_version"))},
    )
    return [sample]


def split_choices(question: str) -> tuple[str, list[str]]:
    """The question, and the options it lists under "Choices:".

    Example:
        split_choices("How many?\\nChoices:\\nA:1\\nB:2") == ("How many?", ["1", "2"])
    """
    head, *tail = _CHOICES.split(question, maxsplit=1)
    options = [text for _, text in _CHOICE.findall(tail[0])] if tail else []
    return (head, options) if options else (question, [])


def is_right(sample: Sample, text: str) -> bool:
    if sample.options:
        return pick_option(said(text), sample.options) == sample.answer
    return grade(text, sample.answer, kind=sample.kind, extract="plain").correct


MATHVERSE = Benchmark(
    name="mathverse",
    title="MathVerse testmini",
    hub="AI4Math/MathVerse",
    split="testmini",
    files="*testmini.*",
    status="from documentation",
    needs_judge=True,
    columns=("sample_index", "problem_version", "question", "answer", "question_type"),
    read_row=read_row,
    is_right=is_right,
    combine=mean_by(lambda sample: str(sample.metadata["version"])),
)
