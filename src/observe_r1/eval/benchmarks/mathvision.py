"""MATH-Vision (arXiv 2402.14804), splits test and testmini.

    {"id": "6", "question": "Misty the cat has five kittens: … In which picture …?\n<image1>",
     "options": ["A", "B", "C", "D", "E"], "answer": "D", "solution": null, "level": 3,
     "subject": "logic", "image": "images/6.jpg"}

Its own scoring takes what stands after "the answer is" or in a box, and compares it with the gold as
text, as the text of the chosen option, or as numbers. No judge is asked.
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
from observe_r1.eval.benchmarks.letters import option_letters, pick_option
from observe_r1.types import Sample

_MARKER = re.compile(r"<image\s*\d*>")


def read_row(row: Row, find_image: FindImage) -> list[Sample]:
    options = [str(option) for option in (row.get("options") or [])]
    answer = str(require(row, "answer"))
    question = str(require(row, "question"))
    stored = row.get("decoded_image") or require(row, "image")
    sample = make_sample(
        identity=f"mathvision-{require(row, 'id')}",
        question=_one_marker(question),
        answer=answer,
        images=[find_image(stored)],
        options=options,
        source="mathvision",
        family=row.get("subject"),
        metadata={"level": row.get("level"), "answer": answer},
    )
    return [sample]


def _one_marker(question: str) -> str:
    """Numbered markers point into one published picture, which stands where the first one does."""
    head, found, tail = question.partition(next(iter(_MARKER.findall(question)), "\0"))
    return f"{head}{'<image>' if found else ''}{_MARKER.sub('', tail)}"


def is_right(sample: Sample, text: str) -> bool:
    answer, gold = said(text), str(sample.metadata["answer"])
    if sample.options:
        picked = pick_option(answer, sample.options)
        if picked is None:
            return False
        place = option_letters(len(sample.options)).index(picked)
        return gold in (picked, sample.options[place])
    return _plain(answer) == _plain(gold) or _same_number(answer, gold)


def _plain(text: str) -> str:
    """Without what only typesets: dollars, spaces, thousands commas, units in \\text, a full stop."""
    text = re.sub(r"\\(?:text|mathrm)\{([^}]*)\}|\\[,!; ]|\$|\s", r"\1", text)
    text = text.replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac").replace("^\\circ", "")
    return re.sub(r"(?<=\d),(?=\d{3})", "", text).rstrip(".").lower()


def _same_number(one: str, other: str) -> bool:
    try:
        return abs(float(_plain(one)) - float(_plain(other))) < 1e-6
    except ValueError:
        return False


MATHVISION = Benchmark(
    name="mathvision",
    title="MATH-Vision testmini",
    hub="MathLLMs/MathVision",
    split="testmini",
    files="*testmini*",
    status="checked on real files",
    needs_judge=False,
    columns=("id", "question", "answer", "options", "subject"),
    read_row=read_row,
    is_right=is_right,
    combine=mean_by(lambda sample: sample.family),
)
