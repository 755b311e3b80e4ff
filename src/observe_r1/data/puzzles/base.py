"""What a puzzle family is, and how one item becomes a sample.

An item is a pure function of (seed, index, level). Its whole truth is a *construction*, a dict of
JSON values; picture, question, facts and reasoning are pure functions of that construction:

    random numbers ──build──▶ construction ──┬─ draw ────▶ images
                                             ├─ ask ─────▶ question, answer, kind, options
                                             ├─ facts ───▶ what a careful look sees, in order
                                             └─ conclude ▶ the reasoning from the first k facts

``conclude`` with fewer facts than there are is how a careless solver reasons: it answers from what
it looked at. That is what reinforcement learning has to unlearn.
"""

import io
import random
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

from PIL import Image

from observe_r1.data.puzzles.special_text import refuse_special_text
from observe_r1.data.puzzles.variation import PLAIN, Variation
from observe_r1.errors import ConfigError
from observe_r1.types import Kind, Sample

Construction = Mapping[str, Any]
"""Everything an item was made of, as JSON values."""

Axes = Mapping[str, int]
"""Named difficulty settings of one level, e.g. ``{"objects": 6, "filters": 2}``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """The question of an item, and its answer as ``observe_r1.grading`` reads it.

    Example:
        Ask(question="How many red squares are there?", answer="3", kind="number")
    """

    question: str
    answer: str
    kind: Kind
    options: tuple[str, ...] = ()
    """Of a choice question; the answer is then a letter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasoning:
    """From facts to an answer, in a full and in a sketch style.

    Example:
        Reasoning(full="1: 0 1 2 2; 2: 2 3 3 3 = 3", sketch="2 + 1 = 3", answer="3")
    """

    full: str
    sketch: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One worked solution: what is written in each section.

    Example:
        Trace(observe="1: red square - - -; 2: - - - -", think="...", sketch="1 + 0", answer="1")
    """

    observe: str
    think: str
    sketch: str
    answer: str


class Family(ABC):
    """One kind of visual puzzle. A subclass is one file; see ``counting.py`` for the pattern."""

    name: ClassVar[str]
    levels: ClassVar[tuple[Axes, ...]]
    """Difficulty settings of level 0, 1, …; five or more."""

    @abstractmethod
    def build(self, rng: random.Random, axes: Axes) -> Construction:
        """Draw one item's construction; the answer must be well defined."""

    @abstractmethod
    def draw(self, construction: Construction) -> tuple[Image.Image, ...]:
        """The picture or pictures, RGB, sides a multiple of 28 pixels."""

    @abstractmethod
    def ask(self, construction: Construction) -> Ask:
        """The question and its exact answer."""

    @abstractmethod
    def facts(self, construction: Construction) -> tuple[str, ...]:
        """What is in the picture, in reading order; enough of them to answer."""

    @abstractmethod
    def conclude(self, construction: Construction, num_facts: int) -> Reasoning:
        """Reason from the first ``num_facts`` facts; with all of them the answer is right."""

    @abstractmethod
    def chance(self, level: int) -> float:
        """How often a guess that has seen no picture is right, at best, on this level."""

    def wrong_answers(self, construction: Construction) -> tuple[str, ...]:
        """Plausible wrong answers, for hints that mislead; numbers and choices need no override."""
        ask = self.ask(construction)
        if ask.kind == "choice":
            letters = [chr(ord("A") + i) for i in range(len(ask.options))]
            return tuple(letter for letter in letters if letter != ask.answer)
        if ask.kind == "number" and ask.answer.lstrip("-").isdigit():
            value = int(ask.answer)
            return tuple(str(other) for other in (value - 1, value + 1, value + 2) if other >= 0)
        raise NotImplementedError(f"{self.name} must name wrong answers of kind {ask.kind}")


@dataclass(frozen=True)
class Item:
    """One puzzle: its family, its place in the stream, and its construction."""

    family: Family
    seed: int
    index: int
    level: int
    construction: Construction
    variation: Variation = PLAIN

    @cached_property
    def ask(self) -> Ask:
        return self.family.ask(self.construction)

    @cached_property
    def facts(self) -> tuple[str, ...]:
        return self.family.facts(self.construction)

    @property
    def id(self) -> str:
        place = f"{self.family.name}-{self.level}-{self.seed}-{self.index}"
        return place if self.variation == PLAIN else f"{place}-{self.variation.tag}"

    @cached_property
    def question(self) -> str:
        """The question with the variation's hint and context around it."""
        wrong = self.family.wrong_answers(self.construction) if self.variation.shortcut else ()
        rng = _stream(self.family.name, self.seed, self.index, self.level, "variation")
        return self.variation.apply(self.ask.question, self.ask.answer, wrong, rng)

    def images(self) -> tuple[Image.Image, ...]:
        return self.family.draw(self.construction)

    def trace(self, num_facts: int | None = None) -> Trace:
        """The solution of a solver that looks at ``num_facts`` facts (None: at all of them)."""
        seen = len(self.facts) if num_facts is None else num_facts
        reasoning = self.family.conclude(self.construction, seen)
        observe = "; ".join(self.facts[:seen])
        return Trace(
            observe=observe,
            think=reasoning.full,
            sketch=reasoning.sketch,
            answer=reasoning.answer,
        )

    def sample(self) -> Sample:
        return replace(
            self.sample_without_images(), images=tuple(encode_png(image) for image in self.images())
        )

    def sample_without_images(self) -> Sample:
        for text in (self.question, self.ask.answer, *self.ask.options):
            refuse_special_text(text, self.id)
        return Sample(
            id=f"puzzles-{self.id}",
            question=self.question,
            answer=self.ask.answer,
            kind=self.ask.kind,
            options=self.ask.options,
            source="puzzles",
            family=self.family.name,
            metadata={
                "seed": self.seed,
                "index": self.index,
                "puzzle_level": self.level,
                "axes": dict(self.family.levels[self.level]),
                "construction": dict(self.construction),
                "facts": list(self.facts),
                "variation": self.variation.tag,
            },
        )


def make_item(
    family: Family, seed: int, index: int, level: int, variation: Variation = PLAIN
) -> Item:
    """Item number ``index`` of the stream ``seed`` at ``level``; the same on every machine."""
    if not 0 <= level < len(family.levels):
        raise ConfigError(
            f"{family.name} has levels 0 to {len(family.levels) - 1}; level {level} was asked for."
        )
    rng = _stream(family.name, seed, index, level, "construction")
    construction = family.build(rng, family.levels[level])
    return Item(family, seed, index, level, construction, variation)


def encode_png(image: Image.Image) -> bytes:
    """Fast rather than small: flat drawings compress well at any level."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def _stream(*parts: object) -> random.Random:
    # A text seed is hashed by SHA-512 inside random.Random: the same on every platform and version.
    return random.Random("/".join(str(part) for part in parts))
