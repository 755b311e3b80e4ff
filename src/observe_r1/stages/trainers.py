"""TRL's trainers, made to start, save, resume and report as every stage does.

    examples in their order ─▶ batches of examples_per_step ─▶ TRL's loss ─▶ one optimizer step
                                                                              │
             metrics row · held-out measurement · checkpoint ◀── on_step ─────┘

TRL brings the losses and Accelerate under them; what is ours is the order of examples, a function
of the seed and the step alone, the optimizer with its float32 copies of half-precision weights, the
learning rate, and checkpoints without anything pickled. Nothing of Transformers' own way to save or
resume is used. This module imports TRL, which takes seconds: import it inside functions.
"""

import warnings
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import SequentialSampler
from transformers import PrinterCallback, TrainerCallback

from observe_r1.config.dpo import DPOStage
from observe_r1.config.optimizer import SupervisedOptimizer
from observe_r1.config.sft import SFTStage
from observe_r1.policy.load import Policy
from observe_r1.stages.supervised import Plan
from observe_r1.train.masters import MasterWeights
from observe_r1.train.optimise import make_optimizer
from observe_r1.train.schedule import learning_rate

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # other people's deprecations, as they are imported
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

PLACE = "place"
"""The one column of the data that the trainer sees: which example comes."""

Collate = Callable[[list[int]], dict[str, Tensor]]
"""From the places of some examples to a batch."""
OnStep = Callable[[int, dict[str, float]], bool]
"""Told about a finished step; True ends the stage."""


class Schedule(LRScheduler):
    """The learning rate of an update as ``train.schedule`` has it."""

    def __init__(
        self, optimizer: torch.optim.Optimizer, config: SupervisedOptimizer, plan: Plan
    ) -> None:
        self.config, self.plan = config, plan
        super().__init__(optimizer)

    def get_lr(self) -> list[float | Tensor]:
        update = self.plan.first_step + self.last_epoch
        rate = learning_rate(self.config, update, self.plan.total_steps)
        return [rate for _ in self.optimizer.param_groups]


class Report(TrainerCallback):
    """Hands every step's numbers on; the answer says whether to stop."""

    def __init__(self, first_step: int, on_step: OnStep) -> None:
        self.first_step = first_step
        self.on_step = on_step
        self.before_first_step: Callable[[], None] = lambda: None

    def on_step_begin(self, args: Any, state: Any, control: Any, **other: Any) -> Any:
        if state.global_step == 0:
            self.before_first_step()
        return control

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **other: Any) -> Any:
        if logs and "loss" in logs:  # one row a step; a summary at the end has no loss
            stop = self.on_step(self.first_step + state.global_step, dict(logs))
            control.should_training_stop = control.should_training_stop or stop
        return control


class StageTrainer:
    """What both trainers do otherwise than Transformers; mixed in before TRL's class."""

    policy: Policy
    masters: MasterWeights
    plan: Plan
    report: Report
    optimizer_config: SupervisedOptimizer
    optimizer: Any
    lr_scheduler: Any

    def create_optimizer(self, model: Any = None) -> Any:
        """Ours, made once: it is filled from a checkpoint before training begins."""
        if self.optimizer is None:
            self.masters = MasterWeights(self.policy.packed)
            self.optimizer = make_optimizer(self.masters.parameters, self.optimizer_config)
            masters = self.masters
            self.optimizer.register_step_pre_hook(lambda *_: masters.take_gradients())
            self.optimizer.register_step_post_hook(lambda *_: masters.write_back())
        return self.optimizer

    def create_scheduler(self, *_: Any, **settings: Any) -> Any:
        """Of the stage's own steps, not of those that this process will do."""
        inner = getattr(self.optimizer, "optimizer", self.optimizer)  # Accelerate's wrapper off
        self.lr_scheduler = Schedule(inner, self.optimizer_config, self.plan)
        return self.lr_scheduler

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        return SequentialSampler(train_dataset if train_dataset is not None else self.train_dataset)  # type: ignore[attr-defined]


class SpanTrainer(StageTrainer, SFTTrainer):
    """Cross entropy of the learnt tokens, mean over all tokens of the step. To add a term that
    reads the model, attentions say, extend ``compute_loss``: it has the batch and the model."""


