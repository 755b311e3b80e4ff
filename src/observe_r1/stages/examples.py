"""Traces → what a model is trained on: prompt, response tokens, and which of them are learnt.

The prompt is encoded by the policy's own encoder, so a trained prompt is token for token the one
that reinforcement learning and evaluation use. The response is what the model would have sampled
after it, and ends with the token that ends a turn.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from observe_r1.config.spans import Spans
from observe_r1.data.traces import TraceRow, TraceSet
from observe_r1.errors import DataError
from observe_r1.policy.load import Policy
from observe_r1.policy.prompts import EncodedPrompt, extend, merge_vision
from observe_r1.stages.fit import Asked, positions_of, too_long
from observe_r1.stages.spans import learnt_tokens
from observe_r1.text import system_prompt
from observe_r1.types import Sample

logger = logging.getLogger(__name__)

IGNORED = -100
"""The label of a token that is read and not learnt."""


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """One trace, ready to be learnt; its prompt is encoded when it is needed.

    Example:
        Example(sample, "Answer …", ids_T=(40, 41, 2), is_learnt_T=(True, True, True))
    """

    sample: Sample
    system_prompt: str
    ids_T: tuple[int, ...]
    """[T] the response, end token included."""
    is_learnt_T: tuple[bool, ...]


class ExampleMaker:
    """Tokenizes responses as a policy would write them."""

    def __init__(self, policy: Policy, spans: Spans) -> None:
        self.policy = policy
        self.spans = spans
        self.tokenizer = getattr(policy.processor, "tokenizer", policy.processor)
        self.end_id = end_token(policy)

    def make(self, row: TraceRow, sample: Sample) -> Example:
        """Text that names a control token is taken apart: it is text and nothing else."""
        encoded = self.tokenizer(
            row.response, add_special_tokens=False, split_special_tokens=True,
            return_offsets_mapping=True,
        )  # fmt: skip
        is_learnt = learnt_tokens(row.response, encoded["offset_mapping"], self.spans)
        ends = not row.truncated  # a response that was cut off does not end here
        return Example(
            sample=sample,
            system_prompt=prompt_of(row),
            ids_T=(*encoded["input_ids"], *([self.end_id] if ends else [])),
            is_learnt_T=(*is_learnt, *([self.spans.end_token] if ends else [])),
        )

    def make_all(self, traces: TraceSet, stage: str) -> list[Example]:
        """Every trace that has something to learn; none that has is an error."""
        examples = [self.make(row, traces.sample(row)) for row in traces.rows]
        useful = [example for example in examples if any(example.is_learnt_T)]
        if examples and not useful:
            raise DataError(
                f"stage '{stage}': none of the {len(examples)} traces has anything to learn with "
                f"loss_on = {self.spans.model_dump(exclude_defaults=True)}. Name sections "
                "that the traces have."
            )
        if len(useful) < len(examples):
            logger.warning(
                "stage %s: %d of %d traces have nothing to learn under loss_on and are left out",
                stage, len(examples) - len(useful), len(examples),
            )  # fmt: skip
        return useful

    def check_length(self, examples: Sequence[Example], stage: str) -> None:
        """Prompt and response must fit the model; nothing is cut off in silence."""
        room = positions_of(self.policy).tokens
        asked = (
            Asked(sample=e.sample, system_prompt=e.system_prompt, response=len(e.ids_T))
            for e in examples
        )
        for one, length in too_long(self.policy, asked, len(examples), room):
            raise DataError(
                f"stage '{stage}': sample '{one.sample.id}' has a prompt of {length} tokens and a "
                f"response of {one.response}, more than the model's {room} positions. Use smaller "
                "images or shorter traces (filter 'length')."
            )


def prompt_of(row: TraceRow) -> str:
    """The system prompt a trace answers."""
    return system_prompt(row.grammar) if row.system_prompt is None else row.system_prompt


def end_token(policy: Policy) -> int:
    """The token that the chat template puts behind a finished response."""
    tokenizer = getattr(policy.processor, "tokenizer", policy.processor)
    turns = [
        {"role": "user", "content": [{"type": "text", "text": "question"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "response"}]},
    ]
    text = policy.processor.apply_chat_template(turns, tokenize=False)
    tail = tokenizer(text.rpartition("response")[2], add_special_tokens=False)["input_ids"]
    ends = [token for token in tail if token in policy.end_ids]
    return ends[0] if ends else policy.end_ids[0]


def collate(policy: Policy, examples: Sequence[Example]) -> dict[str, Tensor]:
    """A batch as the model's own forward takes it, padded on the right; labels are shifted by the
    model. Positions are the prompt's and go on from it, as in a packed row."""
    prompts = [policy.encode(example.sample, example.system_prompt) for example in examples]
    rows = [extend(p, example.ids_T) for p, example in zip(prompts, examples, strict=True)]
    longest = max(row.length for row in rows)
    positions = torch.stack([_padded(row.positions, longest, 0) for row in rows])
    batch = {
        "input_ids": torch.stack([_padded(row.ids_L, longest, _pad_id(policy)) for row in rows]),
        "attention_mask": torch.stack(
            [_padded(torch.ones_like(row.ids_L), longest, 0) for row in rows]
        ),
        "labels": torch.stack(
            [_padded(_labels(p, example), longest, IGNORED)
             for p, example in zip(prompts, examples, strict=True)]
        ),
        "position_ids": positions.transpose(0, 1) if policy.family.has_mrope else positions[:, 0],
        **merge_vision(prompts),
    }  # fmt: skip
    if policy.family.media_type_name is not None:
        blocks = torch.stack([_padded(row.blocks_L, longest, -1) for row in rows])
        batch[policy.family.media_type_name] = (blocks >= 0).int()
    return batch


def _labels(prompt: EncodedPrompt, example: Example) -> Tensor:
    learnt = [
        token if is_learnt else IGNORED
        for token, is_learnt in zip(example.ids_T, example.is_learnt_T, strict=True)
    ]
    return torch.tensor([IGNORED] * prompt.length + learnt, dtype=torch.long)


def _padded(tensor: Tensor, length: int, value: int) -> Tensor:
    return torch.nn.functional.pad(tensor, (0, length - tensor.shape[-1]), value=value)


def _pad_id(policy: Policy) -> int:
    tokenizer = getattr(policy.processor, "tokenizer", policy.processor)
    return tokenizer.pad_token_id if tokenizer.pad_token_id is not None else policy.end_ids[0]
