"""What the built-in model is shown: careful solutions, careless ones, and a few loose formats.

Real pretraining is such a mixture, and it is what leaves room for reinforcement learning: the
model can look at the whole picture, but more often than not it looks at a part of it and answers
from that, inside perfectly valid tags. Training then has something better to reinforce than
closing a tag.
"""

import random
from dataclasses import dataclass
from typing import Literal

from observe_r1.data.puzzles import Item

Mode = Literal["observe_think_answer", "think_answer", "answer"]

MODES: tuple[Mode, ...] = ("observe_think_answer", "think_answer", "answer")

CAREFUL_SHARE = 0.30
LOOSE_SHARE = 0.14

# How much of the picture a careless solver looks at: mostly half, which makes the likeliest trace
# a careless one.
_CARELESS_LOOKS = ((0.5, 0.66), (0.25, 0.22), (0.75, 0.12))


@dataclass(frozen=True, slots=True)
class Example:
    """One item, the mode it is asked in, and the response to learn."""

    item: Item
    mode: Mode
    response: str


def make_example(item: Item, mode: Mode, rng: random.Random) -> Example:
    if mode == "answer":
        return Example(item, mode, f"<answer>{item.ask.answer}</answer>")
    trace = item.trace(_num_facts(len(item.facts), rng))
    sections = [("think", trace.think), ("answer", trace.answer)]
    if mode == "observe_think_answer":
        sections.insert(0, ("observe", trace.observe))
    tags = [f"<{tag}>{text}</{tag}>" for tag, text in sections]
    if rng.random() < LOOSE_SHARE:
        return Example(item, mode, _loosen(tags, trace.answer, rng))
    return Example(item, mode, "\n".join(tags))


def _num_facts(available: int, rng: random.Random) -> int:
    if rng.random() < CAREFUL_SHARE:
        return available
    shares, weights = zip(*_CARELESS_LOOKS, strict=True)
    share = rng.choices(shares, weights)[0]
    return max(1, min(available, round(share * available)))


def _loosen(tags: list[str], answer: str, rng: random.Random) -> str:
    """The same solution in a form that the grammar does not accept."""
    looks = tags[:-1]
    return rng.choice(
        [
            "\n".join([*looks, f"The answer is {answer}."]),  # no answer tags
            "\n".join([*looks, f"<answer>{answer}"]),  # never closed
            "\n".join([*looks[:-1], tags[-1]]) if len(looks) > 1 else f"The answer is {answer}.",
            "\n".join([*looks, tags[-1], tags[-1]]),  # the answer twice
        ]
    )