class PairTrainer(StageTrainer, DPOTrainer):
    """Preference loss on the learnt tokens; the reference is the policy as it is at first."""

    def __init__(self, *, on_reference: Callable[["PairTrainer"], None], **settings: Any) -> None:
        self._on_reference = on_reference
        super().__init__(**settings)

    def _prepare_dataset(self, dataset: Any, *settings: Any, **more: Any) -> Any:
        """The collator prepares: pictures and tokens are made when a batch needs them."""
        return dataset

    def _precompute_ref_logps(self, dataset: Any, name: str, batch_size: int) -> Any:
        """Computed once, before training, from the policy itself: no second model is kept."""
        self._on_reference(self)
        model: Any = self.model
        if "ref" in getattr(model, "peft_config", {}):
            model.delete_adapter("ref")  # a copy that TRL made for what is known now
        return dataset


def common_arguments(stage: SFTStage | DPOStage, plan: Plan, scratch: Path) -> dict[str, Any]:
    """Settings of Transformers' trainer: everything that is ours is switched off there."""
    on_gpu = torch.cuda.is_available()
    per_pass, world = plan.examples_per_pass, _world_size()
    return {
        "output_dir": str(scratch),
        "per_device_train_batch_size": per_pass,
        "gradient_accumulation_steps": plan.examples_per_step // (per_pass * world),
        "num_train_epochs": 1,
        "max_grad_norm": stage.optimizer.grad_clip or 0.0,
        "seed": stage.seed % 2**32,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "no",
        "eval_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "remove_unused_columns": False,
        _checkpointing(): False,  # the policy has switched its own on
        "bf16": False,  # the policy's weights have their precision, and float32 copies beside them
        "fp16": False,
        "use_cpu": not on_gpu,
        "dataloader_pin_memory": on_gpu,
        "max_length": None,
    }


def on_one_device(arguments: Any) -> Any:
    """Transformers would spread the batches of one process over all GPUs it sees; ours are made for
    one device, and many are what a launcher is for."""
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def span_trainer(
    policy: Policy, stage: SFTStage, plan: Plan, scratch: Path, *, collate: Collate,
    on_step: OnStep,
) -> SpanTrainer:  # fmt: skip
    """A trainer that is ready to start."""
    arguments = on_one_device(
        SFTConfig(
            **common_arguments(stage, plan, scratch),
            dataset_kwargs={"skip_prepare_dataset": True},
            shuffle_dataset=False,
        )
    )
    trainer = SpanTrainer(
        model=policy.model,
        args=arguments,
        data_collator=_by_place(collate),
        train_dataset=Dataset.from_dict({PLACE: list(plan.order)}),
        processing_class=policy.processor,
    )
    # Qwen-VL models say that they take no count of tokens. TRL does, and without it the mean would
    # be one of means, a pass each, and the gradient would depend on the size of a pass.
    trainer.model_accepts_loss_kwargs = True
    return _ready(trainer, policy, stage.optimizer, plan, on_step)


def pair_trainer(
    policy: Policy, stage: DPOStage, plan: Plan, scratch: Path, *, collate: Collate,
    on_step: OnStep,
    on_reference: Callable[[PairTrainer], None],
) -> PairTrainer:  # fmt: skip
    """A trainer that is ready to start; the reference's log-probs have been computed."""
    mixed = stage.sft_weight > 0
    arguments = on_one_device(
        DPOConfig(
            **common_arguments(stage, plan, scratch),
            beta=stage.beta,
            loss_type=[stage.loss, "sft"] if mixed else [stage.loss],
            loss_weights=[1.0, stage.sft_weight] if mixed else None,
            precompute_ref_log_probs=True,
        )
    )
    trainer = PairTrainer(
        model=policy.model,
        args=arguments,
        data_collator=_by_place(collate),
        train_dataset=Dataset.from_dict({PLACE: list(plan.order)}),
        processing_class=policy.processor,
        on_reference=on_reference,
    )
    return _ready(trainer, policy, stage.optimizer, plan, on_step)


def _ready(
    trainer: Any, policy: Policy, optimizer: SupervisedOptimizer, plan: Plan,
    on_step: OnStep,
) -> Any:  # fmt: skip
    trainer.policy, trainer.plan, trainer.optimizer_config = policy, plan, optimizer
    trainer.report = Report(plan.first_step, on_step)
    trainer.add_callback(trainer.report)
    trainer.remove_callback(PrinterCallback)
    trainer.create_optimizer()
    return trainer


def _by_place(collate: Collate) -> Callable[[list[dict[str, int]]], dict[str, Tensor]]:
    return lambda rows: collate([row[PLACE] for row in rows])


def _checkpointing() -> str:
    """Transformers has renamed its switch."""
    names = {field.name for field in fields(SFTConfig)}
    return next(n for n in ("activation_checkpointing", "gradient_checkpointing") if n in names)


def _world_size() -> int:
    import torch.distributed as dist

    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
