"""One update: groups → rows → micro-batches → one step of the optimizer.

    all groups ──count──▶ denominators ───────────────┐
    groups with signal ──pack──▶ rows ──fill──▶ micro-batches, largest first
                                                      │  forward · loss · backward, each
                                                      ▼
                               gradient norm ─▶ finite? ─▶ clip, learning rate, step

A rollout can feed several updates: its groups are dealt out like cards, and log-probs from before
the first update are computed once for all later ones. With one update they are the very same
numbers, so no extra pass is made.

On a GPU the largest micro-batch there can be is tried before the first update: a run learns whether
memory is enough in its first minute, and not when answers have grown to their limit.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from observe_r1.config.loss import LossBase
from observe_r1.config.optimizer import OptimizerConfig, SupervisedOptimizer
from observe_r1.config.rollout import Sampling
from observe_r1.errors import ModelError, TrainingError
from observe_r1.losses import Denominators, LossInputs, Stat, compute_loss, token_coefficients
from observe_r1.policy.load import Policy
from observe_r1.policy.weights import whole
from observe_r1.rollout.mismatch import mismatch_stats
from observe_r1.train.distribute import Processes
from observe_r1.train.masters import MasterWeights
from observe_r1.train.reference import Reference, row_logprobs
from observe_r1.train.rows import (
    CreditRow,
    count_denominators,
    even_out,
    fill_microbatches,
    make_rows,
    share_rows,
    worst_case,
)  # fmt: skip
from observe_r1.train.schedule import learning_rate
from observe_r1.types import WeightedGroup


@dataclass(slots=True)
class Outcome:
    """What the updates of one step did."""

    stats: dict[str, Stat] = field(default_factory=dict)
    loss: float = 0.0
    grad_norm: float = 0.0
    lr: float = 0.0
    had_signal: bool = False
    finite: bool = True
    tokens_computed: int = 0
    """Packed tokens of the update's forward passes, prompts repeated by splitting included."""
    tokens_unique: int = 0
    """The same without any repetition."""
    notes: list[str] = field(default_factory=list)

    def add(self, stats: dict[str, Stat]) -> None:
        for name, stat in stats.items():
            self.stats[name] = self.stats[name] + stat if name in self.stats else stat


