"""MMBench (arXiv 2307.06281), dev: every question is asked once for each turn of its options.

    index  question  hint  A  B  C  D  answer  category  image  source  l2-category  comment  split

``image`` is base64; a picture that several questions share stands once, the others hold its index.
A question counts only when all its turns are answered right (circular evaluation): with four
options a guess is right once in 256. Its own scoring lets a language model read a response in which
no option is found by rule.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from observe_r1.data.sources.base import (
    Adapter,
    BadRow,
    RawQuestion,
    images_of,
    optional_text,
    text_of,
)
from observe_r1.eval.benchmarks.base import Benchmark, Figure, Marks, family_of, mean_by
from observe_r1.eval.benchmarks.letters import option_letters, picks_gold
from observe_r1.types import Sample


def read_row(row: Mapping[str, Any]) -> RawQuestion:
    options = tuple(
        text for letter in "ABCD" if (text := optional_text(row, letter)) not in (None, "", "nan")
    )
    if len(options) < 2:
        raise BadRow("options cannot be read", str(options))
    hint = optional_text(row, "hint")
    question = text_of(row, "question")
    has_hint = hint not in (None, "", "nan")
    return RawQuestion(
        id=text_of(row, "index"),
        question=f"{hint}\n{question}" if has_hint else question,
        answer=text_of(row, "answer"),
        images=images_of(row, "image"),
        options=options,
        kind="choice",
        family=optional_text(row, "l2-category", "l2_category", "category"),
    )


def expand(sample: Sample) -> list[Sample]:
    """The question once for each turn of its options; turn 0 is as published.

    Example:
        options (red, blue, green) and gold A → gold A; then (blue, green, red) and gold C; …
    """
    letters, count = option_letters(len(sample.options)), len(sample.options)
    gold = letters.index(sample.answer)
    return [
        replace(
            sample,
            id=f"{sample.id}-turn{turn}",
            options=sample.options[turn:] + sample.options[:turn],
            answer=letters[(gold - turn) % count],
            metadata={**sample.metadata, "question": sample.id, "turns": count},
        )
        for turn in range(count)
    ]


def combine(samples: Sequence[Sample], marks: Marks) -> Figure:
    """Right in all turns, over the questions all of whose turns were answered; with several answers
    a turn, the product of their shares."""
    turns: dict[str, list[Sample]] = {}
    for sample in samples:
        if sample.id in marks:
            turns.setdefault(sample.metadata["question"], []).append(sample)
    whole = {q: found for q, found in turns.items() if len(found) == found[0].metadata["turns"]}
    circular: dict[str, float] = {}
    for found in whole.values():
        share = 1.0
        for sample in found:
            share *= marks[sample.id]
        circular[found[0].id] = share
    figure, parts = mean_by(family_of)([found[0] for found in whole.values()], circular)
    plain, _ = mean_by(family_of)(samples, marks)
    return figure, {**parts, **({} if plain is None else {"every turn by itself": plain})}


BENCHMARK = Benchmark(
    name="mmbench",
    title="MMBench dev, circular",
    adapter=Adapter(
        name="mmbench",
        title="MMBench",
        reference="https://github.com/open-compass/MMBench",
        status="from documentation",
        read=read_row,
    ),
    hub="lmms-lab/MMBench:en/dev",
    judging="pick",
    columns=("index", "question", "A", "B", "answer", "image"),
    is_right=picks_gold,
    combine=combine,
    expand=expand,
)
