"""A name or folder → model and processor, ready to train."""

import copy
import inspect
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from observe_r1.config.policy import LoRA, PolicyConfig
from observe_r1.errors import ModelError
from observe_r1.policy import attention
from observe_r1.policy.compiled import compile_layers
from observe_r1.policy.cuda import settle_cuda
from observe_r1.policy.family import (
    LANGUAGE_MODELS,
    Family,
    base_model,
    describe,
    end_token_ids,
    freeze_parts,
    language_model,
)  # fmt: skip
from observe_r1.policy.forward import Kernel, PackedPolicy
from observe_r1.policy.patches import multiply_patches
from observe_r1.policy.prompts import PromptEncoder
from observe_r1.policy.widths import pad_widths
from observe_r1.policy.windows import batch_windows
from observe_r1.recipes.machine import detect_machine

TINY = "tiny"
NARROWEST = 16
"""Width of a head that FlexAttention's kernels take."""
SMALL = 4_000_000
"""Parameters below which a second thread makes a step longer: the built-in model has half of it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Policy:
    """A loaded model with everything that reads it."""

    packed: PackedPolicy
    """The module that is trained and wrapped."""
    processor: Any
    encode: PromptEncoder
    family: Family
    end_ids: tuple[int, ...]
    config: PolicyConfig
    source: str
    """Where the weights came from."""

    @property
    def model(self) -> Any:
        """The Transformers model, LoRA's wrapper around it if there is one."""
        return self.packed.model

    @property
    def device(self) -> torch.device:
        return self.packed.suppressed.device


def resolve_model(name: str) -> str:
    """``tiny`` → the folder shipped with the package; anything else is left as it is."""
    if name != TINY:
        return name
    folder = Path(__file__).parents[1] / "assets" / "tiny"
    if not (folder / "config.json").exists():
        raise ModelError("The built-in model 'tiny' is not part of this installation.")
    return str(folder)


def load_policy(
    name: str, config: PolicyConfig | None = None, *, device: str | torch.device | None = None
) -> Policy:
    """Load weights and processor, freeze what is not trained, add LoRA if asked.

    On the device ``meta`` no weights are read: enough to render and encode prompts.
    """
    from transformers import AutoProcessor
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # theirs would be drawn across ours

    config = config or PolicyConfig()
    source = resolve_model(name)
    dtype = getattr(torch, config.dtype)
    device = torch.device(device or default_device())
    check_dtype(config.dtype, device)
    place = {"device_map": "meta"} if device.type == "meta" else {}
    try:
        model = load_weights_of(source, dtype=dtype, attn_implementation="sdpa", **place)
        processor = AutoProcessor.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"'{name}' cannot be loaded as a vision-language model: {error}\nGive a folder written "
            "by save_pretrained, a name on the hub, or 'tiny'."
        ) from None
    use_few_threads(model, device)
    return make_policy(model.to(device), processor, config, source=str(name))


def default_device() -> str:
    """A GPU where PyTorch sees one. A GPU that only the driver sees is a mistake of the
    installation, and days on the CPU would be the wrong answer to it."""
    if torch.cuda.is_available():
        return "cuda"
    machine = detect_machine()
    if machine.num_gpus:
        raise ModelError(
            f"this machine has {machine}, but PyTorch {torch.__version__} (built for CUDA "
            f"{torch.version.cuda or 'none'}) cannot use it. Install a build of PyTorch for this "
            "driver ('observe-r1 doctor' tries it), or set CUDA_VISIBLE_DEVICES= to work on the "
            "CPU."
        )
    return "cpu"


def use_few_threads(model: nn.Module, device: torch.device) -> None:
    """One thread for a small model on a CPU, unless the user has said how many: its products are so
    short that handing out halves of them takes longer than doing the other half."""
    is_small = sum(p.numel() for p in model.parameters()) < SMALL
    if device.type == "cpu" and is_small and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)


def load_weights_of(source: str, **settings: Any) -> Any:
    """The Transformers model of a folder or name; adapters are added into the model they belong
    to, which their folder names."""
    from transformers import AutoModelForImageTextToText

    adapters = Path(source) / "adapter_config.json"
    if not adapters.is_file():
        return AutoModelForImageTextToText.from_pretrained(source, **settings)
    from peft import PeftModel

    base = json.loads(adapters.read_bytes())["base_model_name_or_path"]
    model = AutoModelForImageTextToText.from_pretrained(resolve_model(base), **settings)
    if model.device.type == "meta":
        return model
    with _quiet_renames():
        return PeftModel.from_pretrained(model, source).merge_and_unload()  # type: ignore[operator]


def check_dtype(dtype: str, device: torch.device) -> None:
    """Refuse a precision the device lacks."""
    lacks_float16 = dtype == "float16" and device.type == "cpu"
    lacks_bfloat16 = (
        dtype == "bfloat16" and device.type == "cuda" and not torch.cuda.is_bf16_supported()
    )
    if lacks_float16 or lacks_bfloat16:
        raise ModelError(
            f"policy.dtype is {dtype}, which this {device.type} cannot train in. "
            "Set it to float32, or use a device that has it."
        )


