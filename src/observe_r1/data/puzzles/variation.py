"""What may stand around a puzzle's question: a hint that is often right, words that do not matter.

The hint is the text shortcut: a reader who never looks at the picture and repeats it is right
about 65 % of the time. The context makes the prompt longer without adding anything.
"""

import random
from dataclasses import dataclass

SHORTCUT_TRUTH = 0.65
"""Share of the hints that are true."""

_CONTEXT = (
    "The picture was printed on a Monday.",
    "Nobody in the room had seen it before.",
    "The paper was a little rough at the edges.",
    "A clock ticked slowly on the wall.",
    "The printer had run out of ink twice that week.",
    "Outside the window it rained until noon.",
    "Two chairs stood beside the table.",
    "The folder it came from was never found.",
    "Somebody had written a date on the back.",
    "It was kept in a drawer for a year.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """Changes to the text around a question.

    Example:
        Variation(shortcut=True, context_sentences=4).tag == "shortcut-context4"
    """

    shortcut: bool = False
    context_sentences: int = 0

    @property
    def tag(self) -> str:
        parts = ["shortcut"] if self.shortcut else []
        parts += [f"context{self.context_sentences}"] if self.context_sentences else []
        return "-".join(parts) or "plain"

    def apply(
        self, question: str, answer: str, wrong_answers: tuple[str, ...], rng: random.Random
    ) -> str:
        parts = [rng.choice(_CONTEXT) for _ in range(self.context_sentences)]
        if self.shortcut:
            truthful = rng.random() < SHORTCUT_TRUTH or not wrong_answers
            parts.append(f"A friend says: {answer if truthful else rng.choice(wrong_answers)}.")
        return " ".join([*parts, question])


PLAIN = Variation()
