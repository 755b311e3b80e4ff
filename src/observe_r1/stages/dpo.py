"""A preference stage: pairs of traces to the same question, learnt with TRL's DPOTrainer.

chosen traces   ─┐
                 ├─ by question ─▶ pairs ─▶ reference log-probs, once ─▶ steps ─▶ checkpoint
rejected traces ─┘
"""

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from observe_r1.config.dpo import DPOStage
from observe_r1.data.traces import TraceRow, TraceSet
from observe_r1.errors import DataError
from observe_r1.policy.load import Policy
from observe_r1.stages.examples import IGNORED, Example, ExampleMaker, collate, prompt_of
from observe_r1.stages.supervised import (
    Measure,
    Notify,
    Plan,
    Progress,
    make_plan,
    run_trainer,
    scratch_folder,
    start,
)  # fmt: skip
from observe_r1.train.purse import Purse

logger = logging.getLogger(__name__)

NAMES = {
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "lr",
    "entropy": "entropy",
    "mean_token_accuracy": "token_accuracy",
    "rewards/accuracies": "preference/accuracy",
    "rewards/margins": "preference/margin",
    "rewards/chosen": "preference/chosen",
    "rewards/rejected": "preference/rejected",
    "logps/chosen": "logprob/chosen",
    "logps/rejected": "logprob/rejected",
}
"""TRL's names of what it reports, and ours."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two traces of one question.

    Example:
        Pair(chosen=well_formed, rejected=without_tags)
    """

    chosen: TraceRow
    rejected: TraceRow


def run_dpo(
    stage: DPOStage,
    *,
    model: str,
    chosen: TraceSet,
    rejected: TraceSet,
    run: Path,
    resume: bool = False,
    measure: Measure | None = None,
    notify: Notify | None = None,
    purse: Purse | None = None,
) -> Path:
    """Train and return the folder of the last checkpoint."""
    pairs = make_pairs(stage, chosen, rejected)
    begun = start(stage, model, run, resume)
    maker = ExampleMaker(begun.policy, stage.loss_on)
    better = [maker.make(pair.chosen, chosen.sample(pair.chosen)) for pair in pairs]
    worse = [maker.make(pair.rejected, rejected.sample(pair.rejected)) for pair in pairs]
    _refuse_unlearnable(stage, pairs, better, worse)
    maker.check_length([*better, *worse], stage.name)
    # In the order drawn: TRL's examples beside the pairs are a mean of each pass, not of the step.
    plan = make_plan(stage, len(pairs), begun.first_step, begun.processes.count)
    progress = Progress(
        stage, begun, run, measure=measure, notify=notify, names=NAMES, validate=dict, window=1,
        purse=purse,
    )  # fmt: skip
    batches = PairBatches(begun.policy, better, worse)
    with scratch_folder() as scratch:
        from observe_r1.stages.trainers import pair_trainer  # TRL takes seconds to import

        trainer = pair_trainer(
            begun.policy, stage, plan, scratch, on_step=progress, collate=batches.collate,
            on_reference=lambda trainer: batches.compute_reference(trainer, plan),
        )  # fmt: skip
        return run_trainer(trainer, progress, begun, stage, model, run)


