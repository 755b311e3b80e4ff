"""A group → one row: the prompt with its images once, then every completion.

    row        [ prompt: text, image, text | completion 0 | completion 1 | completion 2 ]
    branch       -1 -1 -1 -1 -1 -1 -1 -1     0  0  0        1  1           2  2  2  2
    position      0  1  2  2  2  2  3  4     5  6  7        5  6           5  6  7  8

    mask       a token sees the prompt and the earlier tokens of its own branch, nothing else
    predict    the last prompt token predicts the first token of every completion; after that each
               completion token predicts the next. A completion's last token predicts nothing and
               nobody sees it, so it is not in the row at all.

With G completions of R tokens and a prompt of P tokens, a row is P + G·(R-1) tokens long where
separate rows are G·(P+R). A group over the token budget is cut into several rows; each repeats the
prompt, which is counted as computed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from observe_r1.errors import ConfigError
from observe_r1.policy.prompts import EncodedPrompt


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PackedRow:
    """One row and how to read it. ``N`` counts the completion tokens of the row, in order."""

    prompt: EncodedPrompt
    ids_S: Tensor
    positions: Tensor
    """[3, S] with M-RoPE, else [1, S]."""
    branch_S: Tensor
    """-1 in the prompt, else the completion's number in this row."""
    predict_N: Tensor
    """Index in the row of the hidden state that predicts each completion token."""
    targets_N: Tensor
    """The completion tokens themselves."""
    lengths_G: tuple[int, ...]
    """Tokens of each completion in the row."""

    @property
    def length(self) -> int:
        return len(self.ids_S)

    @property
    def blocks_S(self) -> Tensor:
        """Which image a token belongs to, -1 for text."""
        return _padded(self.prompt.blocks_L, self.length - self.prompt.length, -1)

    def first_completion(self) -> "PackedRow":
        """The row of the prompt and its first completion alone."""
        return pack_group(self.prompt, [self.targets_N[: self.lengths_G[0]].tolist()])

    @property
    def num_targets(self) -> int:
        return len(self.targets_N)


def pack_group(prompt: EncodedPrompt, completions_G: Sequence[Sequence[int]]) -> PackedRow:
    """One row; every completion needs at least one token. Without any it is a prompt alone."""
    start = prompt.length
    ids, positions, branches, predict = (
        [prompt.ids_L],
        [prompt.positions],
        [torch.full((start,), -1)],
        [],
    )
    num_axes = prompt.positions.shape[0]
    for number, completion in enumerate(completions_G):
        inputs = torch.tensor(completion[:-1], dtype=torch.long)
        steps = torch.arange(len(inputs))
        ids.append(inputs)
        positions.append((prompt.next_position + steps).expand(num_axes, -1))
        branches.append(torch.full((len(inputs),), number))
        predict += [torch.tensor([prompt.length - 1]), start + steps]
        start += len(inputs)
    return PackedRow(
        prompt=prompt,
        ids_S=torch.cat(ids),
        positions=torch.cat(positions, -1),
        branch_S=torch.cat(branches),
        predict_N=torch.cat([torch.empty(0, dtype=torch.long), *predict]),
        targets_N=torch.tensor([t for c in completions_G for t in c], dtype=torch.long),
        lengths_G=tuple(len(c) for c in completions_G),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JoinedRows:
    """Rows one behind the other: what one forward pass reads.

    Example (two rows of three and two tokens, one of padding):
        row_S [0, 0, 0, 1, 1, 2]   branch_S [-1, -1, 0, -1, 0, -1]
    """

    rows: tuple[PackedRow, ...]
    ids_S: Tensor
    positions: Tensor
    """[3, S] with M-RoPE, else [1, S]."""
    row_S: Tensor
    """Which row a token belongs to; padding has a number of its own."""
    branch_S: Tensor
    blocks_S: Tensor
    """Which image of its row a token belongs to, -1 for text."""
    predict_N: Tensor
    targets_N: Tensor


def join_rows(rows: Sequence[PackedRow], length: int | None = None) -> JoinedRows:
    """Lay rows behind each other, with padding up to ``length``."""
    lengths = [row.length for row in rows]
    pad = 0 if length is None else length - sum(lengths)
    sizes = torch.tensor([*lengths, pad])
    starts = (sizes.cumsum(0) - sizes).tolist()
    predict = [row.predict_N + start for row, start in zip(rows, starts, strict=False)]
    return JoinedRows(
        rows=tuple(rows),
        ids_S=_padded(torch.cat([row.ids_S for row in rows]), pad, 0),
        positions=_padded(torch.cat([row.positions for row in rows], -1), pad, 0),
        row_S=torch.arange(len(sizes)).repeat_interleave(sizes),
        branch_S=_padded(torch.cat([row.branch_S for row in rows]), pad, -1),
        blocks_S=_padded(torch.cat([row.blocks_S for row in rows]), pad, -1),
        predict_N=torch.cat(predict),
        targets_N=torch.cat([row.targets_N for row in rows]),
    )


def _padded(values: Tensor, pad: int, value: int) -> Tensor:
    return torch.nn.functional.pad(values, (0, pad), value=value) if pad else values


def split_group(
    prompt_length: int, lengths_G: Sequence[int], budget: int, what: str = "a group"
) -> Iterator[list[int]]:
    """Cut a group into runs of completions whose rows keep to ``budget`` tokens."""
    part: list[int] = []
    used = prompt_length
    for index, length in enumerate(lengths_G):
        if prompt_length + length - 1 > budget:
            raise ConfigError(
                f"{what}: a prompt of {prompt_length} tokens and a completion of {length} are more "
                f"than policy.max_tokens_per_microbatch = {budget}. Raise it, or lower "
                "sampling.max_new_tokens; nothing is truncated silently."
            )
        if part and used + length - 1 > budget:
            yield part
            part, used = [], prompt_length
        part.append(index)
        used += length - 1
    if part:
        yield part
