"""How long and how large a run will be: steps, tokens, and a rule of thumb for memory.

Memory of training = weights + gradients + two AdamW moments (for what is trained), a reference
model when a KL term needs one, activations of one micro-batch, and while sampling the KV cache
instead, here at the full length of every completion.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from observe_r1.config.run import RunConfig
from observe_r1.config.stages import RLStage
from observe_r1.recipes.model_size import billions_of_parameters

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True, slots=True)
class Shape:
    """Width and depth of the language model, as far as memory depends on them."""

    layers: int
    hidden: int
    kv_width: int
    """Key (or value) numbers of one token in one layer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Sizes of one RL stage; memory in GB (10⁹ bytes), None where the model's size is unknown."""

    steps: int | None
    completions_per_step: int
    max_generated_tokens_per_step: int
    max_generated_tokens: int | None
    billions: float | None
    memory_gb: dict[str, float] | None

    @property
    def total_memory_gb(self) -> float | None:
        """Activations and KV cache do not exist at the same time."""
        if self.memory_gb is None:
            return None
        parts = dict(self.memory_gb)
        passing = max(parts.pop("activations"), parts.pop("kv cache"))
        return sum(parts.values()) + passing


def estimate(run: RunConfig, stage: RLStage, model: str, num_samples: int | None) -> Estimate:
    """Sizes of one stage of a run; ``model`` is the folder or name the weights come from."""
    steps = count_steps(stage, num_samples)
    per_step = stage.completions_per_step * stage.sampling.max_new_tokens
    billions = billions_of_parameters(model)
    return Estimate(
        steps=steps,
        completions_per_step=stage.completions_per_step,
        max_generated_tokens_per_step=per_step,
        max_generated_tokens=None if steps is None else steps * per_step,
        billions=billions,
        memory_gb=None if billions is None else _memory(stage, billions, _shape(model, billions)),
    )


def count_steps(stage: RLStage, num_samples: int | None) -> int | None:
    """``max_steps``, or as many as it takes to see the data ``epochs`` times."""
    if stage.max_steps is not None or num_samples is None:
        return stage.max_steps
    return -(-num_samples * stage.epochs // stage.prompts_per_step)


def _memory(stage: RLStage, billions: float, shape: Shape) -> dict[str, float]:
    policy = stage.policy
    weight = BYTES[policy.dtype]
    trained = billions if policy.lora is None else _lora_billions(policy.lora.rank, shape)
    tokens = policy.max_tokens_per_microbatch
    # vLLM takes the share of the device that it was given, however long completions get.
    at_once = stage.engine.max_sequences if stage.engine.type == "shared_prefill" else 0
    sequences = min(stage.completions_per_step, at_once)
    kv_bytes = 2 * shape.layers * shape.kv_width * weight
    return {
        "weights": billions * weight,
        "gradients": trained * weight,
        "optimizer": trained * 2 * weight,
        "reference model": billions * weight if stage.loss.kl.coefficient > 0 else 0.0,
        "activations": tokens * _activation_bytes(stage, shape, weight) / 1e9,
        "kv cache": sequences * stage.sampling.max_new_tokens * kv_bytes / 1e9,
    }


def _activation_bytes(stage: RLStage, shape: Shape, weight: int) -> float:
    """A layer keeps about 17 numbers a token and hidden unit; checkpointing keeps one, and one
    layer whole."""
    kept = 17 * shape.layers
    if stage.policy.gradient_checkpointing:
        kept = shape.layers + 17
    return kept * shape.hidden * weight


def _lora_billions(rank: int, shape: Shape) -> float:
    """Seven adapted layers a block, about 18 hidden widths of rows and columns together."""
    return shape.layers * 18 * shape.hidden * rank / 1e9


def _shape(model: str, billions: float) -> Shape:
    return _shape_from_files(model) or _typical_shape(billions)


def _shape_from_files(model: str) -> Shape | None:
    path = Path(model) / "config.json"
    if not path.is_file():
        return None
    try:
        config = json.loads(path.read_bytes())
    except ValueError:
        return None  # whoever loads the model says what is wrong with it
    text: dict[str, Any] = config.get("text_config") or config
    try:
        heads = text["num_attention_heads"]
        head_width = text.get("head_dim") or text["hidden_size"] // heads
        return Shape(
            layers=text["num_hidden_layers"],
            hidden=text["hidden_size"],
            kv_width=text.get("num_key_value_heads", heads) * head_width,
        )
    except (KeyError, TypeError):
        return None


def _typical_shape(billions: float) -> Shape:
    """Depth × width of Qwen-VL models grows with the root of the size: 36 × 2,048 at 3.75 billion,
    28 × 3,584 at 8.3 billion."""
    layers = 32
    hidden = int(36_000 * billions**0.5 / layers)
    return Shape(layers=layers, hidden=hidden, kv_width=max(64, hidden // 7))
