"""Structure inside a response: parallel paths and tool calls."""

import json
from typing import Literal

from pydantic import Field

from observe_r1.rewards.attempt import Attempt
from observe_r1.rewards.base import RewardConfig
from observe_r1.text import PARALLEL_BLOCKS, parse_response


def count_parallel_blocks(text: str) -> int | None:
    """Well-formed parallel blocks of a text; None when one is malformed.

    A block is ``<parallel>`` with two or more ``<path>`` and nothing else in it, then a
    ``<summary>``.
    """
    response = parse_response(f"<response>{text}</response>", PARALLEL_BLOCKS)
    return len(response.sections.get("parallel", ())) if response.well_formed else None


class ParallelBlocks(RewardConfig):
    """1 for a response with at least one parallel block and none malformed, else 0."""

    type: Literal["parallel_blocks"] = "parallel_blocks"

    def __call__(self, attempt: Attempt) -> float:
        return 1.0 if count_parallel_blocks(attempt.text) else 0.0


class ParallelTiers(RewardConfig):
    """Parallel-R1's tiers: more for a right answer found with parallel paths.

    A right answer with a malformed block counts as a wrong one.
    """

    type: Literal["parallel_tiers"] = "parallel_tiers"

    with_block: float = Field(default=1.2, allow_inf_nan=False)
    """Right, with at least one well-formed block."""
    without_block: float = Field(default=1.0, allow_inf_nan=False)
    """Right, without any block."""
    otherwise: float = Field(default=-1.0, allow_inf_nan=False)
    """Wrong, or with a malformed block."""

    def __call__(self, attempt: Attempt) -> float:
        blocks = count_parallel_blocks(attempt.text)
        if not attempt.correct or blocks is None:
            return self.otherwise
        return self.with_block if blocks else self.without_block


class ToolCalls(RewardConfig):
    """1 when a response calls tools as asked: every call closed, readable, and in number."""

    type: Literal["tool_calls"] = "tool_calls"

    opening: str = Field(default="<tool_call>", min_length=1)
    """What opens a call."""
    closing: str = Field(default="</tool_call>", min_length=1)
    """What closes it."""
    content: Literal["json", "text"] = "json"
    """"json": an object with a "name"; "text": anything but blank."""
    least: int = Field(default=1, ge=0)
    """Fewest calls that are rewarded."""
    most: int = Field(default=6, ge=0)
    """Most calls that are rewarded."""

    def __call__(self, attempt: Attempt) -> float:
        calls = self._calls(attempt.text)
        if calls is None or not self.least <= len(calls) <= self.most:
            return 0.0
        return float(all(self._is_readable(call) for call in calls))

    def _calls(self, text: str) -> list[str] | None:
        """What stands inside each call; None when one is never closed or there are too many."""
        calls, position = [], text.find(self.opening)
        while position >= 0:
            start = position + len(self.opening)
            end = text.find(self.closing, start)
            if end < 0 or len(calls) > self.most:
                return None
            calls.append(text[start:end])
            position = text.find(self.opening, end + len(self.closing))
        return calls

    def _is_readable(self, call: str) -> bool:
        if self.content == "text":
            return bool(call.strip())
        try:
            value = json.loads(call)
        except (ValueError, RecursionError):  # model output: unreadable is no call
            return False
        return isinstance(value, dict) and isinstance(value.get("name"), str)