def make_policy(model: Any, processor: Any, config: PolicyConfig, *, source: str) -> Policy:
    """From a model and processor that are already in memory."""
    family = describe(model)
    language_model(model).set_attn_implementation(attention.NAME)
    batch_windows(model)
    multiply_patches(model)
    if next(model.parameters()).device.type == "cuda" and model.dtype != torch.float32:
        pad_widths(model)
    freeze_parts(
        model,
        vision=config.freeze_vision,
        aligner=config.freeze_aligner,
        language=config.freeze_language,
    )
    if config.gradient_checkpointing:
        enable_checkpointing(model, config.checkpoint_every)
    if config.lora is not None:
        model = add_lora(model, config.lora)
    device = next(model.parameters()).device
    settle_cuda(device)
    if config.compile_layers:
        check_compiling(device)
        compile_layers(model)
    kernel, options = choose_kernel(config.attention, device, family.head_width, model.dtype)
    chunk = config.chunk_tokens(family.num_vocabulary)
    packed = PackedPolicy(model, family, chunk=chunk, kernel=kernel, kernel_options=options)
    packed.to(device)
    packed.eval()  # dropout stays off: sampler and trainer must agree
    return Policy(
        packed=packed,
        processor=processor,
        encode=PromptEncoder(model, processor, family),
        family=family,
        end_ids=end_token_ids(model, processor),
        config=config,
        source=source,
    )


def check_compiling(device: torch.device) -> None:
    """Refuse where compiling takes longer than it saves."""
    if device.type not in ("cuda", "meta"):
        raise ModelError(
            f"policy.compile_layers is true, but this device is {device.type}: a minute of "
            "compiling saved 6 % of an update on a CPU. Leave it out, or train on a CUDA GPU."
        )


def choose_kernel(
    attention: str, device: torch.device, head_width: int, dtype: torch.dtype
) -> tuple[Kernel, Mapping[str, int] | None]:
    """What computes packed rows on this device, and with which tiles; FlexAttention has no narrow
    heads."""
    if attention == "blocks" and device.type == "cpu":
        raise ModelError(
            "policy.attention is blocks, but FlexAttention has no backward pass on a CPU. Set it "
            "to auto or pieces, or train on a GPU."
        )
    if attention == "pieces" or device.type != "cuda" or head_width < NARROWEST:
        return "pieces", None
    from observe_r1.policy.blocks import settle_kernel

    return settle_kernel(head_width, dtype, device)


def replica(policy: Policy) -> Policy:
    """A copy to sample from while the original is sharded over processes. Prompts are encoded once
    for both, and so are images that are kept, by the copy, whose weights are whole."""
    copied = copy.deepcopy(policy.packed).requires_grad_(False)
    if policy.packed.vision.keeps_features:
        policy.packed.vision = copied.vision
    return replace(policy, packed=copied)


def add_lora(model: nn.Module, lora: LoRA) -> nn.Module:
    """Adapters on the language model; everything else is frozen."""
    from peft import LoraConfig, get_peft_model

    names = "|".join(lora.targets)
    settings = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # a factor; theirs is only typed int
        lora_dropout=lora.dropout,
        target_modules=rf".*({'|'.join(LANGUAGE_MODELS)}).*\.({names})",
        task_type="CAUSAL_LM",
    )
    with _quiet_renames():
        # In the model's own precision; the optimizer moves float32 copies of them anyway.
        return get_peft_model(model, settings, autocast_adapter_dtype=False)


@contextmanager
def _quiet_renames() -> Iterator[None]:
    """PEFT asks the model for a property that Transformers has renamed."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", category=FutureWarning, message=".*gradient_checkpointing"
        )
        yield


def enable_checkpointing(model: Any, every: int = 1) -> None:
    """Of every ``every``-th layer. Transformers has renamed its switch, and knows of numbers since
    then."""
    newer = getattr(model, "activation_checkpointing_enable", None)
    switch = newer or model.gradient_checkpointing_enable
    if every == 1:
        switch({"use_reentrant": False})
    elif "every_n_layers" in inspect.signature(switch).parameters:
        switch({"use_reentrant": False}, every_n_layers=every)
    else:
        raise ModelError(
            f"policy.checkpoint_every is {every}, which this Transformers cannot do. Leave it out, "
            "or install 5.23 or newer."
        )


def save_model(
    policy: Policy, folder: Path, weights: dict[str, torch.Tensor] | None = None
) -> None:
    """Weights and processor as ``from_pretrained`` reads them; adapters alone with LoRA.

    ``weights`` stands in for those of a model that is sharded over processes.
    """
    policy.model.save_pretrained(folder, state_dict=weights)
    policy.processor.save_pretrained(folder)


def trained_model(policy: Policy) -> Any:
    return base_model(policy.model)
