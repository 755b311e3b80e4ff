"""The response grammars: which sections, in which order, and the prompt that asks for them.

A grammar is a sequence of blocks; a block is a run of sections that stand next to each other and
may repeat together. Sections may hold sections. That covers everything the recipes use and can be
checked left to right without ever going back.
"""

from dataclasses import dataclass

from observe_r1.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One tagged section, ``<tag>…</tag>``.

    Example:
        Section(tag="think", inner=(Block(sections=(Section(tag="observe"),)),))
    """

    tag: str
    inner: tuple["Block", ...] = ()
    """Sections it holds, in order; text may stand around them."""
    needs_text: bool = True
    """Whether it must hold text of its own, outside the sections inside it."""
    free_text: bool = True
    """Whether text of its own is allowed; without, only whitespace around the sections inside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Sections next to each other, repeated as a whole between ``least`` and ``most`` times.

    Example:
        Block(sections=(Section(tag="think"), Section(tag="plan")), most=None)
    """

    sections: tuple[Section, ...]
    least: int = 1
    most: int | None = 1
    """None: any number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """A named response structure. ``answer`` is always one of its tags.

    Example:
        GRAMMARS["think_answer"].tags == ("think", "answer")
    """

    name: str
    blocks: tuple[Block, ...]
    prompt: str
    """The system prompt that asks for this structure."""

    @property
    def tags(self) -> tuple[str, ...]:
        """Every tag, each once, in the order of the grammar."""
        return tuple(dict.fromkeys(_tags(self.blocks)))


def _tags(blocks: tuple[Block, ...]) -> list[str]:
    found = []
    for block in blocks:
        for section in block.sections:
            found += [section.tag, *_tags(section.inner)]
    return found


def once(*tags: str) -> tuple[Block, ...]:
    """Sections that stand one after the other, each exactly once."""
    return tuple(Block(sections=(Section(tag=tag),)) for tag in tags)


_PATHS = Block(sections=(Section(tag="path"),), least=2, most=None)
_PARALLEL = Block(
    sections=(
        Section(tag="parallel", inner=(_PATHS,), needs_text=False, free_text=False),
        Section(tag="summary"),
    ),
    least=0,
    most=None,
)

PARALLEL_BLOCKS = Grammar(
    name="parallel_blocks",
    blocks=(Block(sections=(Section(tag="response", inner=(_PARALLEL,), needs_text=False),)),),
    prompt="",
)
"""Only the parallel blocks of a response, which is to be wrapped in <response></response>."""

_THINK_ANSWER_PROMPT = (
    "Answer the question. First reason in <think></think>, then give only the final answer in "
    "<answer></answer>."
)

_ALL = (
    Grammar(
        name="observe_think_answer",
        blocks=once("observe", "think", "answer"),
        prompt=(
            "Answer the question about the image. First write what you see in "
            "<observe></observe>, then reason in <think></think>, then give only the final answer "
            "in <answer></answer>."
        ),
    ),
    Grammar(
        name="think_observe_answer",
        blocks=(
            Block(sections=(Section(tag="think", inner=once("observe")),)),
            *once("answer"),
        ),
        prompt=(
            "Answer the question about the image. Reason in <think></think>; within it, write "
            "what you see in the image in <observe></observe>. Then give only the final answer in "
            "<answer></answer>."
        ),
    ),
    Grammar(
        name="think_answer",
        blocks=once("think", "answer"),
        prompt=_THINK_ANSWER_PROMPT,
    ),
    # Asked for like think_answer: that the thought may be empty is for the model to find out.
    Grammar(
        name="think_or_not",
        blocks=(Block(sections=(Section(tag="think", needs_text=False),)), *once("answer")),
        prompt=_THINK_ANSWER_PROMPT,
    ),
    Grammar(
        name="difficulty_think_answer",
        blocks=once("difficulty", "think", "answer"),
        prompt=(
            "Answer the question. First say in <difficulty></difficulty> how hard it is, then "
            "reason in <think></think> as long as that needs, then give only the final answer in "
            "<answer></answer>."
        ),
    ),
    Grammar(
        name="answer",
        blocks=once("answer"),
        prompt="Answer the question. Give only the final answer in <answer></answer>.",
    ),
    Grammar(
        name="plan_answer",
        blocks=(
            Block(sections=(Section(tag="think"), Section(tag="plan")), most=None),
            Block(sections=(Section(tag="think"), Section(tag="answer")), most=None),
        ),
        prompt=(
            "Answer the question in turns. Reason in <think></think>, then tell your plan in "
            "<plan></plan>. Reason again in <think></think>, then give only the final answer in "
            "<answer></answer>."
        ),
    ),
    Grammar(
        name="parallel",
        blocks=(Block(sections=(Section(tag="think", inner=(_PARALLEL,)),)), *once("answer")),
        prompt=(
            "Answer the question. Reason in <think></think>. There, to try several ways, open "
            "<parallel>, write each way in <path></path>, close </parallel> and compare them in "
            "<summary></summary>. Then give only the final answer in <answer></answer>."
        ),
    ),
    Grammar(
        name="sketch",
        blocks=once("sketch", "answer"),
        prompt=(
            "Answer the question. First write the key steps as a short numbered list in "
            "<sketch></sketch>, then give only the final answer in <answer></answer>."
        ),
    ),
    Grammar(
        name="event_facts",
        blocks=once("facts", "think", "answer"),
        prompt=(
            "Answer the question. First list each event with its time, who, what and where in "
            "<facts></facts>, then reason from them in <think></think>, then give only the final "
            "answer in <answer></answer>."
        ),
    ),
)

GRAMMARS: dict[str, Grammar] = {grammar.name: grammar for grammar in _ALL}


def get_grammar(grammar: str | Grammar) -> Grammar:
    """The grammar of that name; a grammar passes through."""
    if isinstance(grammar, Grammar):
        return grammar
    if grammar not in GRAMMARS:
        raise ConfigError(f"no grammar named '{grammar}'. Known grammars: {', '.join(GRAMMARS)}.")
    return GRAMMARS[grammar]


def system_prompt(grammar: str | Grammar) -> str:
    """The prompt that asks for the grammar's structure."""
    return get_grammar(grammar).prompt
