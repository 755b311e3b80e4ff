"""What of a recipe verl cannot express, each with its reason and a way out.

An export that leaves something out in silence trains another method. So every setting of a stage is
either passed on (``settings.py``), computed by our own code inside verl, or refused here.
"""

from collections.abc import Iterator

from observe_r1.config.loss import KL, ClippedLoss, ClippedWeightLoss, SequenceRatioLoss
from observe_r1.config.optimizer import OptimizerConfig
from observe_r1.config.policy import LoRA, PolicyConfig
from observe_r1.config.rollout import VLLM, Sampling, SharedPrefill
from observe_r1.config.run import RunConfig
from observe_r1.config.stages import RLStage
from observe_r1.config_base import Config
from observe_r1.errors import ConfigError

KNOWN: dict[type[Config], set[str]] = {
    RLStage: {
        "type", "name", "seed", "start_from", "skip", "max_steps", "max_minutes", "eval_every",
        "save_every", "keep_checkpoints", "optimizer_state", "questions", "prompts_per_step",
        "group_size", "system_prompt", "curriculum", "redraw", "sampling", "engine", "loss",
        "optimizer", "policy", "grammar", "extract", "rewards", "bonus", "advantage", "weight",
        "admission", "truncated", "staleness",
    },
    Sampling: {
        "temperature", "top_p", "top_k", "min_p", "max_new_tokens", "stop", "stop_token_ids",
    },
    SharedPrefill: {"type", "max_sequences", "prefill_tokens", "fixed_shapes"},
    VLLM: {"type", "memory_share", "max_model_length", "max_images", "sleep", "enforce_eager"},
    ClippedLoss: {
        "type", "reduction", "kl", "truncated_importance", "entropy", "clip_low", "clip_high",
        "dual_clip",
    },
    SequenceRatioLoss: {
        "type", "reduction", "kl", "truncated_importance", "entropy", "clip_low", "clip_high",
    },
    ClippedWeightLoss: {
        "type", "reduction", "kl", "truncated_importance", "entropy", "clip_low", "clip_high",
    },
    KL: {"coefficient", "estimator", "place"},
    OptimizerConfig: {
        "type", "lr", "schedule", "min_lr", "warmup", "warmup_from", "decay_share", "betas", "eps",
        "weight_decay", "grad_clip", "updates_per_rollout",
    },
    PolicyConfig: {
        "lora", "freeze_vision", "freeze_aligner", "freeze_language", "dtype",
        "gradient_checkpointing", "checkpoint_every", "compile_layers", "attention",
        "max_tokens_per_microbatch", "logprob_chunk_tokens",
    },
    LoRA: {"rank", "alpha", "dropout", "targets"},
}  # fmt: skip
"""Settings that were thought about. One that is not here is refused as soon as it is used."""


def choose_stage(run: RunConfig, name: str | None) -> RLStage:
    """The RL stage to export: verl runs one, on a model that is there."""
    if run.budget.generated is not None or run.budget.updated is not None:
        raise ConfigError(
            "verl does not stop at a budget of tokens. Leave budget.generated and budget.updated "
            "at none, and say max_steps."
        )
    stages = {stage.name: stage for stage in run.stages if isinstance(stage, RLStage)}
    if name is not None and name not in stages:
        raise ConfigError(
            f"recipe '{run.recipe}' has no RL stage '{name}'. It has {', '.join(stages) or 'none'}."
        )
    if not stages:
        raise ConfigError(
            f"recipe '{run.recipe}' has no RL stage, and reinforcement learning is what verl is "
            "used for here. Run it with 'observe-r1 train'."
        )
    others = [stage.name for stage in run.stages if stage.name != name and not stage.skip]
    if name is None and len(others) > 1:
        raise ConfigError(
            f"recipe '{run.recipe}' has the stages {', '.join(others)}; verl runs a single RL "
            "stage. Run those before it with 'observe-r1 train', then export one with --stage "
            f"{next(iter(stages))} and --model set to the checkpoint it starts from."
        )
    return stages[name] if name is not None else next(iter(stages.values()))


def check(stage: RLStage) -> None:
    """Raise ConfigError with every reason why a stage cannot run in verl."""
    reasons = [*_reasons(stage), *_strangers(stage, stage.name)]
    if reasons:
        lines = "\n".join(f"  {stage.name}.{reason}" for reason in reasons)
        raise ConfigError(f"verl cannot run stage '{stage.name}' as it is:\n{lines}")


def _reasons(stage: RLStage) -> Iterator[str]:
    for rule in (_run, _sampling, _groups, _optimizer, _policy):
        yield from rule(stage)


