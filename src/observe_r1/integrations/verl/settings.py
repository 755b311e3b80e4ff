"""A stage in verl's own words: the tree that becomes ``verl.yaml``.

    rl.group_size = 8                     →  actor_rollout_ref.rollout.n: 8
    rl.loss = {type = "clipped", …}       →  actor_rollout_ref.actor.policy_loss.loss_mode:
                                             observe_r1_clipped, clip_ratio_low, clip_ratio_high
    rl.rewards, bonus, weight, …          →  plan.json, read by the plug-in

Whatever verl can say itself is said in its own settings, where ``run.sh key=value`` changes it.
"""

from dataclasses import dataclass
from typing import Any

from observe_r1.config.evaluation import HeldOut
from observe_r1.config.rollout import VLLM
from observe_r1.config.stages import RLStage
from observe_r1.integrations.verl.plan import FILE, Plan
from observe_r1.integrations.verl.sizes import Sizes

Tree = dict[str, Any]

HOME = "observe_r1.integrations.verl"
PLUGIN = f"{HOME}.plugin"
ESTIMATOR = "observe_r1"
LOSS_PREFIX = "observe_r1_"
ACCURACY = "acc"
"""What verl calls correctness, in filters and validation metrics."""
UNBOUNDED = 1e9
"""Stands for no limit where verl wants a number."""
REDUCTIONS = {
    "token_mean": "token-mean",
    "sequence_mean": "seq-mean-token-mean",
    "constant_length": "seq-mean-token-sum-norm",
}
FLOATS = {"float32": "fp32", "bfloat16": "bfloat16", "float16": "float16"}
MANY_EPOCHS = 1000
"""verl stops at the number of steps; its epochs never end a run before."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """The machines of a run.

    Example:
        Cluster(nodes=2, gpus=8)
    """

    nodes: int = 1
    gpus: int = 8
    """Of each node."""


def settings(plan: Plan, cluster: Cluster, sizes: Sizes, heldout: HeldOut | None) -> Tree:
    """Everything that differs from verl's defaults. ``${folder}`` is given by ``run.sh``."""
    stage = plan.stage
    return {
        "hydra": {"searchpath": ["pkg://verl.trainer.config"], "run": {"dir": "${folder}/hydra"}},
        "defaults": ["ppo_trainer", "_self_"],
        "folder": "???",
        "data": _data(plan, sizes),
        "algorithm": _algorithm(plan),
        "reward": {
            "reward_manager": {
                "source": "importlib",
                "name": "ObserveRewardManager",
                "module": {"path": f"pkg://{HOME}.reward"},
            }
        },
        "actor_rollout_ref": {
            "model": _model(plan),
            "actor": _actor(stage, sizes),
            "rollout": _rollout(stage, sizes, heldout),
        },
        "critic": {"enable": False},
        "trainer": _trainer(plan, cluster, heldout),
        "ray_kwargs": {
            "ray_init": {"runtime_env": {"env_vars": {"VERL_USE_EXTERNAL_MODULES": PLUGIN}}}
        },
    }


def _data(plan: Plan, sizes: Sizes) -> Tree:
    stage = plan.stage
    tree: Tree = {
        "train_files": "${folder}/data/train.parquet",
        "val_files": "${folder}/data/val.parquet",
        "observe_r1": "${folder}/" + FILE,
        "custom_cls": {"path": f"pkg://{HOME}.dataset", "name": "CurriculumDataset"},
        "train_batch_size": stage.prompts_per_step,
        "max_prompt_length": sizes.prompt_tokens,
        "max_response_length": stage.sampling.max_new_tokens,
        "shuffle": False,
        "seed": stage.seed,
        "dataloader_num_workers": 0,
        "filter_overlong_prompts": False,
    }
    return tree | ({"gen_batch_size": 1} if plan.replaces_rejected else {})


def _algorithm(plan: Plan) -> Tree:
    loss = plan.stage.loss
    tree: Tree = {"adv_estimator": ESTIMATOR, "rollout_correction": None}
    if loss.truncated_importance is not None:
        tree["rollout_correction"] = {
            "rollout_is": "token",
            "rollout_is_threshold": loss.truncated_importance,
        }
    if loss.kl.coefficient and loss.kl.place == "reward":
        tree["use_kl_in_reward"] = True
        tree["kl_penalty"] = loss.kl.estimator
        tree["kl_ctrl"] = {"type": "fixed", "kl_coef": loss.kl.coefficient}
    if plan.replaces_rejected:
        tree["filter_groups"] = {"enable": True, "metric": ACCURACY}
    return tree


def _model(plan: Plan) -> Tree:
    policy = plan.stage.policy
    tree: Tree = {
        "path": plan.model,
        "enable_gradient_checkpointing": policy.gradient_checkpointing,
        "use_remove_padding": True,
    }
    if policy.lora is not None:
        tree |= {
            "lora_rank": policy.lora.rank,
            "lora_alpha": policy.lora.alpha,
            "target_modules": list(policy.lora.targets),
            "exclude_modules": ".*visual.*",
        }
    return tree


def _actor(stage: RLStage, sizes: Sizes) -> Tree:
    longest = sizes.prompt_tokens + stage.sampling.max_new_tokens
    return {
        "ppo_mini_batch_size": stage.prompts_per_step // stage.optimizer.updates_per_rollout,
        "ppo_epochs": 1,
        "shuffle": False,
        "data_loader_seed": stage.seed,
        "use_dynamic_bsz": True,
        "ppo_max_token_len_per_gpu": max(stage.policy.max_tokens_per_microbatch, longest),
        **_loss(stage),
        "grad_clip": stage.optimizer.grad_clip or UNBOUNDED,
        "optim": _optimizer(stage),
        "fsdp_config": {"dtype": FLOATS[stage.policy.dtype], "model_dtype": "fp32"},
    }


