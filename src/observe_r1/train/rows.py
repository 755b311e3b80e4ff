"""Weighted groups → packed rows with their credit → micro-batches.

group ─ split by completions if over the budget ─▶ rows ─ longest first into bins ─▶ micro-batches
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from observe_r1.losses import Denominators
from observe_r1.policy.pack import PackedRow, pack_group, split_group
from observe_r1.policy.prompts import EncodedPrompt
from observe_r1.types import Sample, WeightedGroup


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CreditRow:
    """A packed row and what each of its completions is worth."""

    row: PackedRow
    advantages_G: tuple[float, ...]
    weights_G: tuple[float, ...]
    sampler_N: tuple[float, ...] | None
    """The sampler's log-probs; None where the engine gave none."""
    group: int
    """Which of the batch's groups the row belongs to."""
    old_N: Tensor | None = None
    reference_N: Tensor | None = None

    def as_dummy(self) -> "CreditRow":
        """The same row with one completion that is worth nothing and weighs nothing."""
        first = self.row.first_completion()
        return replace(
            self, row=first, advantages_G=(0.0,), weights_G=(0.0,),
            sampler_N=None if self.sampler_N is None else self.sampler_N[: first.num_targets],
            old_N=None, reference_N=None,
        )  # fmt: skip

    def split(self, budget: int) -> list["CreditRow"]:
        """The same credit in rows that keep to a smaller budget, where one row was too much."""
        parts = list(split_group(self.row.prompt.length, self.row.lengths_G, budget))
        return [self] if len(parts) == 1 else [self._part(part) for part in parts]

    def _part(self, chosen: Sequence[int]) -> "CreditRow":
        """The prompt and some of the completions, which follow one another."""
        lengths = self.row.lengths_G
        start = sum(lengths[: chosen[0]])
        end = start + sum(lengths[i] for i in chosen)
        tokens = self.row.targets_N[start:end].split([lengths[i] for i in chosen])
        return replace(
            self,
            row=pack_group(self.row.prompt, [own.tolist() for own in tokens]),
            advantages_G=tuple(self.advantages_G[i] for i in chosen),
            weights_G=tuple(self.weights_G[i] for i in chosen),
            sampler_N=None if self.sampler_N is None else self.sampler_N[start:end],
            old_N=None if self.old_N is None else self.old_N[start:end],
            reference_N=None if self.reference_N is None else self.reference_N[start:end],
        )

    def with_logprobs(
        self, *, old: Tensor | None = None, reference: Tensor | None = None
    ) -> "CreditRow":
        return replace(
            self,
            old_N=self.old_N if old is None else old,
            reference_N=self.reference_N if reference is None else reference,
        )


def make_rows(
    groups: Sequence[WeightedGroup], encode: Callable[[Sample], EncodedPrompt], budget: int,
    *, need_all: bool, most: int | None = None,
) -> list[CreditRow]:  # fmt: skip
    """Rows of the groups that move the policy; with ``need_all`` (a KL or entropy term) of every
    admitted group. Completions that weigh nothing and empty ones are left out. One completion
    alone may need ``most`` tokens, where the budget has been halved since."""
    rows = []
    for number, group in enumerate(groups):
        if group.has_signal or (need_all and group.admitted):
            prompt = encode(group.scored.sample)
            rows += _group_rows(number, group, prompt, budget, most or budget)
    return rows


def _group_rows(
    number: int, group: WeightedGroup, prompt: EncodedPrompt, budget: int, most: int
) -> list[CreditRow]:
    completions = group.scored.rollout.completions_G
    weights = group.completion_weights_G
    counted = [i for i, c in enumerate(completions) if c.num_tokens and weights[i] != 0.0]
    lengths = [completions[i].num_tokens for i in counted]
    rows = []
    what = f"Sample '{group.scored.sample.id}'"
    longest = prompt.length + max(lengths, default=1) - 1
    for part in split_group(prompt.length, lengths, max(budget, min(longest, most)), what):
        chosen = [completions[counted[i]] for i in part]
        known = all(len(c.logprobs) == c.num_tokens for c in chosen)
        rows.append(
            CreditRow(
                row=pack_group(prompt, [c.token_ids for c in chosen]),
                advantages_G=tuple(group.advantages_G[counted[i]] for i in part),
                weights_G=tuple(weights[counted[i]] for i in part),
                sampler_N=tuple(x for c in chosen for x in c.logprobs) if known else None,
                group=number,
            )
        )
    return rows


def count_denominators(groups: Sequence[WeightedGroup], max_new_tokens: int) -> Denominators:
    """Over all admitted groups, whether they are computed or not."""
    num_tokens = num_completions = 0.0
    for group in groups:
        if not group.admitted:
            continue
        pairs = zip(group.scored.rollout.completions_G, group.completion_weights_G, strict=True)
        for completion, weight in pairs:
            num_tokens += weight * completion.num_tokens
            num_completions += weight
    return Denominators(
        num_tokens=num_tokens, num_completions=num_completions, max_new_tokens=max_new_tokens
    )


def fill_microbatches(rows: Sequence[CreditRow], budget: int) -> list[list[CreditRow]]:
    """Longest rows first, each into the first bin it fits: few bins, and the worst case is
    first."""
    bins: list[list[CreditRow]] = []
    room: list[int] = []
    for row in sorted(rows, key=lambda r: -r.row.length):
        place = next((i for i, left in enumerate(room) if left >= row.row.length), None)
        if place is None:
            bins.append([row])
            room.append(budget - row.row.length)
        else:
            bins[place].append(row)
            room[place] -= row.row.length
    return bins


def worst_case(
    prompt: EncodedPrompt, size: int, max_new_tokens: int, token: int, budget: int
) -> list[CreditRow]:
    """The largest micro-batch that may come of a prompt: groups with all completions at the limit,
    as many as the budget holds. They weigh nothing."""
    chosen = next(split_group(prompt.length, [max_new_tokens] * size, budget))
    zeros = (0.0,) * len(chosen)
    worst = CreditRow(
        row=pack_group(prompt, [[token] * max_new_tokens] * len(chosen)), advantages_G=zeros,
        weights_G=zeros, sampler_N=None, group=0,
    )  # fmt: skip
    return [worst] * max(1, budget // worst.row.length)


def share_rows(rows: Sequence[CreditRow], num_processes: int) -> list[list[CreditRow]]:
    """Longest rows first to whoever has least: every process computes about as many tokens."""
    shares: list[list[CreditRow]] = [[] for _ in range(num_processes)]
    tokens = [0] * num_processes
    for row in sorted(rows, key=lambda r: -r.row.length):
        rank = tokens.index(min(tokens))
        shares[rank].append(row)
        tokens[rank] += row.row.length
    return shares


def even_out(shares: Sequence[list[CreditRow]]) -> list[list[CreditRow]]:
    """Equally many rows for everyone, for sharded models: dummies fill up; see ``distribute``."""
    rows = [row for share in shares for row in share]
    if not rows:
        return [[] for _ in shares]
    dummy = min(rows, key=lambda r: r.row.length).as_dummy()
    longest = max(len(share) for share in shares)
    return [[*share, *[dummy] * (longest - len(share))] for share in shares]
