"""MMMU (arXiv 2311.16502), validation.

Its own scoring looks for a letter, then for the text of an option; a response in which it finds
neither gets a random option. Open answers are right when a gold spelling, or a number equal to it
after rounding to two places, is in the answer. The figure is the mean over all questions; the
published breakdown is by subject.
"""

import random
import re
from typing import Any

from observe_r1.data.sources.mmmu import ADAPTER
from observe_r1.eval.benchmarks.base import Benchmark, Row, mean_by, said
from observe_r1.eval.benchmarks.letters import option_letters, pick_option
from observe_r1.types import Sample

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:[eE][+-]?\d+)?")


def facts(row: Row) -> dict[str, Any]:
    answer = row.get("answer")
    spellings = re.findall(r"'([^']*)'|\"([^\"]*)\"", str(answer)) if "[" in str(answer) else []
    golds = [one or other for one, other in spellings] or [str(answer)]
    subject = re.sub(r"^(?:validation|dev|test)_|_\d+$", "", str(row.get("id", "")))
    return {"golds": golds, "subject": subject}


def is_right(sample: Sample, text: str) -> bool:
    if not sample.options:
        return any(_states(said(text), gold) for gold in sample.metadata["golds"])
    picked = pick_option(said(text), sample.options) or pick_option(text, sample.options)
    # The published rule guesses where nothing was found; ours guesses the same in every run.
    guess = random.Random(sample.id).choice(option_letters(len(sample.options)))
    return (picked or guess) == sample.answer


def _states(answer: str, gold: str) -> bool:
    number = _to_number(gold)
    if number is not None:
        return any(_to_number(found) == number for found in _NUMBER.findall(answer))
    return gold.strip().lower() in answer.lower()


def _to_number(text: str) -> float | None:
    try:
        return round(float(text.replace(",", "")), 2)
    except (ValueError, OverflowError):
        return None


BENCHMARK = Benchmark(
    name="mmmu",
    title="MMMU validation",
    adapter=ADAPTER,
    hub="MMMU/MMMU:default/validation",
    columns=("id", "question", "options", "answer", "question_type", "image_1"),
    facts=facts,
    is_right=is_right,
    combine=mean_by(lambda sample: str(sample.metadata["subject"])),
)
