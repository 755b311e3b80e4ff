"""Eight vision-language families, each a random model small enough for a test.

One prompt has two images: text, image, text, image, text. How pixels are laid out differs: Qwen
packs patches of every image in one list, most have one picture a row, Idefics nests pictures in a
batch axis.
"""

from types import SimpleNamespace
from typing import Any

import torch
import transformers as t

from observe_r1.config.policy import PolicyConfig
from observe_r1.policy.load import Policy, make_policy
from observe_r1.policy.prompts import EncodedPrompt

VOCABULARY, END, PAD, IMAGE, VIDEO, OPEN, CLOSE = 300, 1, 0, 5, 6, 7, 8


def _text(**changes: Any) -> dict[str, Any]:
    return {
        "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3, "head_dim": 16,
        "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": VOCABULARY,
        "max_position_embeddings": 512, "bos_token_id": None, "eos_token_id": END,
        "pad_token_id": PAD,
    } | changes  # fmt: skip


def _qwen(config: Any, vision: dict[str, Any]) -> Any:
    rope = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e4}
    return config(
        text_config=_text(rope_parameters=rope), vision_config=vision, image_token_id=IMAGE,
        video_token_id=VIDEO, vision_start_token_id=OPEN, vision_end_token_id=CLOSE,
    )  # fmt: skip


_QWEN_TOWER = {
    "depth": 2, "hidden_size": 64, "intermediate_size": 128, "num_heads": 4, "out_hidden_size": 64,
    "patch_size": 14, "spatial_merge_size": 2,
}  # fmt: skip
_TOWER = {
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "image_size": 56, "patch_size": 14,
}  # fmt: skip


def _qwen2_vl() -> Any:
    tower = {
        "depth": 2, "embed_dim": 64, "hidden_size": 64, "num_heads": 4, "mlp_ratio": 2,
        "patch_size": 14, "spatial_merge_size": 2,
    }  # fmt: skip
    return _qwen(t.Qwen2VLConfig, tower)


def _qwen2_5_vl() -> Any:
    return _qwen(
        t.Qwen2_5_VLConfig, _QWEN_TOWER | {"window_size": 56, "fullatt_block_indexes": [1]}
    )


def _qwen3_vl() -> Any:
    tower = {
        "depth": 3, "patch_size": 16, "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0, 1],
    }  # fmt: skip
    return _qwen(t.Qwen3VLConfig, _QWEN_TOWER | tower)


def _gemma3() -> Any:
    """A window of 12, much shorter than the prompt, and image tokens that see each other."""
    kinds = ["sliding_attention", "full_attention", "sliding_attention"]
    text = _text(sliding_window=12, layer_types=kinds)
    return t.Gemma3Config(
        text_config=text, vision_config=_TOWER, mm_tokens_per_image=4, image_token_id=IMAGE
    )


def _llava() -> Any:
    return t.LlavaConfig(
        text_config=t.LlamaConfig(**_text()), vision_config=t.CLIPVisionConfig(**_TOWER),
        image_token_id=IMAGE,
    )  # fmt: skip


def _internvl() -> Any:
    tower = _TOWER | {"image_size": [56, 56], "patch_size": [14, 14]}
    return t.InternVLConfig(
        text_config=t.Qwen2Config(**_text()), vision_config=tower, image_token_id=IMAGE,
        downsample_ratio=0.5,
    )  # fmt: skip


def _idefics3() -> Any:
    return t.Idefics3Config(
        text_config=t.LlamaConfig(**_text()), vision_config=_TOWER, image_token_id=IMAGE,
        scale_factor=2,
    )  # fmt: skip


def _smolvlm() -> Any:
    return t.SmolVLMConfig(
        text_config=t.LlamaConfig(**_text()), vision_config=_TOWER, image_token_id=IMAGE,
        scale_factor=2,
    )  # fmt: skip


