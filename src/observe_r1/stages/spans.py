"""Which characters of a response a loss looks at, and from them which tokens.

    <observe>2 red</observe>⏎<think>2 + 1</think>⏎<answer>3</answer>  end
    only answer      ·······································^^^^^^^^^^^^^^^^^^  ^
    without observe  ························^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^  ^
    since think      ·························^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^  ^

A section reaches from its opening tag to its closing one, or to the end where it is never closed. A
token belongs to where its first character stands.
"""

import re
from collections.abc import Sequence

from observe_r1.config.spans import Spans

Range = tuple[int, int]


def learnt_tokens(text: str, offsets_T: Sequence[Range], spans: Spans) -> list[bool]:
    """For each token of ``text``, given its range of characters, whether it is learnt.

    Example:
        learnt_tokens("<a>x</a>y", [(0, 3), (3, 4), (4, 8), (8, 9)], Spans(only=("a",)))
        == [True, True, True, False]
    """
    if spans.since is not None:
        start = text.find(f"<{spans.since}>")
        return [0 <= start <= place for place, _ in offsets_T]
    if spans.only:
        inside = sections(text, spans.only)
        return [_is_in(place, inside) for place, _ in offsets_T]
    outside = sections(text, spans.without)
    return [not _is_in(place, outside) for place, _ in offsets_T]


def sections(text: str, tags: Sequence[str]) -> list[Range]:
    """Where sections of these tags stand, tags included."""
    if not tags:
        return []
    opening = re.compile("<(" + "|".join(map(re.escape, tags)) + ")>")
    found = []
    for match in opening.finditer(text):
        end = text.find(f"</{match[1]}>", match.end())
        closed = len(text) if end < 0 else end + len(match[1]) + 3
        found.append((match.start(), closed))
    return found


def _is_in(place: int, ranges: Sequence[Range]) -> bool:
    return any(start <= place < end for start, end in ranges)
