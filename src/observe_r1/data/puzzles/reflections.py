"""Reflection moves: traces that go wrong first, notice, and put it right; or that check themselves.

reflect    looks at a part, reasons wrongly from it, "Wait", looks again, and is right
recheck    is right, and goes through it once more
"""

import random
from dataclasses import replace

from observe_r1.data.puzzles.base import Item, Trace

_CUES = (
    "Wait, I have not looked at everything",
    "Wait, let me look again",
    "Wait, that does not fit the picture",
)


def reflect(item: Item, rng: random.Random) -> Trace:
    """The item's solution with a wrong first step, a "wait" and a correction, in both styles.

    The wrong step is what a careless solver says who looked at a part of the facts; where every
    such solver is right by luck, it is one of the family's plausible wrong answers.
    """
    right = item.trace()
    partial = [item.trace(seen) for seen in range(1, len(item.facts))]
    wrong = [trace for trace in partial if trace.answer != right.answer]
    if wrong:
        return correct(rng.choice(wrong), right, rng.choice(_CUES))
    slip = rng.choice(item.family.wrong_answers(item.construction))
    text = f"at first sight {slip}"
    return correct(replace(right, think=text, sketch=text, answer=slip), right, rng.choice(_CUES))


def correct(wrong: Trace, right: Trace, cue: str) -> Trace:
    """First the wrong reasoning, then the cue, then the right reasoning and answer.

    Example:
        correct(careless, careful, "Wait, let me look again").answer == careful.answer
    """
    return Trace(
        observe=right.observe,
        think=f"{_told(wrong.think, wrong.answer)}. {cue}: {right.think}",
        sketch=f"{_told(wrong.sketch, wrong.answer)}. {cue}: {right.sketch}",
        answer=right.answer,
    )


def recheck(trace: Trace) -> Trace:
    """The same solution, gone through twice: longer, and no better."""
    return replace(
        trace,
        think=f"{trace.think}. Let me check: {trace.think}. It is the same",
        sketch=f"{trace.sketch}. Check: {trace.sketch}",
    )


def _told(reasoning: str, answer: str) -> str:
    """The reasoning with the answer it leads to at its end."""
    return reasoning if reasoning.endswith(answer) else f"{reasoning}, so {answer}"