def _gemma4() -> Any:
    """The last two layers read keys and values of earlier ones, so they have no cache to branch."""
    kinds = ["sliding_attention", "full_attention"] * 2
    text = _text(
        num_hidden_layers=4, layer_types=kinds, sliding_window=12, num_kv_shared_layers=2,
        hidden_size_per_layer_input=16, vocab_size_per_layer_input=VOCABULARY, global_head_dim=16,
    )  # fmt: skip
    tower = _TOWER | {"num_key_value_heads": 4, "head_dim": 16}
    return t.Gemma4Config(
        text_config=text, vision_config=tower, image_token_id=IMAGE, audio_config=None
    )


def _glm4v() -> Any:
    rope = {
        "rope_type": "default", "mrope_section": [1, 1, 2], "partial_rotary_factor": 0.5,
        "rope_theta": 1e4,
    }  # fmt: skip
    return t.Glm4vConfig(
        text_config=_text(rope_parameters=rope), vision_config=_QWEN_TOWER | {"image_size": 56},
        image_token_id=IMAGE, video_token_id=VIDEO, image_start_token_id=OPEN,
        image_end_token_id=CLOSE,
    )  # fmt: skip


FAMILIES = {
    "qwen2_vl": (_qwen2_vl, "patches", 1176),
    "qwen2_5_vl": (_qwen2_5_vl, "patches", 1176),
    "qwen3_vl": (_qwen3_vl, "patches", 1536),
    "gemma3": (_gemma3, "pictures", 4),
    "llava": (_llava, "pictures", 16),
    "internvl": (_internvl, "pictures", 4),
    "idefics3": (_idefics3, "nested", 4),
    "smolvlm": (_smolvlm, "nested", 4),
}
"""Name → configuration, layout of pixels, width of a patch or tokens of an image."""
OTHERS = {"gemma4": (_gemma4, "pictures", 4), "glm4v": (_glm4v, "patches", 1176)}
"""Families that are checked when they are met: one that must be read plainly, one that need not."""


def family_policy(name: str, **settings: Any) -> Policy:
    """A random model; weights are spread enough for every image to matter."""
    torch.manual_seed(0)
    config = (FAMILIES | OTHERS)[name][0]()
    model = t.AutoModelForImageTextToText.from_config(config, attn_implementation="sdpa")
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.08)
    model.generation_config.eos_token_id = END
    return make_policy(model.eval(), _Processor(), PolicyConfig(**settings), source=name)


class _Processor:
    """Only what a policy asks of one here: prompts come as token ids."""

    chat_template = "unused"
    tokenizer = SimpleNamespace(eos_token_id=END)

    def apply_chat_template(self, *_: Any, **__: Any) -> str:
        return self.chat_template

    def batch_decode(self, rows: Any, skip_special_tokens: bool) -> list[str]:
        return [" ".join(map(str, row)) for row in rows]


def family_prompt(policy: Policy, name: str, seed: int, images: int = 2) -> EncodedPrompt:
    """text, image, text, image, text; with fewer images, less of it."""
    _, layout, size = (FAMILIES | OTHERS)[name]
    generator = torch.Generator().manual_seed(seed)
    pieces = [_words(5 + seed, generator)]
    vision, counts = _pixels(layout, size, images, generator)
    for count in counts:
        image = torch.tensor([OPEN, *[IMAGE] * count, CLOSE])
        pieces += [image, _words(4, generator)]
    return policy.encode.from_inputs({"input_ids": torch.cat(pieces)[None], **vision})


def _words(count: int, generator: torch.Generator) -> torch.Tensor:
    return torch.randint(20, VOCABULARY, (count,), generator=generator)


def _pixels(
    layout: str, size: int, images: int, generator: torch.Generator
) -> tuple[dict[str, torch.Tensor], list[int]]:
    if not images:
        return {}, []
    if layout == "patches":
        grid = torch.tensor([[1, 8, 8], [1, 4, 8]][:images])
        patches = torch.randn(int(grid.prod(1).sum()), size, generator=generator)
        return {"pixel_values": patches, "image_grid_thw": grid}, [16, 8][:images]
    pixels = torch.randn(images, 3, 56, 56, generator=generator)
    pixels = pixels if layout == "pictures" else pixels[None]
    return {"pixel_values": pixels}, [size] * images
