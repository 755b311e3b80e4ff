"""What of a model is trained, in which precision, and how much is computed at a time."""

from typing import Literal, Self

from pydantic import Field, model_validator

from observe_r1.config_base import Config

LOGITS_AT_ONCE = 2**24
"""Numbers, 64 MB of float32."""
LONGEST_BUNDLE = 512
"""Tokens of completions that attend side by side in ``pieces``; beyond it the prompt's keys are a
small part of the work anyway. Here because the plan counts with it too."""


class LoRA(Config):
    """Low-rank adapters on the language model's linear layers."""

    rank: int = Field(default=16, ge=1)
    """Rank of each adapter."""

    alpha: float = Field(default=32.0, gt=0.0)
    """Scale: the adapter's output is multiplied by alpha / rank."""

    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """0 keeps sampler and trainer equal; anything else makes their log-probs differ."""

    targets: tuple[str, ...] = (
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    )  # fmt: skip
    """Last part of the names of the layers that get one."""


class PolicyConfig(Config):
    """The trained model."""

    lora: LoRA | None = None
    """None: full fine-tuning of what is not frozen."""

    freeze_vision: bool = False
    """Leave the vision tower as it is."""

    freeze_aligner: bool = False
    """Leave the projector between vision tower and language model as it is."""

    freeze_language: bool = False
    """Leave the language model as it is."""

    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Precision of the weights. ``float16`` is for asking only: gradients of a language model are
    smaller than its smallest numbers."""

    gradient_checkpointing: bool = False
    """Compute activations twice, keep them once: less memory, a third more time."""

    checkpoint_every: int = Field(default=1, ge=1)
    """With ``gradient_checkpointing``: only every so many layers are computed again, the others
    keep their activations. 2 takes half of the time back, where memory has room."""

    compile_layers: bool = False
    """Compile norms and MLPs of all layers (CUDA only): faster steps, a first one that takes a
    minute or more. Not yet measured on a GPU."""

    attention: Literal["auto", "pieces", "blocks"] = "auto"
    """How packed rows are computed: ``pieces`` as ordinary SDPA calls, ``blocks`` as one
    FlexAttention call (GPU only). ``auto``: blocks on a GPU, pieces elsewhere."""

    max_tokens_per_microbatch: int = Field(default=8192, ge=1)
    """Packed tokens of one forward and backward pass; a larger group is split, which repeats
    its prompt."""

    logprob_chunk_tokens: int | None = Field(default=None, ge=1)
    """Positions whose logits exist at the same time. None: 1,024, and more where the vocabulary is
    small enough that 64 MB hold their logits."""

    @property
    def recomputed(self) -> float:
        """Share of the layers whose activations are computed twice."""
        return 1 / self.checkpoint_every if self.gradient_checkpointing else 0.0

    @model_validator(mode="after")
    def _check_trained(self) -> Self:
        if self.lora is not None and self.freeze_language:
            raise ValueError(
                "lora puts adapters on the language model, and freeze_language leaves it as it is. "
                "Leave out one of the two."
            )
        if self.freeze_vision and self.freeze_aligner and self.freeze_language:
            raise ValueError(
                "freeze_vision, freeze_aligner and freeze_language together leave nothing to "
                "train. Leave out one of them."
            )
        return self

    def chunk_tokens(self, num_vocabulary: int) -> int:
        """``logprob_chunk_tokens`` for a model of this vocabulary.

        Example: 896 → 18724, 151936 → 1024
        """
        return self.logprob_chunk_tokens or max(1024, LOGITS_AT_ONCE // num_vocabulary)
