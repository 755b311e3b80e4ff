"""A worked solution written as a response in a grammar: what cold starts are taught with.

observe_think_answer   <observe>…</observe>⏎<think>…</think>⏎<answer>…</answer>
think_observe_answer   <think>… <observe>…</observe> …</think>⏎<answer>…</answer>
think_answer           <think>…</think>⏎<answer>…</answer>
think_or_not           the same
sketch                 <sketch>1. …</sketch>⏎<answer>…</answer>
event_facts            <facts>…</facts>⏎<think>…</think>⏎<answer>…</answer>
answer                 <answer>…</answer>
"""

from typing import Literal, get_args

from observe_r1.data.puzzles.base import Trace
from observe_r1.data.puzzles.special_text import refuse_special_text
from observe_r1.errors import ConfigError

Style = Literal["full", "sketch"]

RENDERED_GRAMMARS = (
    "observe_think_answer",
    "think_observe_answer",
    "think_answer",
    "think_or_not",
    "sketch",
    "event_facts",
    "answer",
)
"""The grammars that a solver's trace can be written in."""


def render(trace: Trace, grammar: str = "observe_think_answer", style: Style = "full") -> str:
    """The response text of a trace; ``style`` is how much of the reasoning is written out.

    Example:
        render(trace, "think_answer") == "<think>1 + 2 = 3</think>\\n<answer>3</answer>"
    """
    if style not in get_args(Style):
        raise ConfigError(f"no style named '{style}'. Known styles: {', '.join(get_args(Style))}.")
    for text in (trace.observe, trace.think, trace.sketch, trace.answer):
        refuse_special_text(text, "trace")
    think = trace.think if style == "full" else trace.sketch
    answer = _tag("answer", trace.answer)
    if grammar == "observe_think_answer":
        sections = [_tag("observe", trace.observe), _tag("think", think), answer]
    elif grammar == "think_observe_answer":
        inside = f"First I look. {_tag('observe', trace.observe)} {think}"
        sections = [_tag("think", inside), answer]
    elif grammar in ("think_answer", "think_or_not"):
        sections = [_tag("think", think), answer]
    elif grammar == "sketch":
        steps = [trace.observe, think] if style == "full" else [think]
        listed = "\n".join(f"{number}. {step}" for number, step in enumerate(steps, start=1))
        sections = [_tag("sketch", listed), answer]
    elif grammar == "event_facts":
        sections = [_tag("facts", trace.observe), _tag("think", think), answer]
    elif grammar == "answer":
        sections = [answer]
    else:
        raise ConfigError(
            f"a puzzle's trace cannot be written in the grammar '{grammar}'. "
            f"Grammars it can be written in: {', '.join(RENDERED_GRAMMARS)}."
        )
    return "\n".join(sections)


def _tag(name: str, text: str) -> str:
    return f"<{name}>{text}</{name}>"