class Optimiser:
    """Owns the optimizer and turns weighted groups into steps of it."""

    def __init__(
        self,
        policy: Policy,
        *,
        loss: LossBase,
        optimizer: OptimizerConfig,
        sampling: Sampling,
        system_prompt: str,
        total_updates: int,
        processes: Processes | None = None,
        reference: Reference | None = None,
    ) -> None:
        """``reference`` None: where one is needed, the weights as they are now."""
        self.policy = policy
        self.loss = loss
        self.config = optimizer
        self.sampling = sampling
        self.system_prompt = system_prompt
        self.total_updates = total_updates
        self.processes = processes or Processes()
        self.budget = policy.config.max_tokens_per_microbatch
        self.num_updates = 0
        self.rehearses = policy.device.type == "cuda"
        """The worst case is still to be tried."""
        self.reference = None
        if loss.kl.coefficient:
            self.reference = reference or Reference(policy)
        self.module = policy.packed
        if self.module.separate and self.processes.sharded:
            raise ModelError(
                "This model does not read packed rows as it reads completions one by one, so they "
                "are computed one by one, and sharded processes would make unequal numbers of "
                "passes. Train replicas (without FSDP), or adapters (policy.lora)."
            )
        self.processes.prepare(self.module)
        lora = policy.config.lora
        self._trains_differently = policy.config.gradient_checkpointing or bool(
            lora and lora.dropout
        )
        self.masters = MasterWeights(self.module)
        self.optimizer = make_optimizer(self.masters.parameters, optimizer)

    def update(self, weighted_P: Sequence[WeightedGroup]) -> Outcome:
        """Every update of one rollout."""
        parts = self.config.updates_per_rollout
        outcome = Outcome(had_signal=any(group.has_signal for group in weighted_P))
        # One that ran out of memory has halved it; all must cut the same rows to share them out.
        self.budget = min(self.processes.gather_objects(self.budget))
        hands = [weighted_P[i::parts] for i in range(parts)]
        dealt = [self._rows(hand) for hand in hands]
        dealt[1:] = [self._with_old(rows) for rows in dealt[1:]]
        for hand, rows in zip(hands, dealt, strict=True):
            denominators = count_denominators(hand, self.sampling.max_new_tokens)
            self._one_update(rows, denominators, outcome)
        return merge_outcomes(self.processes.gather_objects(outcome))

    def _rows(self, groups: Sequence[WeightedGroup]) -> list[CreditRow]:
        """This process's share; all processes have rows, or none has."""
        need_all = self.loss.kl.coefficient > 0 or self.loss.entropy > 0
        rows = make_rows(
            groups, lambda s: self.policy.encode(s, self.system_prompt), self.budget,
            need_all=need_all, most=self.policy.config.max_tokens_per_microbatch,
        )  # fmt: skip
        shares = share_rows(rows, self.processes.count)
        if self.processes.sharded:
            shares = even_out(shares)
        mine = shares[self.processes.rank] if rows else []
        if self.reference is not None:
            mine = self.reference.add_to(mine, self.sampling.temperature, self._pass_budget)
        return mine

    def _with_old(self, rows: list[CreditRow]) -> list[CreditRow]:
        values = row_logprobs(self.module, rows, self.sampling.temperature, self._pass_budget)
        return [row.with_logprobs(old=v) for row, v in zip(rows, values, strict=True)]

    @property
    def _pass_budget(self) -> int:
        """Sharded models take one row a pass: every process must make as many passes."""
        return 1 if self.processes.sharded else self.budget

    def _one_update(
        self, rows: list[CreditRow], denominators: Denominators, outcome: Outcome
    ) -> None:
        outcome.lr = learning_rate(self.config, self.num_updates, self.total_updates)
        self.num_updates += 1
        if not self._anyone(bool(rows)):
            return
        self._accumulate(rows, denominators, outcome)
        outcome.grad_norm = self._step(outcome.lr)
        outcome.finite &= math.isfinite(outcome.grad_norm)

    def _accumulate(
        self, rows: list[CreditRow], denominators: Denominators, outcome: Outcome
    ) -> None:
        """Gradients of all micro-batches; where memory runs out, once more with half the budget."""
        if rows and self.rehearses:
            rows = self._rehearse(rows, denominators, outcome)
        if self._fits(rows, denominators, outcome):
            return
        outcome.stats.clear()
        outcome.loss = 0.0
        rows = self._with_half_the_budget(rows, outcome)
        if not self._fits(rows, denominators, outcome):
            raise TrainingError(self._too_much())

    def _rehearse(
        self, rows: list[CreditRow], denominators: Denominators, outcome: Outcome
    ) -> list[CreditRow]:
        """Forward and backward of the worst case, which moves nothing, beside the memory that the
        optimizer will take; the rows as the budget then has them."""
        self.rehearses = False
        copies = 0 if self.config.type == "sgd" or self.optimizer.state else 2
        reserved = [torch.empty_like(p) for p in self.masters.parameters for _ in range(copies)]
        for may_halve in (True, False):
            worst = worst_case(
                rows, self.sampling.max_new_tokens, self.policy.end_ids[0], self.budget
            )
            with torch.random.fork_rng():  # the adapters' dropout draws from it
                enough = self._fits(worst[: self._most_rows], denominators, Outcome())
            self.module.zero_grad(set_to_none=True)
            if enough:
                break
            if not may_halve:
                raise TrainingError(self._too_much())
            rows = self._with_half_the_budget(rows, outcome, self._longest_completion(worst))
        del reserved
        return rows

    def _fits(self, rows: list[CreditRow], denominators: Denominators, outcome: Outcome) -> bool:
        """All passes; False where memory ran out. What the failed one held is free again then, as
        no frame of it is left."""
        try:
            self._backward_all(rows, denominators, outcome)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            return False
        return True

    def _backward_all(
        self, rows: list[CreditRow], denominators: Denominators, outcome: Outcome
    ) -> None:
        # Checkpointing and the adapters' dropout work in training mode only; everything else, the
        # sampler above all, reads the same weights without them.
        self.module.train(self._trains_differently)
        for batch in fill_microbatches(rows, self._pass_budget):
            outcome.loss += self._backward(batch, denominators, outcome)
        self.module.eval()
        outcome.tokens_unique += unique_tokens(rows)

    def _backward(
        self, batch: list[CreditRow], denominators: Denominators, outcome: Outcome
    ) -> float:
        """Forward and backward of one micro-batch."""
        output = self.module(
            [r.row for r in batch], self.sampling.temperature, self.loss.entropy > 0
        )
        outcome.tokens_computed += output.num_tokens
        inputs = self._inputs(batch, output, denominators)
        result = compute_loss(inputs, self.loss)
        # Gradients are averaged over processes; the loss is a sum over them.
        (result.loss * self.processes.count).backward()
        if not any(weight for r in batch for weight in r.weights_G):
            return 0.0  # a dummy row: it moves nothing and says nothing
        outcome.add(dict(result.stats))
        if inputs.sampler_logprobs_N is not None:
            trainer = (
                inputs.logprobs_N.detach()
                if inputs.old_logprobs_N is None
                else inputs.old_logprobs_N
            )
            outcome.add(mismatch_stats(trainer, inputs.sampler_logprobs_N))
        return float(result.loss.detach())

    def _inputs(
        self, batch: list[CreditRow], output: Any, denominators: Denominators
    ) -> LossInputs:
        device = output.logprobs_N.device
        lengths = [n for r in batch for n in r.row.lengths_G]
        sizes = torch.tensor(lengths, device=device)

        def per_token(values: Sequence[float]) -> torch.Tensor:
            return torch.tensor(values, device=device).repeat_interleave(sizes)

        weights = [w for r in batch for w in r.weights_G]
        coefficients = token_coefficients(lengths, weights, denominators, self.loss.reduction)
        return LossInputs(
            logprobs_N=output.logprobs_N,
            old_logprobs_N=_joined([r.old_N for r in batch]),
            advantages_N=per_token([a for r in batch for a in r.advantages_G]),
            coefficients_N=per_token(coefficients),
            completion_N=torch.arange(len(lengths), device=device).repeat_interleave(sizes),
            entropy_N=output.entropy_N,
            sampler_logprobs_N=_joined(
                [None if r.sampler_N is None else torch.tensor(r.sampler_N, device=device)
                 for r in batch]
            ),
            reference_N=_joined([r.reference_N for r in batch]),
        )  # fmt: skip

    def _step(self, lr: float) -> float:
        """Clip, set the learning rate, step; a gradient that is not finite moves nothing."""
        self.masters.take_gradients()
        trained = self.masters.parameters
        self.processes.average_gradients(trained)
        limit = self.config.grad_clip or math.inf
        norm = float(whole(torch.nn.utils.clip_grad_norm_(trained, limit)))
        if math.isfinite(norm):
            for group in self.optimizer.param_groups:
                group["lr"] = lr
            self.optimizer.step()
            self.masters.write_back()
        self.optimizer.zero_grad(set_to_none=True)
        return norm

    def _anyone(self, mine: bool) -> bool:
        return any(self.processes.gather_objects(mine))

    @property
    def _most_rows(self) -> int | None:
        """Of the worst case: sharded models take one row a pass."""
        return 1 if self.processes.sharded else None

    def _with_half_the_budget(
        self, rows: list[CreditRow], outcome: Outcome, least: int = 0
    ) -> list[CreditRow]:
        """The same rows within half the budget, or within what the longest completion alone needs
        with its prompt. Sharded models cannot: every process must make as many passes."""
        asked = self.policy.config.max_tokens_per_microbatch
        if self.budget < asked or self.processes.sharded:
            raise TrainingError(self._too_much())
        self.module.zero_grad(set_to_none=True)
        self.budget = max(self.budget // 2, least, self._longest_completion(rows))
        outcome.notes.append(
            f"Out of memory: micro-batches now hold {self.budget} tokens instead of {asked}."
        )
        return [part for row in rows for part in row.split(self.budget)]

    @staticmethod
    def _longest_completion(rows: Sequence[CreditRow]) -> int:
        """Tokens of the longest row with a single completion."""
        return max(r.row.prompt.length + max(r.row.lengths_G) - 1 for r in rows)

    def _too_much(self) -> str:
        how = ", already halved once" if not self.processes.sharded else ", one row in each"
        return (
            f"Out of memory with micro-batches of {self.budget} tokens{how}. Lower "
            "policy.max_tokens_per_microbatch or sampling.max_new_tokens, switch on "
            "policy.gradient_checkpointing, or train adapters (policy.lora)."
        )


def merge_outcomes(outcomes: Sequence[Outcome]) -> Outcome:
    """What all processes did together; norms and rates are the same everywhere."""
    merged = outcomes[0]
    for other in outcomes[1:]:
        merged.add(other.stats)
        merged.loss += other.loss
        merged.tokens_computed += other.tokens_computed
        merged.tokens_unique += other.tokens_unique
        merged.notes += other.notes
    return merged


def make_optimizer(
    trained: Sequence[torch.nn.Parameter], config: SupervisedOptimizer
) -> torch.optim.Optimizer:
    """Weight decay for matrices only."""
    groups = [
        {"params": [p for p in trained if p.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.dim() <= 1], "weight_decay": 0.0},
    ]
    if config.type == "sgd":
        return torch.optim.SGD(groups, lr=config.lr)
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=config.eps, fused=True)


def unique_tokens(rows: Sequence[CreditRow]) -> int:
    """Tokens of the rows with every prompt counted once a group."""
    prompts = {row.group: row.row.prompt.length for row in rows}
    return sum(prompts.values()) + sum(r.row.length - r.row.prompt.length for r in rows)


def is_out_of_memory(error: BaseException) -> bool:
    """CUDA raises its own error; the CPU allocator a RuntimeError with this text."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _joined(parts: Sequence[torch.Tensor | None]) -> torch.Tensor | None:
    """All parts as one; None as soon as one is missing."""
    known = [part for part in parts if part is not None]
    return torch.cat(known) if known and len(known) == len(parts) else None
