"""Read a tagged response in one pass and say what exactly is wrong with it.

    text ──one pass──▶ tags ──a stack──▶ tree of sections ──left to right──▶ problems

The tag pattern is a plain alternation of literal tags, so scanning is linear; a response with more
tags than any honest one is refused before its tree is built. Model output is data: whatever the
text, the result is a Response.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice

from observe_r1.text.grammars import Block, Grammar, Section, get_grammar

MAX_TAGS = 512
"""More tags than this are a broken response, whatever they say."""
MAX_PROBLEMS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What a completion holds, section by section.

    Example:
        parse_response("<think>2 + 1</think><answer>3</answer>", "think_answer")
        → Response(sections={"think": ("2 + 1",), "answer": ("3",)}, answer="3", well_formed=True)
    """

    sections: Mapping[str, tuple[str, ...]]
    """Text of every closed section by tag, in the order of their closing."""
    answer: str | None
    """What the last answer section holds, stripped; None when blank, unclosed or absent."""
    well_formed: bool
    problems: tuple[str, ...] = ()
    """What exactly is wrong, in words; empty when well formed."""
    completeness: float = 1.0
    """Share of the grammar's demands that are met: 1 when well formed."""

    def first(self, tag: str) -> str | None:
        """Text of the first section with that tag, None where there is none."""
        found = self.sections.get(tag, ())
        return found[0] if found else None


@dataclass(slots=True)
class _Node:
    tag: str
    start: int
    """Where its text begins, after the opening tag."""
    end: int = -1
    """Where its text ends; −1 while open."""
    opened: int = 0
    """Where the opening tag begins."""
    closed: int = -1
    """Where the closing tag ends."""
    inner: list["_Node"] = field(default_factory=list)


def last_section(text: str, tag: str) -> str | None:
    """Inside of the last ``<tag>``, stripped; None when it is never closed, blank or absent.

    The last opening tag counts: an answer that is opened again and never closed is no answer.
    """
    opening, closing = f"<{tag}>", f"</{tag}>"
    start = text.rfind(opening)
    if start < 0:
        return None
    start += len(opening)
    end = text.find(closing, start)
    if end < 0:
        return None
    return text[start:end].strip() or None


def parse_response(text: str, grammar: str | Grammar) -> Response:
    """Sections, answer and problems of a response under a grammar, in time linear in its length."""
    grammar = get_grammar(grammar)
    answer = last_section(text, "answer")
    tags = list(islice(_tag_pattern(grammar).finditer(text), MAX_TAGS + 1))
    if len(tags) > MAX_TAGS:
        problem = f"more than {MAX_TAGS} tags"
        return Response(
            sections={}, answer=answer, well_formed=False, problems=(problem,), completeness=0.0
        )
    root, problems = _build_tree(text, tags)
    problems += _check(text, root.inner, grammar.blocks, root, free_text=False)
    sections = _sections(text, root)
    return Response(
        sections=sections,
        answer=answer,
        well_formed=not problems,
        problems=tuple(problems[:MAX_PROBLEMS]),
        completeness=_completeness(grammar, sections, problems),
    )


@lru_cache(maxsize=64)
def _tag_pattern(grammar: Grammar) -> re.Pattern[str]:
    return re.compile("</?(?:" + "|".join(grammar.tags) + ")>")


def _build_tree(text: str, tags: Sequence[re.Match[str]]) -> tuple[_Node, list[str]]:
    """The sections as they nest, and every tag that does not pair up."""
    root = _Node(tag="", start=0, end=len(text), closed=len(text))
    stack, problems = [root], []
    for match in tags:
        tag = match.group().strip("</>")
        if not match.group().startswith("</"):
            node = _Node(tag=tag, start=match.end(), opened=match.start())
            stack[-1].inner.append(node)
            stack.append(node)
        elif stack[-1].tag == tag and len(stack) > 1:
            node = stack.pop()
            node.end, node.closed = match.start(), match.end()
        else:
            problems.append(f"</{tag}> closes nothing")
    problems += [f"<{node.tag}> is never closed" for node in stack[1:]]
    return root, problems


