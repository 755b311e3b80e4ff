"""One update: groups → rows → micro-batches → one step of the optimizer.

    all groups ──count──▶ denominators ───────────────┐
    groups with signal ──pack──▶ rows ──fill──▶ micro-batches, largest first
                                                      │  forward · loss · backward, each
                                                      ▼
                               gradient norm ─▶ finite? ─▶ clip, learning rate, step

A rollout can feed several updates: its groups are dealt out like cards, and log-probs from before
the first update are computed once for all later ones. With one update they are the very same
numbers, so no extra pass is made.

On a GPU the largest micro-batch that the questions can make is tried before the first update: a run
learns whether memory is enough in its first minute, and not when answers have grown to their limit.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch

from observe_r1.config.loss import LossBase
from observe_r1.config.optimizer import OptimizerConfig, SupervisedOptimizer
from observe_r1.config.rollout import Sampling
from observe_r1.errors import ModelError
from observe_r1.losses import Denominators, LossInputs, compute_loss, token_coefficients
from observe_r1.policy.load import Policy
from observe_r1.policy.prompts import EncodedPrompt
from observe_r1.policy.weights import whole
from observe_r1.rollout.mismatch import mismatch_stats
from observe_r1.train.budget import Budget
from observe_r1.train.distribute import Processes
from observe_r1.train.masters import MasterWeights
from observe_r1.train.outcome import Outcome, merge_outcomes
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
from observe_r1.types import Sample, WeightedGroup


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
        hardest: Sequence[Sample] = (),
    ) -> None:
        """``reference`` None: where one is needed, the weights as they are now. ``hardest``: the
        questions that take most memory, of all that may come."""
        self.policy = policy
        self.loss = loss
        self.config = optimizer
        self.sampling = sampling
        self.system_prompt = system_prompt
        self.total_updates = total_updates
        self.processes = processes or Processes()
        asked = policy.config.max_tokens_per_microbatch
        self.budget = Budget(asked, sharded=self.processes.sharded)
        self.hardest = hardest
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
        self.budget.agree(self.processes)
        # Without the rejected ones: every update has as many groups, give or take one.
        admitted_P = [group for group in weighted_P if group.admitted]
        hands = [admitted_P[i::parts] for i in range(parts)]
        dealt = [self._rows(hand) for hand in hands]
        if self.rehearses and any(dealt):
            outcome.notes += self._rehearse([row for rows in dealt for row in rows])
        dealt = [self._with_logprobs(rows, is_first=not i) for i, rows in enumerate(dealt)]
        for hand, rows in zip(hands, dealt, strict=True):
            denominators = count_denominators(hand, self.sampling.max_new_tokens)
            self._one_update(rows, denominators, outcome)
        return merge_outcomes(self.processes.gather_objects(outcome))

    def state_dict(self) -> dict[str, Any]:
        """How far it has come; weights and moments are tensors and saved as such."""
        return {"num_updates": self.num_updates, "budget": self.budget.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.num_updates = state["num_updates"]
        self.budget.load_state_dict(state["budget"])

    def _rows(self, groups: Sequence[WeightedGroup]) -> list[CreditRow]:
        """This process's share; all processes have rows, or none has."""
        need_all = self.loss.kl.coefficient > 0 or self.loss.entropy > 0
        rows = make_rows(
            groups, self._encode, self.budget.tokens, need_all=need_all, most=self.budget.asked
        )
        shares = share_rows(rows, self.processes.count)
        if self.processes.sharded:
            shares = even_out(shares)
        return shares[self.processes.rank] if rows else []

    def _encode(self, sample: Sample) -> EncodedPrompt:
        return self.policy.encode(sample, self.system_prompt)

    def _with_logprobs(self, rows: list[CreditRow], *, is_first: bool) -> list[CreditRow]:
        """Those of the reference, and for later updates those of the weights as they are now."""
        rows, temperature = self.budget.cut(rows), self.sampling.temperature
        if self.reference is not None:
            rows = self.reference.add_to(rows, temperature, self.budget.of_a_pass)
        if is_first:
            return rows
        values = row_logprobs(self.module, rows, temperature, self.budget.of_a_pass)
        return [row.with_logprobs(old=v) for row, v in zip(rows, values, strict=True)]

    def _one_update(
        self, rows: list[CreditRow], denominators: Denominators, outcome: Outcome
    ) -> None:
        outcome.lr = learning_rate(self.config, self.num_updates, self.total_updates)
        self.num_updates += 1
        if not self._anyone(bool(rows)):
            return
        made = self._accumulate(rows, denominators)
        outcome.include(made)
        is_finite = not self._anyone(not math.isfinite(made.loss))
        outcome.grad_norm = self._step(outcome.lr, is_finite=is_finite)
        moved = is_finite and math.isfinite(outcome.grad_norm)
        outcome.num_made += moved
        outcome.num_skipped += not moved

    def _accumulate(self, rows: list[CreditRow], denominators: Denominators) -> Outcome:
        """Gradients of all micro-batches; where memory runs out, once more with half the budget."""
        notes: list[str] = []
        while True:
            made = Outcome(notes=notes)
            if self._fits(self.budget.cut(rows), denominators, made):
                made.settle()
                return made
            self._forget_gradients()
            notes.append(self.budget.halve(rows))

    def _rehearse(self, rows: list[CreditRow]) -> list[str]:
        """Forward and backward of the worst case, which moves nothing, beside the memory that the
        optimizer will take; where that is too much, what is said of halving the budget."""
        self.rehearses = False
        moments = 0 if self.config.type == "sgd" or self.optimizer.state else 2
        reserved = [
            torch.empty_like(pair.master)
            for pair in self.masters
            for _ in range(moments + pair.is_copied)  # and the sum of gradients so far
        ]
        prompts = [*map(self._encode, self.hardest), *(row.row.prompt for row in rows)]
        hardest = [max(prompts, key=by) for by in (lambda p: p.length, lambda p: p.num_visual)]
        if not self.processes.sharded:  # or processes would make unequal numbers of passes
            hardest = list(dict.fromkeys(hardest))
        size = max(len(row.row.lengths_G) for row in rows)
        none = Denominators(num_tokens=1, num_completions=1, max_new_tokens=1)
        notes: list[str] = []
        while True:
            for prompt in hardest:
                worst = worst_case(
                    prompt, size, self.sampling.max_new_tokens, self.policy.end_ids[0],
                    self.budget.tokens,
                )  # fmt: skip
                with torch.random.fork_rng(self._devices):  # the adapters' dropout draws from it
                    tried = worst[:1] if self.processes.sharded else worst
                    enough = self._fits(tried, none, Outcome())
                self._forget_gradients()
                if not enough:
                    break
            else:
                del reserved
                return notes
            notes.append(self.budget.halve(worst))

    @property
    def _devices(self) -> list[torch.device]:
        return [self.policy.device] if self.policy.device.type == "cuda" else []

    def _forget_gradients(self) -> None:
        self.module.zero_grad(set_to_none=True)
        self.masters.forget_gradients()

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
        for batch in fill_microbatches(rows, self.budget.of_a_pass):
            outcome.loss += self._backward(batch, denominators, outcome)
            self.masters.add_gradients()
        self.module.eval()
        outcome.tokens_unique += unique_tokens(rows)

    def _backward(
        self, batch: list[CreditRow], denominators: Denominators, outcome: Outcome
    ) -> torch.Tensor | float:
        """Forward and backward of one micro-batch; its loss."""
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
            outcome.add(mismatch_stats(inputs.before_N, inputs.sampler_logprobs_N))
        return result.loss.detach().double()

    def _inputs(
        self, batch: list[CreditRow], output: Any, denominators: Denominators
    ) -> LossInputs:
        device = output.logprobs_N.device
        lengths = [n for r in batch for n in r.row.lengths_G]
        sizes = torch.tensor(lengths)

        def per_token(values: Sequence[float]) -> torch.Tensor:
            return torch.tensor(values).repeat_interleave(sizes).to(device)  # nothing to wait for

        weights = [w for r in batch for w in r.weights_G]
        coefficients = token_coefficients(lengths, weights, denominators, self.loss.reduction)
        return LossInputs(
            logprobs_N=output.logprobs_N,
            old_logprobs_N=_joined([r.old_N for r in batch]),
            advantages_N=per_token([a for r in batch for a in r.advantages_G]),
            coefficients_N=per_token(coefficients),
            completion_N=torch.arange(len(lengths)).repeat_interleave(sizes).to(device),
            entropy_N=output.entropy_N,
            sampler_logprobs_N=_joined(
                [None if r.sampler_N is None else torch.tensor(r.sampler_N, device=device)
                 for r in batch]
            ),
            reference_N=_joined([r.reference_N for r in batch]),
        )  # fmt: skip

    def _step(self, lr: float, *, is_finite: bool) -> float:
        """Clip, set the learning rate, step; a gradient that is not finite moves nothing."""
        trained = self.masters.parameters
        self.processes.average_gradients(trained)
        limit = self.config.grad_clip or math.inf
        norm = float(whole(torch.nn.utils.clip_grad_norm_(trained, limit)))
        if is_finite and math.isfinite(norm):
            for group in self.optimizer.param_groups:
                group["lr"] = lr
            self.optimizer.step()
            self.masters.write_back()
        self.optimizer.zero_grad(set_to_none=True)
        return norm

    def _anyone(self, mine: bool) -> bool:
        return any(self.processes.gather_objects(mine))


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
