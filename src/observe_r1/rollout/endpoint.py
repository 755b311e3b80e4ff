"""Servers as an engine: rollouts through the OpenAI protocol, for teaching, probing, evaluation.

Each completion is a request of its own, so that every server that speaks the protocol will do and
every length is the server's own count. Servers that cache prefixes compute the prompt once anyway.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from observe_r1.config.rollout import Endpoint, Sampling
from observe_r1.endpoints import ChatReply, ChatRequest, EndpointClient, user_message
from observe_r1.errors import EngineError, RefusedError
from observe_r1.text import format_question, get_grammar
from observe_r1.types import Completion, RolloutGroup, Sample

UNKNOWN_TOKEN = -1
"""Stands for each token of a completion: servers tell how many there are, not which."""
THINK = "think"
"""Tag of the section that a thought belongs into."""


class EndpointEngine:
    """A rollout engine whose model lives elsewhere; its weights cannot be changed.

    Example:
        engine = EndpointEngine(Endpoint(base_url=("http://gpu-1:8000/v1", "http://gpu-2:8000/v1")))
    """

    is_apart = True
    room: int | None = None  # servers do not say

    def __init__(self, config: Endpoint) -> None:
        self.client = EndpointClient(
            config.urls,
            model=config.model,
            api_key=os.environ.get(config.api_key_variable),
            max_concurrency=config.max_concurrency,
            timeout_seconds=config.timeout_seconds,
            max_retries=config.max_retries,
            token_limit_key=config.token_limit_key,
            extra=config.extra,
        )

    @property
    def model(self) -> str:
        """The name that the server knows the model by."""
        return self.client.model

    def generate(
        self,
        samples_P: Sequence[Sample],
        *,
        group_size: int,
        sampling: Sampling,
        system_prompt: str,
        seed: int,
        step: int = 0,
        written_P: Sequence[Sequence[int]] | None = None,
    ) -> list[RolloutGroup]:
        """One group a sample, in the samples' order. One that the server refuses, at all or at some
        places, says so and has what came: the others are paid for."""
        if written_P is not None:
            raise EngineError(
                f"{self.model} is asked through a server's chat protocol, which takes no response "
                "that is begun already. Use engine.type=shared_prefill, vllm or vllm_server."
            )
        requests = [
            _request(sample, index, sampling, system_prompt, seed, step)
            for sample in samples_P
            for index in range(group_size)
        ]
        replies = dict(self.client.chat_each(requests))
        groups = []
        for number, sample in enumerate(samples_P):
            own = [replies[number * group_size + place] for place in range(group_size)]
            groups.append(_group(sample, own, step))
        return groups

    def draw(
        self,
        sample: Sample,
        places: Sequence[int],
        *,
        sampling: Sampling,
        system_prompt: str,
        seed: int,
        grammar: str,
        step: int = 0,
    ) -> Iterator[tuple[int, Completion]]:
        """Those of a sample's group that are at ``places``, each with its place as it comes.

        They are the ones that ``generate`` would have there, however many are asked for, and a
        thought that the server keeps apart stands in front, in the section ``grammar`` has for it.
        A failure or refusal is raised when everything that was on its way has come.
        """
        requests = [
            _request(sample, place, sampling, system_prompt, seed, step) for place in places
        ]
        refusal: RefusedError | None = None
        for number, reply in self.client.chat_each(requests):
            if isinstance(reply, RefusedError):
                refusal = reply
                continue
            whole = replace(reply, text=_with_thought(reply, grammar))
            yield places[number], _completion(whole)
        if refusal is not None:
            raise refusal

    def request_hash(self, sample: Sample, sampling: Sampling, system_prompt: str) -> str:
        """Equal for requests that differ in nothing but the dice: what is refused once stays so."""
        request = _request(sample, 0, sampling, system_prompt, seed=0, step=0)
        body = self.client.body(replace(request, seed=None))
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]

    def sync(self, policy: Any, version: int = 0) -> None:
        raise EngineError(
            f"A {type(policy).__name__} cannot be sent to an endpoint, whose weights are its own. "
            "Endpoints serve teaching, probing and evaluation; train with "
            "engine.type=shared_prefill or vllm."
        )

    def close(self) -> None:
        self.client.close()


def _request(
    sample: Sample, index: int, sampling: Sampling, system_prompt: str, seed: int, step: int
) -> ChatRequest:
    messages = [user_message(format_question(sample), sample.images)]
    if system_prompt:
        messages.insert(0, {"role": "system", "content": system_prompt})
    # Only what differs from the protocol's own default is sent: servers differ in what they know.
    extra: dict[str, Any] = {"top_k": sampling.top_k} if sampling.top_k else {}
    if sampling.min_p:
        extra["min_p"] = sampling.min_p
    if sampling.stop_token_ids:
        extra["stop_token_ids"] = list(sampling.stop_token_ids)
    return ChatRequest(
        messages=messages,
        max_tokens=sampling.max_new_tokens,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        seed=_own_seed(seed, step, sample.id, index),
        stop=sampling.stop,
        extra=extra,
    )


def _own_seed(*parts: object) -> int:
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def _group(sample: Sample, replies: Sequence[ChatReply | RefusedError], step: int) -> RolloutGroup:
    refusals = [str(reply) for reply in replies if isinstance(reply, RefusedError)]
    return RolloutGroup(
        sample=sample,
        completions_G=tuple(_completion(r) for r in replies if isinstance(r, ChatReply)),
        step=step,
        refused=refusals[0] if refusals else "",
    )


def _completion(reply: ChatReply) -> Completion:
    tokens = (UNKNOWN_TOKEN,) * reply.num_tokens
    return Completion(text=reply.text, token_ids=tokens, truncated=reply.truncated)


def _with_thought(reply: ChatReply, grammar: str) -> str:
    """The whole response; under a grammar without such a section a thought is no part of it."""
    is_there = f"<{THINK}>" in reply.text or f"</{THINK}>" in reply.text
    if not reply.thought.strip() or is_there or THINK not in get_grammar(grammar).tags:
        return reply.text
    opened = f"<{THINK}>{reply.thought.strip()}"
    if reply.truncated and not reply.text.strip():
        return opened  # cut off within the thought, which therefore never closed
    return f"{opened}</{THINK}>\n{reply.text.lstrip()}"
