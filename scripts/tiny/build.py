"""The parts of the built-in model before it has learned anything: tokenizer, processor, weights.

Everything is of the real Qwen2.5-VL kind, only small: M-RoPE, windowed vision attention, packed
patches, and a processor that `AutoProcessor` loads. A 112 x 112 picture becomes 16 visual tokens,
one for each 28-pixel cell of the puzzles' trays.
"""

import math
from collections.abc import Iterable

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

LARGEST_VOCABULARY = 1152

CONTROL_TOKENS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>",
    "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip

TAG_TOKENS = tuple(
    f"<{slash}{tag}>"
    for tag in ("observe", "think", "answer", "plan", "sketch", "facts", "event", "parallel",
                "path", "summary", "caption", "tool")
    for slash in ("", "/")
)  # fmt: skip
"""Ordinary text to a reader, one token each to the model."""

CHAT_TEMPLATE = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message['role'] + '\\n' -}}
{%- if message['content'] is string -%}
{{- message['content'] -}}
{%- else -%}
{%- for part in message['content'] -%}
{%- if part['type'] == 'image' or 'image' in part -%}
{{- '<|vision_start|><|image_pad|><|vision_end|>' -}}
{%- elif part['type'] == 'video' or 'video' in part -%}
{{- '<|vision_start|><|video_pad|><|vision_end|>' -}}
{%- elif 'text' in part -%}
{{- part['text'] -}}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\\n' -}}
{%- endif -%}
"""

# Words that later puzzles, prompts and people use, so that they need few tokens though the built-in
# model has hardly met them.
EXTRA_WORDS = """
the a an of in on at to and or is are was be it this that there which what where when who how why
many much more most less least first second third last next before after above below left right
top bottom middle between inside outside near far both each every all none image picture question
answer option options letter number word final only give write describe look see reason think step
steps because so then therefore if not no yes wait check again let me correct wrong total sum
count counting equal larger largest smaller smallest longer shorter tallest red blue green yellow
purple orange black white grey circle square triangle cross diamond star shape shapes row column
cell grid tile tiles panel panels bar bars chart clock hour hours minute minutes time maze path
mirror rotate rotated angle area length width height side sides radius true false truth liar says
knight knave event happens start end go moves move same different odd one two three four five six
seven eight nine ten die dice domino pips add subtract multiply divide result value values point
box find
"""


# What a token may span: a coloured shape, a word, a digit or a sign, each with the space before it.
# "red circle" is one piece because a cell of the tray is one step then: written as two words, the
# second has to find the cell again, and after 1,500 steps no shape was better than a guess.
TOKEN_PATTERN = (
    r" ?(?:red|blue|green|yellow) (?:circle|square|triangle|cross)"
    r"| ?[A-Za-z]+| ?[0-9]| ?[^\sA-Za-z0-9]|\s+"
)


def make_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE with single digits, trained on ``texts``; any text can be encoded."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(TOKEN_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=LARGEST_VOCABULARY - len(CONTROL_TOKENS) - len(TAG_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    extra = [f" {word}" for word in EXTRA_WORDS.split()] + ["system", "user", "assistant"]
    tokenizer.train_from_iterator([*texts, *extra * 50], trainer)
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in CONTROL_TOKENS])
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in TAG_TOKENS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        model_max_length=2048,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        extra_special_tokens={
            "image_token": "<|image_pad|>",
            "video_token": "<|video_pad|>",
            "vision_start_token": "<|vision_start|>",
            "vision_end_token": "<|vision_end|>",
        },
    )


def make_processor(tokenizer: PreTrainedTokenizerFast) -> Qwen2_5_VLProcessor:
    # At most 224 x 224 pixels: 64 visual tokens, all that so small a model can use.
    pixels = {"shortest_edge": 28 * 28, "longest_edge": 224 * 224}
    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=pixels, patch_size=14, merge_size=2),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(size=pixels, patch_size=14, merge_size=2),
        chat_template=CHAT_TEMPLATE,
    )


def make_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> Qwen2_5_VLForConditionalGeneration:
    token = tokenizer.convert_tokens_to_ids
    text = {
        "vocab_size": 64 * math.ceil(len(tokenizer) / 64),
        "hidden_size": 160,
        "intermediate_size": 448,
        "num_hidden_layers": 4,
        "num_attention_heads": 5,
        "num_key_value_heads": 5,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": token("<|im_end|>"),
        "pad_token_id": token("<|endoftext|>"),
        # 32-wide heads: 16 rotary pairs, shared between time, height and width.
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10000.0,
            "mrope_section": [4, 6, 6],
        },
    }
    vision = {
        "depth": 3,
        "hidden_size": 96,
        "intermediate_size": 256,
        "num_heads": 3,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "window_size": 56,
        "fullatt_block_indexes": [2],
        "out_hidden_size": 160,
    }
    config = Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        tie_word_embeddings=True,
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
    )
    torch.manual_seed(seed)
    model = Qwen2_5_VLForConditionalGeneration(config)
    model.generation_config.eos_token_id = token("<|im_end|>")
    model.generation_config.pad_token_id = token("<|endoftext|>")
    return model
