"""Stand-ins that are real in kind and tiny in size: a byte-level Qwen2.5-VL with random weights."""

import io
from functools import cache
from typing import Any

from observe_r1.types import Sample

CONTROL_TOKENS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>",
    "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% for c in m.content %}{% if c.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ c.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@cache
def byte_tokenizer() -> Any:
    """256 bytes and the control tokens: any text is encoded, nothing is learned."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    raw = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    raw.add_special_tokens([AddedToken(text, special=True) for text in CONTROL_TOKENS])
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        padding_side="left",
        extra_special_tokens={
            "image_token": "<|image_pad|>",
            "video_token": "<|video_pad|>",
            "vision_start_token": "<|vision_start|>",
            "vision_end_token": "<|vision_end|>",
        },
    )


@cache
def byte_processor() -> Any:
    """Qwen2.5-VL's processor; a 56 × 56 picture becomes four image tokens."""
    from transformers import Qwen2_5_VLProcessor, Qwen2VLImageProcessor, Qwen2VLVideoProcessor

    size = {"shortest_edge": 28 * 28, "longest_edge": 112 * 112}
    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=size, patch_size=14, merge_size=2),
        tokenizer=byte_tokenizer(),
        video_processor=Qwen2VLVideoProcessor(size=size, patch_size=14, merge_size=2),
        chat_template=CHAT_TEMPLATE,
    )


def tiny_model(*, seed: int = 0, hidden: int = 32, layers: int = 2, spread: float = 0.08) -> Any:
    """Random Qwen2.5-VL; ``spread`` is large enough for the image to change the log-probs."""
    import torch
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    token = byte_tokenizer().convert_tokens_to_ids
    config = Qwen2_5_VLConfig(
        text_config={
            "hidden_size": hidden, "intermediate_size": 2 * hidden, "num_hidden_layers": layers,
            "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": len(byte_tokenizer()),
            "max_position_embeddings": 4096, "bos_token_id": None, "tie_word_embeddings": True,
            "eos_token_id": token("<|im_end|>"), "pad_token_id": token("<|endoftext|>"),
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4,
                                "mrope_section": [hidden // 8 - 2 * (hidden // 24), hidden // 24, hidden // 24]},
        },
        vision_config={
            "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2,
            "out_hidden_size": hidden, "patch_size": 14, "spatial_merge_size": 2, "window_size": 56,
            "fullatt_block_indexes": [1],
        },
        image_token_id=token("<|image_pad|>"), video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"), tie_word_embeddings=True,
    )  # fmt: skip
    config._attn_implementation = "sdpa"
    torch.manual_seed(seed)
    model = Qwen2_5_VLForConditionalGeneration(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, spread)
    model.generation_config.eos_token_id = token("<|im_end|>")
    model.generation_config.pad_token_id = token("<|endoftext|>")
    return model.eval()


def tiny_policy(*, seed: int = 0, hidden: int = 32, **settings: Any) -> Any:
    """A ``Policy`` of the tiny model; ``settings`` are those of ``PolicyConfig``."""
    from observe_r1.config.policy import PolicyConfig
    from observe_r1.policy.load import make_policy

    model = tiny_model(seed=seed, hidden=hidden)
    return make_policy(model, byte_processor(), PolicyConfig(**settings), source="fake")


def picture(color: tuple[int, int, int] = (200, 30, 30), size: tuple[int, int] = (56, 56)) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, format="PNG")
    return buffer.getvalue()


def sample(number: int = 0, *, images: int = 1, question: str | None = None) -> Sample:
    pictures = tuple(picture((40 * number % 256, 90, 70 * i + 10)) for i in range(images))
    return Sample(
        id=f"sample-{number}",
        question=question or f"How many? {'x' * (number % 5)}",
        answer=str(number),
        kind="number",
        images=pictures,
        source="fake",
    )


def weighted_group(
    rewards: tuple[float, ...], token_ids: tuple[tuple[int, ...], ...], *, number: int = 0,
    weights: tuple[float, ...] | None = None, admitted: bool = True, images: int = 1,
) -> Any:  # fmt: skip
    """A group whose advantages are its rewards less their mean."""
    from observe_r1.types import Completion, RolloutGroup, Score, ScoredGroup, WeightedGroup

    mean = sum(rewards) / len(rewards)
    completions = tuple(Completion(text="x" * len(ids), token_ids=ids) for ids in token_ids)
    scores = tuple(
        Score(rewards={"accuracy": r}, reward=r, correct=r > 0, well_formed=True) for r in rewards
    )
    rollout = RolloutGroup(sample=sample(number, images=images), completions_G=completions)
    return WeightedGroup(
        scored=ScoredGroup(rollout=rollout, scores_G=scores),
        advantages_G=tuple(r - mean for r in rewards),
        weight=1.0,
        admitted=admitted,
        completion_weights_G=weights or (1.0,) * len(rewards),
    )


def save_tiny(folder: Any) -> str:
    """The tiny model as a folder that ``from_pretrained`` reads."""
    tiny_model().save_pretrained(folder)
    byte_processor().save_pretrained(folder)
    return str(folder)