def make_pairs(stage: DPOStage, chosen: TraceSet, rejected: TraceSet) -> list[Pair]:
    """First with first, second with second, of every question that has both. Traces without a
    counterpart and pairs of equal texts, which prefer nothing, are left out, which is said; without
    any other pair that is an error."""
    better, worse = _by_question(chosen), _by_question(rejected)
    both = [question for question in better if question in worse]
    if not both:
        raise DataError(
            f"stage '{stage.name}': none of the {len(better)} questions with a chosen trace has a "
            f"rejected one ({len(worse)} questions have). Let both come from the same questions."
        )
    for question in both:
        if chosen.content(question) != rejected.content(question):
            raise DataError(
                f"stage '{stage.name}': '{question}' is one question among the chosen traces and "
                "another among the rejected ones, so their answers are no pair. Take both sides "
                "from the same questions, or give the rows ids of their own."
            )
    most = stage.pairs_per_question
    pairs = [
        Pair(one, other)
        for question in both
        for one, other in zip(better[question][:most], worse[question][:most], strict=False)
    ]
    usable = sum(len(rows[:most]) for side in (better, worse) for rows in side.values())
    if usable > 2 * len(pairs):
        logger.warning(
            "stage '%s': of %d questions with a chosen and %d with a rejected trace %d have both; "
            "%d traces are left out for want of a counterpart, %d pairs are made",
            stage.name, len(better), len(worse), len(both), usable - 2 * len(pairs), len(pairs),
        )  # fmt: skip
    for pair in pairs:
        _refuse_other_prompt(stage, pair)
    different = [pair for pair in pairs if pair.chosen.response != pair.rejected.response]
    if len(different) < len(pairs):
        message = (
            f"stage '{stage.name}': in {len(pairs) - len(different)} of {len(pairs)} pairs the "
            "chosen and the rejected trace are the same text, so there is nothing to prefer"
        )
        if not different:
            raise DataError(f"{message}. Filter, sample or corrupt one side.")
        logger.warning("%s; they are left out", message)
    return different


def _by_question(traces: TraceSet) -> dict[str, list[TraceRow]]:
    found: dict[str, list[TraceRow]] = defaultdict(list)
    for row in traces.rows:
        found[row.sample_id].append(row)
    return found


def _refuse_other_prompt(stage: DPOStage, pair: Pair) -> None:
    if prompt_of(pair.chosen) != prompt_of(pair.rejected):
        raise DataError(
            f"stage '{stage.name}': the traces of '{pair.chosen.sample_id}' answer different "
            f"prompts (grammars '{pair.chosen.grammar}' and '{pair.rejected.grammar}'). Give both "
            "sides the same grammar or system prompt."
        )


def _refuse_unlearnable(
    stage: DPOStage, pairs: Sequence[Pair], better: Sequence[Example], worse: Sequence[Example]
) -> None:
    for pair, one, other in zip(pairs, better, worse, strict=True):
        if not (any(one.is_learnt_T) or any(other.is_learnt_T)):
            raise DataError(
                f"stage '{stage.name}': neither trace of '{pair.chosen.sample_id}' has anything "
                f"to learn with loss_on = {stage.loss_on.model_dump(exclude_defaults=True)}. Name "
                "sections that the traces have."
            )


class PairBatches:
    """Batches as TRL's trainer takes them: the chosen half first, then the rejected one."""

    def __init__(self, policy: Policy, better: list[Example], worse: list[Example]) -> None:
        self.policy, self.better, self.worse = policy, better, worse
        self.reference: dict[int, tuple[float, float]] = {}

    def collate(self, places: Sequence[int]) -> dict[str, Tensor]:
        batch = self._halves(places)
        known = [self.reference[place] for place in places]
        batch["ref_chosen_logps"] = torch.tensor([chosen for chosen, _ in known])
        batch["ref_rejected_logps"] = torch.tensor([rejected for _, rejected in known])
        return batch

    def _halves(self, places: Sequence[int]) -> dict[str, Tensor]:
        examples = [self.better[i] for i in places] + [self.worse[i] for i in places]
        batch = collate(self.policy, examples)
        batch["completion_mask"] = (batch.pop("labels") != IGNORED).long()
        return batch

    def compute_reference(self, trainer: Any, plan: Plan) -> None:
        """Log-probs of the pairs that will be seen, under the policy as the stage starts."""
        self.policy.packed.eval()
        places = sorted(set(plan.order))
        for begin in range(0, len(places), plan.examples_per_pass):
            part = places[begin : begin + plan.examples_per_pass]
            batch = {k: v.to(self.policy.device) for k, v in self._halves(part).items()}
            chosen, rejected = trainer.compute_ref_log_probs(trainer.model, batch)
            for place, one, other in zip(part, chosen.tolist(), rejected.tolist(), strict=True):
                self.reference[place] = (one, other)
