"""Where traces come from: what ``teach`` and ``sample`` write, and ``sft`` and ``dpo`` read."""

import re
from typing import Literal

from pydantic import Field

from observe_r1.config_base import Config
from observe_r1.data.trace_filters import AnyFilter
from observe_r1.data.transforms import AnyTransform

LAST = "last"
PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
"""What a hint may name in its text."""


class TraceSource(Config):
    """Traces of an earlier stage, of another run, or of a file, filtered and changed on the way.

    Example:
        TraceSource(source="explore", filters=(Gold(), Best(by="perplexity", highest=True)))
    """

    source: str = LAST
    """Name of an earlier stage; a folder with traces.jsonl; a file of chats with images (.json,
    .jsonl); or ``last``: the last stage that wrote traces."""

    filters: tuple[AnyFilter, ...] = ()
    """Which traces are taken, one rule after the other."""

    transforms: tuple[AnyTransform, ...] = ()
    """What is done to those that are taken, one change after the other."""

    count: int | None = Field(default=None, ge=1)
    """At most so many, drawn without replacement by the stage's seed; None: all."""

    share: float | None = Field(default=None, gt=0.0, le=1.0)
    """Of all that are left, only this share, drawn in the same way."""

    name: str = Field(default="traces", pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$")
    """What metrics call them, where several sources are measured."""


class Hint(Config):
    """Help that the writer of a trace gets and its reader does not: the trace is learnt as the
    response to the bare question.

    ``{answer}`` stands for the gold answer, ``{observe}`` (or any other section) for that section
    of ``of_traces``'s trace of the same question.

    Example:
        Hint(text="The answer is {answer}. Derive it.")            reverse thinking
        Hint(text="Wait, let me look again.", place="response")    hint and continue
    """

    text: str
    """What is said."""

    place: Literal["question", "system", "response"] = "question"
    """After the question, after the system prompt, or as the beginning of the response, which is
    then continued (not by an endpoint) and part of the trace."""

    of_traces: TraceSource | None = None
    """Where sections come from that the text names: a description written by another stage."""


def takes_no_beginning(stage: str) -> str:
    """Why an endpoint is refused for a hint that begins the response."""
    return (
        f"{stage}.hint.place is 'response', and an endpoint takes no response that is begun "
        "already. Set engine.type = 'shared_prefill' or 'vllm', or place the hint elsewhere."
    )
