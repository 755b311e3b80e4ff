"""What differs between model families, asked of the model itself instead of listed by name."""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from observe_r1.errors import ModelError

VISION_TOWERS = ("visual", "vision_tower", "vision_model", "vision_encoder", "audio_tower")
ALIGNERS = (
    "multi_modal_projector", "connector", "merger", "deepstack_merger_list", "aligner", "projector",
    "mm_projector", "vision_projection", "embed_vision", "embed_audio",
)  # fmt: skip
LANGUAGE_MODELS = ("language_model", "text_model")
TESTED = frozenset(
    ["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "gemma3", "llava", "internvl", "idefics3", "smolvlm"]
)
"""Model types whose packed rows are tested, one by one, against separate ones."""
MEDIA_TOKENS = ("image_token_id", "image_token_index", "video_token_id", "video_token_index")


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """The facts about a model that packing and sampling need."""

    image_token_id: int | None
    suppressed_ids: tuple[int, ...]
    """Ids a completion may never hold: image and video pads would be taken for pictures."""
    has_mrope: bool
    """Positions have three rows: time, height, width."""
    bidirectional_images: bool
    """Tokens of one image see each other in both directions (Gemma 3)."""
    sliding_window: int | None
    """Window of the layers that have one, in positions; None: every layer sees everything."""
    vision_inputs: frozenset[str]
    """Names of what the processor prepares and the model's forward takes."""
    media_type_name: str | None
    """Name under which forward takes 0 for text and 1 for image tokens."""
    takes_encoded_images: bool
    """Whether forward takes encoded images instead of pixels."""
    num_vocabulary: int
    head_width: int
    """Numbers of one attention head."""
    is_tested: bool
    """Whether packed rows of this model type are known to be exact; others are checked once."""

    @property
    def merges_images(self) -> bool:
        """Whether the images of several prompts can be one input. How others lay out their pixels
        is not known, so their prompts are computed one at a time."""
        return self.is_tested


def describe(model: nn.Module) -> Family:
    """Read the facts off a ``…ForConditionalGeneration`` model of Transformers."""
    config: Any = model.config
    text = config.get_text_config()
    accepts = inspect.signature(inner_model(model).forward).parameters
    found = (getattr(config, name, None) for name in MEDIA_TOKENS)
    media = {token for token in found if token is not None and 0 <= token < text.vocab_size}
    has_media_types = "token_type_ids" in accepts and config.model_type.startswith("gemma")
    names = [n for n in ("mm_token_type_ids", "token_type_ids") if n in accepts]
    return Family(
        image_token_id=getattr(
            config, "image_token_id", getattr(config, "image_token_index", None)
        ),
        suppressed_ids=tuple(sorted(media)),
        has_mrope=hasattr(inner_model(model), "get_rope_index"),
        bidirectional_images=has_media_types,
        sliding_window=_sliding_window(text),
        vision_inputs=frozenset(accepts) - _NOT_VISION,
        media_type_name=names[0] if names else None,
        takes_encoded_images="mm_encoder_outputs" in accepts,
        num_vocabulary=text.vocab_size,
        head_width=getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads,
        is_tested=config.model_type in TESTED,
    )


_NOT_VISION = frozenset(
    [
        "input_ids",
        "attention_mask",
        "position_ids",
        "past_key_values",
        "inputs_embeds",
        "use_cache",
        "labels",
        "kwargs",
        "mm_token_type_ids",
        "token_type_ids",
        "mm_encoder_outputs",
        "return_dict",
        "cache_position",
    ]
)


def _sliding_window(text: Any) -> int | None:
    kinds = set(getattr(text, "layer_types", None) or ())
    if unknown := kinds - {"full_attention", "sliding_attention"}:
        raise ModelError(
            f"The model has {', '.join(sorted(unknown))} layers. Packed rows are exact for full "
            "and sliding-window attention only. Choose a model without them."
        )
    return text.sliding_window if "sliding_attention" in kinds else None


def base_model(model: Any) -> Any:
    """The Transformers model inside LoRA's wrapper, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def inner_model(model: Any) -> Any:
    """The part that ends in hidden states: everything but the output head."""
    return base_model(model).model


def language_model(model: Any) -> Any:
    """The stack of text layers."""
    inner = inner_model(model)
    found = [getattr(inner, name) for name in LANGUAGE_MODELS if hasattr(inner, name)]
    if not found:
        raise ModelError(
            f"{type(base_model(model)).__name__} has no part named {' or '.join(LANGUAGE_MODELS)}, "
            "so its text layers cannot be told from its vision tower. Choose another model family."
        )
    return found[0]


def output_head(model: Any) -> nn.Module:
    return base_model(model).get_output_embeddings()


def freeze_parts(model: nn.Module, *, vision: bool, aligner: bool, language: bool) -> None:
    """Switch off the gradients of the parts asked for; one that the model lacks is refused."""
    asked = {"vision": vision, "aligner": aligner, "language": language}
    found = set()
    for parameter, part in parameters_by_part(model):
        found.add(part)
        if asked[part]:
            parameter.requires_grad_(False)
    if lacking := [part for part, freeze in asked.items() if freeze and part not in found]:
        raise ModelError(
            f"policy.freeze_{lacking[0]} is true, but {type(base_model(model)).__name__} has no "
            f"part that is known as its {lacking[0]}. Leave it out; freeze_vision covers whatever "
            "is neither language model nor a known aligner."
        )


def parameters_by_part(model: nn.Module) -> Iterator[tuple[nn.Parameter, str]]:
    """Each parameter with ``vision``, ``aligner`` or ``language``. Language is what the stack of
    text layers and the output head hold, whatever their names are."""
    heads = (language_model(model), output_head(model))
    language = {id(parameter) for head in heads for parameter in head.parameters()}
    for name, parameter in model.named_parameters():
        by_name = part_of(name)
        if id(parameter) in language:
            yield parameter, "language"
        else:
            yield parameter, by_name if by_name != "language" else "vision"


def part_of(parameter_name: str) -> str:
    """The part that a name speaks of, for weights in files. Mergers sit inside some vision
    towers."""
    words = parameter_name.split(".")
    if any(word in ALIGNERS for word in words):
        return "aligner"
    return "vision" if any(word in VISION_TOWERS for word in words) else "language"


def is_frozen(model: nn.Module, *parts: str) -> bool:
    """Whether no parameter of these parts is trained."""
    return not any(p.requires_grad for p, part in parameters_by_part(model) if part in parts)


def end_token_ids(model: Any, processor: Any) -> tuple[int, ...]:
    """Every id that ends a turn, as generation config, model config and tokenizer know them."""
    tokenizer = getattr(processor, "tokenizer", processor)
    found: set[int] = set()
    text = base_model(model).config.get_text_config()
    for source in (base_model(model).generation_config, text, tokenizer):
        value = getattr(source, "eos_token_id", None)
        found.update([value] if isinstance(value, int) else value or ())
    if not found:
        raise ModelError("The model names no end token, so completions would never end.")
    return tuple(sorted(found))


def device_of(model: nn.Module) -> torch.device:
    return next(model.parameters()).device
