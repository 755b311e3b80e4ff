"""A language model that says whether an answer is right, for benchmarks that ask one."""

from collections.abc import Sequence

from observe_r1.endpoints import ChatRequest, EndpointClient, user_message
from observe_r1.text import format_question
from observe_r1.types import Sample

PROMPT = """Decide whether a response to a question gives the right answer.

Question:
{question}

Right answer: {gold}

Response:
{response}

Only the final answer of the response counts, however it is written.
Reply with one word: yes or no."""

MAX_RESPONSE_CHARS = 6000
"""Of a long response the end is shown: that is where the answer stands."""


class EndpointJudge:
    """Asks an OpenAI-compatible server; a reply that is neither yes nor no counts as no.

    Example:
        with_judge = EndpointJudge("http://127.0.0.1:8000/v1")
        with_judge([(sample, "So the answer is B.")]) == [True]
    """

    def __init__(self, base_url: str, model: str = "", api_key: str | None = None) -> None:
        self.client = EndpointClient([base_url], model=model, api_key=api_key)

    def __call__(self, asked: Sequence[tuple[Sample, str]]) -> list[bool]:
        requests = [
            ChatRequest(messages=(user_message(_prompt(*pair)),), max_tokens=8, temperature=0.0)
            for pair in asked
        ]
        replies = self.client.chat_many(requests)
        return [reply.text.strip().lower().lstrip("*\"' ").startswith("yes") for reply in replies]

    @property
    def name(self) -> str:
        return self.client.model


def _prompt(sample: Sample, response: str) -> str:
    gold = sample.answer
    if sample.options and len(gold) == 1:
        gold = f"{gold} ({sample.options[ord(gold) - ord('A')]})"
    question = format_question(sample).replace("<image>", "(picture)")
    shown = response[-MAX_RESPONSE_CHARS:].replace("<image>", "(picture)")
    return PROMPT.format(question=question, gold=gold, response=shown)