def _check(
    text: str, nodes: list[_Node], blocks: tuple[Block, ...], parent: _Node, *, free_text: bool
) -> list[str]:
    """Problems of one level: order and number of the sections, then the text around them."""
    nodes = [node for node in nodes if node.end >= 0]
    problems = _check_order([node.tag for node in nodes], blocks)
    if not free_text:
        problems += _check_outside(text, nodes, parent)
    known = {section.tag: section for block in blocks for section in block.sections}
    for node in nodes:
        if node.tag in known:
            problems += _check_section(text, node, known[node.tag])
    return problems


def _check_section(text: str, node: _Node, section: Section) -> list[str]:
    problems = _check(text, node.inner, section.inner, node, free_text=section.free_text)
    if section.needs_text and not any(_own_text(text, node.inner, node)):
        problems.append(f"<{node.tag}> is blank")
    return problems


def _check_order(tags: list[str], blocks: tuple[Block, ...]) -> list[str]:
    """Match the tags of one level against the blocks, greedily and left to right."""
    position, missing = 0, []
    for block in blocks:
        names, times = [section.tag for section in block.sections], 0
        while (block.most is None or times < block.most) and (
            tags[position : position + len(names)] == names
        ):
            position, times = position + len(names), times + 1
        if times < block.least:
            missing += names
    if not missing and position == len(tags):
        return []
    return _explain_order(tags, blocks, missing, tags[position:])


def _explain_order(
    tags: list[str], blocks: tuple[Block, ...], missing: list[str], extra: list[str]
) -> list[str]:
    known = [section.tag for block in blocks for section in block.sections]
    single = {s.tag for b in blocks for s in b.sections if b.most == 1 and known.count(s.tag) == 1}
    problems = [f"no <{tag}> section" for tag in dict.fromkeys(missing) if tag not in tags]
    for tag in dict.fromkeys(tags):
        if tag not in known:
            problems.append(f"<{tag}> stands where it may not")
        elif tag in single and tags.count(tag) > 1:
            problems.append(f"<{tag}> appears {tags.count(tag)} times")
    if not problems:
        found = ", ".join(tags[:8]) or "nothing"
        what = f"too few of {', '.join(missing)}" if missing else f"unexpected {extra[0]}"
        problems.append(f"sections are out of order: {found} ({what})")
    return problems


def _check_outside(text: str, nodes: list[_Node], parent: _Node) -> list[str]:
    """Nothing but whitespace may stand between sections, before the first and after the last."""
    where = [f"text before <{nodes[0].tag}>"] if nodes else ["text without any section"]
    where += [f"text after </{node.tag}>" for node in nodes]
    gaps = _own_text(text, nodes, parent)
    return [name for name, gap in zip(where, gaps, strict=True) if gap]


def _own_text(text: str, nodes: list[_Node], parent: _Node) -> list[bool]:
    """Before, between and after the closed sections inside ``parent``: is there text?"""
    nodes = [node for node in nodes if node.end >= 0]
    starts = [parent.start, *(node.closed for node in nodes)]
    ends = [*(node.opened for node in nodes), parent.end]
    return [not _is_blank(text[start:end]) for start, end in zip(starts, ends, strict=True)]


_VISIBLE = re.compile(r"[^\s\x00-\x1f\x7f-\x9f\xad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")


def _is_blank(text: str) -> bool:
    """Whitespace, or characters that show nothing: a section of zero-width spaces is empty."""
    return _VISIBLE.search(text) is None


def _sections(text: str, root: _Node) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    pending = list(reversed(root.inner))
    while pending:
        node = pending.pop()
        pending += reversed(node.inner)
        if node.end >= 0:
            found.setdefault(node.tag, []).append(text[node.start : node.end].strip())
    return {tag: tuple(texts) for tag, texts in found.items()}


def _completeness(
    grammar: Grammar, sections: Mapping[str, tuple[str, ...]], problems: Sequence[str]
) -> float:
    """One part for each required section that is there and not blank, one for nothing wrong."""
    required = _required(grammar.blocks)
    present = sum(
        any(sections.get(section.tag, ())) if section.needs_text else section.tag in sections
        for section in required
    )
    return (present + (not problems)) / (len(required) + 1)


def _required(blocks: tuple[Block, ...]) -> list[Section]:
    """The sections that may not be missing, each tag once."""
    found: dict[str, Section] = {}
    for block in blocks:
        if block.least > 0:
            for section in block.sections:
                for one in (section, *_required(section.inner)):
                    found.setdefault(one.tag, one)
    return list(found.values())