def _run(stage: RLStage) -> Iterator[str]:
    if stage.max_minutes is not None:
        yield (
            "max_minutes: verl stops after steps, not minutes. Set max_minutes=none and say "
            "max_steps."
        )
    if stage.staleness:
        yield (
            "staleness: how old verl's rollouts are is set by its own trainer mode. Set "
            "staleness=0 here, and verl's mode in the exported folder."
        )
    if stage.optimizer_state == "keep":
        yield "optimizer_state: verl starts with a new optimizer. Set it to reset."
    if _never_ends(stage) and stage.max_steps is None:
        yield (
            f"max_steps: the curriculum '{stage.curriculum.type}' never ends, and verl must know "
            "the number of steps before it starts. Say max_steps."
        )


def _never_ends(stage: RLStage) -> bool:
    return stage.curriculum.type in ("rungs", "pools", "user") or (
        getattr(stage.curriculum, "epochs", 1) is None
    )


def _sampling(stage: RLStage) -> Iterator[str]:
    sampling = stage.sampling
    if sampling.is_greedy:
        yield "sampling.temperature: 0 gives a group of equal answers. Set it above 0."
    for name in ("min_p", "stop", "stop_token_ids"):
        if getattr(sampling, name):
            yield (
                f"sampling.{name}: verl's agent loop passes on temperature, top_p and top_k only. "
                "Leave it at its default."
            )
    if sampling.is_filtered and stage.loss.truncated_importance is not None:
        yield (
            "loss.truncated_importance: the sampler's log-probs are taken after top_p and top_k, "
            "and the trainer's before. Set truncated_importance=none, or top_p=1 and top_k=0."
        )
    if stage.engine.type == "endpoint":
        yield "engine: an endpoint's weights cannot be updated. Set engine.type=vllm."
    if stage.engine.type == "vllm_server":
        yield (
            "engine: verl starts the vLLM it samples with itself and knows no server of yours. Set "
            "engine.type=vllm."
        )


def _groups(stage: RLStage) -> Iterator[str]:
    keeps_rejected = stage.admission.type != "all" and not stage.redraw.max_rounds
    leaves_out = keeps_rejected or stage.truncated == "mask"
    if leaves_out and stage.loss.reduction != "token_mean":
        setting = "admission" if keeps_rejected else "truncated"
        yield (
            f"{setting}: it leaves completions out of every denominator, but verl divides a "
            f"{stage.loss.reduction} by all completions of the batch. Set "
            f"loss.reduction=token_mean{', or redraw.max_rounds' if keeps_rejected else ''}."
        )
    if stage.prompts_per_step % stage.optimizer.updates_per_rollout:
        yield (
            f"optimizer.updates_per_rollout: {stage.prompts_per_step} prompts cannot be cut into "
            f"{stage.optimizer.updates_per_rollout} equal updates, and verl's are equal. Choose a "
            "divisor."
        )


def _optimizer(stage: RLStage) -> Iterator[str]:
    optimizer = stage.optimizer
    if optimizer.type != "adamw":
        yield f"optimizer.type: {optimizer.type} is for tests of our trainer. Set it to adamw."
    if optimizer.schedule == "linear":
        yield "optimizer.schedule: verl knows constant and cosine."
    if optimizer.warmup_from or optimizer.decay_share < 1.0:
        yield (
            "optimizer.warmup_from, decay_share: verl's schedules warm up from 0 and decay to the "
            "last step. Leave them at their defaults."
        )


def _policy(stage: RLStage) -> Iterator[str]:
    policy = stage.policy
    if policy.freeze_vision and policy.lora is None:
        yield (
            "policy.freeze_vision: verl 0.9.1 has actor.freeze_vision_tower, which nothing in it "
            "reads, so the tower would be trained. Set freeze_vision=false, or train adapters "
            "(policy.lora), which leave the tower alone."
        )
    for name in ("freeze_aligner", "freeze_language"):
        if getattr(policy, name) and (policy.lora is None or name == "freeze_language"):
            yield f"policy.{name}: verl cannot freeze a part of the model. Set it to false."
    if policy.recomputed not in (0.0, 1.0):
        yield "policy.checkpoint_every: verl computes all layers again, or none. Set it to 1."
    if policy.lora is not None and policy.lora.dropout:
        yield "policy.lora.dropout: verl has no setting for it. Set it to 0."


def _strangers(config: Config, path: str) -> Iterator[str]:
    """Settings that are used and that this module has never heard of."""
    known = KNOWN.get(type(config))
    if known is None:
        return
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if name not in known and value != field.get_default(call_default_factory=True):
            yield f"{path}.{name}: this version of the export does not know it."
        if isinstance(value, Config):
            yield from _strangers(value, name)
