"""MATH-Vision (arXiv 2402.14804), test or testmini.

Its own scoring takes what stands after "the answer is" or in a box and compares it with the gold as
text, as the chosen option, or as a number. No judge is asked.
"""

import re
from typing import Any

from observe_r1.data.sources.mathvision import ADAPTER
from observe_r1.eval.benchmarks.base import Benchmark, Row, family_of, mean_by, said
from observe_r1.eval.benchmarks.letters import option_letters, pick_option
from observe_r1.types import Sample

_TYPESETTING = re.compile(r"\\(?:text|mathrm)\{([^{}]*)\}|\\[,!; ]|\$|\s")


def facts(row: Row) -> dict[str, Any]:
    return {"answer": str(row.get("answer")), "level": row.get("level")}


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
    """Without what only typesets: dollars, spaces, thousands commas, degree signs, a full stop."""
    text = _TYPESETTING.sub(lambda match: match[1] or "", text)
    text = text.replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac").replace("^\\circ", "")
    return re.sub(r"(?<=\d),(?=\d{3})", "", text).rstrip(".").lower()


def _same_number(one: str, other: str) -> bool:
    try:
        return abs(float(_plain(one)) - float(_plain(other))) < 1e-6
    except ValueError:
        return False


BENCHMARK = Benchmark(
    name="mathvision",
    title="MATH-Vision",
    adapter=ADAPTER,
    hub="MathLLMs/MathVision:default/testmini",
    columns=("id", "question", "answer", "options", "subject"),
    facts=facts,
    is_right=is_right,
    combine=mean_by(family_of),
)
