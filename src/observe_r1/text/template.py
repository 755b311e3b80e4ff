"""The chat template as a method needs it: a response begins with the model's own first word.

    … <|im_start|>assistant\\n<think>\\n     as models come that were taught to think
    … <|im_start|>assistant\\n               as it is rendered here, saved and exported

Where the template opens a section, responses lack its tag: none is well formed, and none can begin
with another section, ``<observe>`` say. What the template no longer writes, the model does.
"""

import re
from collections.abc import Iterator
from typing import Any

from observe_r1.errors import ModelError
from observe_r1.text.grammars import GRAMMARS

_TAGS = sorted({tag for grammar in GRAMMARS.values() for tag in grammar.tags})
_OPENED = re.compile(rf"<({'|'.join(_TAGS)})>\s*\Z")
_QUESTION = [{"role": "user", "content": [{"type": "text", "text": "question"}]}]


def opened_section(processor: Any) -> str | None:
    """The section that the processor's chat template opens for every response; most open none."""
    opened = _OPENED.search(_render(processor))
    return opened[1] if opened else None


def open_no_section(processor: Any) -> str | None:
    """Take off the processor's chat template the section that it opens; returns which that was."""
    rendered, template = _render(processor), processor.chat_template
    opened = _OPENED.search(rendered)
    if opened is None:
        return None
    for mended in _without(template, opened[1]):
        processor.chat_template = mended
        if _render(processor) == rendered[: opened.start()]:
            return opened[1]
    processor.chat_template = template
    raise ModelError(
        f"The model's chat template opens <{opened[1]}> for every response, so that none could "
        "begin with a section of the method's own. Take that off the end of chat_template.jinja in "
        "a copy of the model's folder, and give that folder."
    )


def _without(template: Any, tag: str) -> Iterator[str]:
    """The template without the tag at each place where a piece of text ends with it, the last
    place first."""
    if not isinstance(template, str):  # several templates under names
        return
    places = re.finditer(rf"<{tag}>(?:\\n|\s)*(?=['\"]|{{[%{{]|\Z)", template)
    for place in reversed(list(places)):
        yield template[: place.start()] + template[place.end() :]


def _render(processor: Any) -> str:
    return processor.apply_chat_template(_QUESTION, add_generation_prompt=True, tokenize=False)
