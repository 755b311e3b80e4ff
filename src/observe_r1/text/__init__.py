"""Tagged responses: what a model is asked to write, and what it wrote.

The only place that knows tags. ``grammars`` says which sections a response has and the prompt that
asks for them, ``scan`` reads a response in one pass, ``prompt`` writes the question, ``template``
leaves the first tag to the model.
"""

from observe_r1.text.grammars import (
    GRAMMARS,
    PARALLEL_BLOCKS,
    Block,
    Grammar,
    Section,
    get_grammar,
    system_prompt,
)
from observe_r1.text.prompt import format_question, option_letter
from observe_r1.text.scan import Response, last_section, parse_response

__all__ = [
    "GRAMMARS",
    "PARALLEL_BLOCKS",
    "Block",
    "Grammar",
    "Response",
    "Section",
    "format_question",
    "get_grammar",
    "last_section",
    "option_letter",
    "parse_response",
    "system_prompt",
]