def _loss(stage: RLStage) -> Tree:
    loss = stage.loss
    low = 1.0 if loss.clip_low is None else loss.clip_low
    dual_clip = getattr(loss, "dual_clip", None)
    tree: Tree = {
        "policy_loss": {"loss_mode": f"{LOSS_PREFIX}{loss.type}"},
        "clip_ratio_low": low,
        "clip_ratio_high": loss.clip_high,
        "clip_ratio_c": dual_clip or UNBOUNDED,
        "loss_agg_mode": REDUCTIONS[loss.reduction],
        "entropy_coeff": loss.entropy,
    }
    if loss.reduction == "constant_length":
        tree["loss_scale_factor"] = stage.sampling.max_new_tokens
    if loss.kl.coefficient and loss.kl.place == "loss":
        tree |= {
            "use_kl_loss": True,
            "kl_loss_coef": loss.kl.coefficient,
            "kl_loss_type": loss.kl.estimator,
        }
    return tree


def _optimizer(stage: RLStage) -> Tree:
    optimizer = stage.optimizer
    tree: Tree = {
        "optimizer": "AdamW",
        "lr": optimizer.lr,
        "lr_scheduler_type": optimizer.schedule,
        "lr_warmup_steps": -(-optimizer.warmup // optimizer.updates_per_rollout),
        "betas": list(optimizer.betas),
        "weight_decay": optimizer.weight_decay,
        "clip_grad": optimizer.grad_clip or UNBOUNDED,
        "override_optimizer_config": {"eps": optimizer.eps},
    }
    if optimizer.schedule == "cosine" and optimizer.lr:
        tree["min_lr_ratio"] = optimizer.min_lr / optimizer.lr
    return tree


def _rollout(stage: RLStage, sizes: Sizes, heldout: HeldOut | None) -> Tree:
    sampling = stage.sampling
    engine = stage.engine if isinstance(stage.engine, VLLM) else VLLM()
    longest = sizes.prompt_tokens + sampling.max_new_tokens
    drawn: Tree = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k or -1,
    }
    return {
        "name": "vllm",
        "n": stage.group_size,
        **drawn,
        "seed": stage.seed,
        "calculate_log_probs": True,
        "dtype": stage.policy.dtype,
        "gpu_memory_utilization": engine.memory_share,
        "enforce_eager": bool(engine.enforce_eager),
        "free_cache_engine": engine.sleep,
        "tensor_model_parallel_size": 1,
        "max_model_len": max(engine.max_model_length or 0, longest),
        "max_num_batched_tokens": max(8192, longest),
        **({"load_format": "safetensors"} if stage.policy.lora else {}),
        "val_kwargs": {"do_sample": True, "n": heldout.samples if heldout else 1, **drawn},
    }


def trackers(plan: Plan) -> tuple[str, ...]:
    return plan.trackers or ("tensorboard",)


def _trainer(plan: Plan, cluster: Cluster, heldout: HeldOut | None) -> Tree:
    stage = plan.stage
    measured = stage.eval_every if heldout else 0
    return {
        "project_name": "observe_r1",
        "experiment_name": f"{plan.recipe}-{plan.preset}",
        "logger": ["console", *trackers(plan)],
        "nnodes": cluster.nodes,
        "n_gpus_per_node": cluster.gpus,
        "total_epochs": MANY_EPOCHS,
        "total_training_steps": plan.steps,
        "save_freq": stage.save_every or plan.steps,
        "max_actor_ckpt_to_keep": stage.keep_checkpoints,
        "test_freq": measured or -1,
        "val_before_train": bool(measured),
        "default_local_dir": "${folder}/checkpoints",
        "rollout_data_dir": "${folder}/rollouts",
        "validation_data_dir": "${folder}/validation",
        "resume_mode": "auto",
        "v1": {
            "trainer_mode": "sync",
            "sampler": {
                "custom_sampler": {"path": f"pkg://{HOME}.buffer", "name": "ObserveReplayBuffer"},
                "sampler_kwargs": {"observe_r1": "${folder}/" + FILE},
            },
        },
    }


def differences(plan: Plan, heldout: HeldOut | None) -> list[str]:
    """What is not the same as under ``observe-r1 train``, for the README of the folder."""
    stage, lines = plan.stage, []
    if stage.engine.type != "vllm":
        lines.append("vLLM draws the completions, not the built-in engine")
    lines.append("images and prompt are computed once a completion, not once a group")
    if stage.optimizer.updates_per_rollout > 1:
        lines.append(
            "the learning rate moves once a step, not once an update, and the updates of a step "
            "are cut by length, so that a group's completions may fall into several"
        )
    if stage.optimizer.weight_decay:
        lines.append("weight decay acts on vectors (biases, norms) too")
    if plan.replaces_rejected:
        lines.append(
            f"rejected groups are drawn again until the batch is full, not at most "
            f"{stage.redraw.max_rounds} times; when the curriculum has come to its end, it begins "
            "again"
        )
    if stage.loss.kl.coefficient and stage.loss.kl.estimator == "k3":
        lines.append("the k3 estimate of a token's KL is cut off at ±10")
    if heldout and heldout.greedy:
        lines.append("held-out questions are measured with sampled answers only, not greedy ones")
    return lines
