"""What the wording of answers tells: empty thoughts, re-checks, loops, stated difficulty.

empty_thought            share of answers whose thought is blank; /easy and /hard by level
empty_thought/gap        easy minus hard
empty_thought/rise       last tenth of all RL rollouts minus first tenth
reflective               share of answers with a word of reflection
reflective/gain          accuracy with such words minus accuracy without; absent if one is missing
looping                  share of wrong answers that state the same thing three times
difficulty_right         share of answers that state the difficulty a puzzle was made with
short_half_gain          accuracy of each question's shorter answers minus that of its longer ones
"""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from observe_r1.data.transforms.chunks import is_looping, is_reflective, split_chunks
from observe_r1.data.transforms.difficulty_prefix import stated_difficulty
from observe_r1.data.transforms.sections import thought
from observe_r1.types import Sample

Numbers = dict[str, float]
Row = Mapping[str, Any]
HARD_FROM = 2
"""Puzzles made at this level or above are hard."""
EASY, HARD = (0, 1), (3, 4)


def read_texts(questions: Sequence[Sample], rows: Sequence[Row]) -> Numbers:
    """All readouts of a set of answers."""
    level_of = {q.id: q.metadata.get("puzzle_level") for q in questions}
    return (
        _empty(rows, level_of)
        | _reflective(rows)
        | _looping(rows)
        | _difficulty(rows, level_of)
        | _halves(rows)
    )


def is_empty(text: str) -> bool | None:
    """Whether the thought of an answer is blank; None where there is no thought section."""
    inside = thought(text)
    return None if inside is None else not inside


def _empty(rows: Iterable[Row], level_of: Mapping[str, Any]) -> Numbers:
    found = [(is_empty(row["text"]), level_of.get(row["sample_id"])) for row in rows]
    known = [(empty, level) for empty, level in found if empty is not None]
    if not known:
        return {}
    numbers = {"empty_thought": fmean(empty for empty, _ in known)}
    for name, levels in (("easy", EASY), ("hard", HARD)):
        chosen = [empty for empty, level in known if level in levels]
        if chosen:
            numbers[f"empty_thought/{name}"] = fmean(chosen)
    if {"empty_thought/easy", "empty_thought/hard"} <= numbers.keys():
        gap = numbers["empty_thought/easy"] - numbers["empty_thought/hard"]
        numbers["empty_thought/gap"] = gap
    return numbers


def thought_drift(rollouts: Sequence[Row]) -> Numbers:
    """How the share of empty thoughts moved over the rollouts of training."""
    tenth = len(rollouts) // 10
    if not tenth:
        return {}
    shares = []
    for part in (rollouts[:tenth], rollouts[-tenth:]):
        known = [empty for row in part if (empty := is_empty(row["text"])) is not None]
        if not known:
            return {}
        shares.append(fmean(known))
    return {"empty_thought/rise": shares[1] - shares[0]}


def _reflective(rows: Sequence[Row]) -> Numbers:
    if not rows:
        return {}
    marked = [any(map(is_reflective, split_chunks(thought(row["text"]) or ""))) for row in rows]
    numbers = {"reflective": fmean(marked)}
    with_, without = (
        [bool(row["correct"]) for row, mark in zip(rows, marked, strict=True) if mark is wanted]
        for wanted in (True, False)
    )
    if with_ and without:
        numbers["reflective/gain"] = fmean(with_) - fmean(without)
    return numbers


def _looping(rows: Iterable[Row]) -> Numbers:
    wrong = [thought(row["text"]) or "" for row in rows if not row["correct"]]
    return {"looping": fmean(is_looping(split_chunks(text)) for text in wrong)} if wrong else {}


def _difficulty(rows: Iterable[Row], level_of: Mapping[str, Any]) -> Numbers:
    stated = [(stated_difficulty(row["text"]), level_of.get(row["sample_id"])) for row in rows]
    if not any(said for said, _ in stated):
        return {}
    known = [(said, level) for said, level in stated if level is not None]
    right = [said == ("hard" if level >= HARD_FROM else "easy") for said, level in known]
    return {"difficulty_right": fmean(right)} if right else {}


def _halves(rows: Iterable[Row]) -> Numbers:
    """Overthinking: are the shorter answers to a question the better ones?"""
    answers: dict[str, list[Row]] = {}
    for row in rows:
        answers.setdefault(row["sample_id"], []).append(row)
    short, long = [], []
    for found in answers.values():
        ranked = sorted(found, key=lambda row: row["num_tokens"])
        half = len(ranked) // 2
        short += [bool(row["correct"]) for row in ranked[:half]]
        long += [bool(row["correct"]) for row in ranked[len(ranked) - half :]]
    return {"short_half_gain": fmean(short) - fmean(long)} if short and long else {}
