"""Refuse, before step 0, what is too long to be trained on: nothing is ever truncated silently.

Every question is looked at. Text and sizes of pictures say at once how long a prompt is at most;
only what might be too long is prepared and counted.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from observe_r1.config.stages import RLStage
from observe_r1.errors import DataError, ObserveError
from observe_r1.policy.lengths import Length, PromptLengths
from observe_r1.policy.load import Policy
from observe_r1.rollout.base import RolloutEngine
from observe_r1.train.distribute import Processes
from observe_r1.types import Sample

NUM_PREPARED = 64
"""Where a family does not say how many tokens a picture has: so many questions are prepared, spread
evenly over the data. One that is met later gets the same message then."""


Tell = Callable[[Sample, Length], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A prompt and the tokens that may follow it."""

    sample: Sample
    system_prompt: str
    response: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How many tokens prompt and response may have together, and what says so."""

    tokens: int
    what: str


def positions_of(policy: Policy) -> Room:
    limit = policy.model.config.get_text_config().max_position_embeddings
    return Room(tokens=limit, what="the model's positions")


def check_fit(
    stage: RLStage, policy: Policy, engine: RolloutEngine, questions: Sequence[Sample],
    held_out: Sequence[Sample], system_prompt: str, processes: Processes,
) -> list[Sample]:  # fmt: skip
    """Prompt and completion must fit model and engine and, in one row, the budget of a micro-batch;
    what is only measured need not fit the last. Each process looks at its share.

    Returns the longest question and the one whose pictures are largest, whose memory can be tried.
    """
    budget = Room(
        tokens=stage.policy.max_tokens_per_microbatch, what="policy.max_tokens_per_microbatch"
    )
    rooms = [positions_of(policy)]
    if engine.room is not None:
        rooms.append(Room(tokens=engine.room, what="the engine's room"))
    hardest = Hardest()

    def check(samples: Sequence[Sample], tell: Tell, *rooms: Room) -> None:
        room = min(rooms, key=lambda room: room.tokens)
        start, end = (len(samples) * (processes.rank + i) // processes.count for i in (0, 1))
        new = stage.sampling.max_new_tokens
        asked = (
            Asked(sample=sample, system_prompt=system_prompt, response=new)
            for sample in samples[start:end]
        )
        for one, length in too_long(policy, asked, end - start, room.tokens, tell):
            raise DataError(
                f"Sample '{one.sample.id}' has a prompt of {length} tokens, "
                f"{len(one.sample.images)} image(s) included; with sampling.max_new_tokens = {new} "
                f"that is {length + new}, more than {room.what} ({room.tokens}). Use smaller "
                "images ('observe-r1 data import … --shrink-images-to PIXELS'), fewer new tokens, "
                "a larger budget, or leave the question out; nothing is truncated silently."
            )

    def check_all() -> None:
        check(questions, hardest.see, budget, *rooms)
        check(held_out, lambda sample, length: None, *rooms)

    _for_all(check_all, processes)
    return hardest.of_all(processes)


class Hardest:
    """The longest question, and the one with most tokens of pictures."""

    def __init__(self) -> None:
        self.by_length: tuple[int, Sample | None] = (0, None)
        self.by_pictures: tuple[int, Sample | None] = (0, None)

    def see(self, sample: Sample, length: Length) -> None:
        if length.tokens > self.by_length[0]:
            self.by_length = (length.tokens, sample)
        if length.of_pictures > self.by_pictures[0]:
            self.by_pictures = (length.of_pictures, sample)

    def of_all(self, processes: Processes) -> list[Sample]:
        everyone = processes.gather_objects((self.by_length, self.by_pictures))
        most = [max(found, key=lambda pair: pair[0]) for found in zip(*everyone, strict=True)]
        return [sample for _, sample in most if sample is not None]


def too_long(
    policy: Policy, asked: Iterable[Asked], count: int, room: int, tell: Tell | None = None
) -> Iterator[tuple[Asked, int]]:
    """Those of ``count`` that do not fit, each with its prompt's length; ``tell`` hears of every
    length that is known."""
    lengths = PromptLengths(policy.processor)
    every = max(1, count // NUM_PREPARED)
    for number, one in enumerate(asked):
        most = lengths.at_most(one.sample, one.system_prompt, room - one.response)
        if most is None and number % every:
            continue
        if most is not None and tell is not None:
            tell(one.sample, most)
        if most is None or most.tokens + one.response > room:
            length = policy.encode(one.sample, one.system_prompt).length
            if length + one.response > room:
                yield one, length


def _for_all(check: Callable[[], None], processes: Processes) -> None:
    """What one process refuses, all refuse: none is left waiting."""
    message = None
    try:
        check()
    except ObserveError as error:
        message = str(error)
    found = [text for text in processes.gather_objects(message) if text is not None]
    if found:
        raise DataError(found[0])
