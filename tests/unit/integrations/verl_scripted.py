"""Stands where vLLM stands, so that a step of verl runs without a GPU: answers to sums, by script.

Everything else of the step is verl's own: agent loops, reward workers, storage, trainer.
"""

import re
from collections import Counter
from typing import Any


def answer(first: int, second: int, place: int) -> str:
    """The ``place``-th answer to a sum: the first few are right, how many depends on the sum."""
    right = place < first % 5
    result = first + second if right else -1
    closing = "" if place == 2 and first % 3 == 0 else "</think>"  # now and then badly formed
    thought = "add them " * (1 + (first + place) % 3)
    return f"<observe>two numbers</observe><think>{thought}{closing}<answer>{result}</answer>"


class ScriptedClient:
    """What verl's agent loops ask for tokens."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.calls: Counter[tuple[int, int]] = Counter()

    async def generate(self, request_id: str, *, prompt_ids: list[int], **_: Any) -> Any:
        from verl.workers.rollout.replica import TokenOutput

        question = self.tokenizer.decode(prompt_ids)
        numbers = re.search(r"What is (\d+) plus (\d+)", question)
        first, second = (int(number) for number in numbers.groups())
        place = self.calls[first, second] % 4
        self.calls[first, second] += 1
        text = answer(first, second, place)
        ids = [*self.tokenizer.encode(text, add_special_tokens=False), self.tokenizer.eos_token_id]
        return TokenOutput(
            token_ids=ids,
            log_probs=[-0.5] * len(ids),
            extra_fields={"min_global_steps": 0, "max_global_steps": 0},
        )
